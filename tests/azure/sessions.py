"""Sessions and cursors for tests of single sources: no store, and a clock that only tests move."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from monitor.catalogue import bundled
from monitor.clock import Clock
from monitor.domain.stretch import Cursor
from monitor.sources.azure.cloud import Azure
from monitor.sources.session import Session

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOKEN = "canary-token-3f9a"  # noqa: S105 - a test's


class SetClock(Clock):
    """A clock that stands until somebody sleeps."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time, self.slept = now, 0.0

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.time += timedelta(seconds=seconds)


class Unlimited:
    """A budget that never runs out, and remembers what was drawn and paused."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.paused: list[tuple[str, float]] = []

    def take(self, _tenant: str, scope: str, *, units: int, requests_per_minute: int) -> float:
        del requests_per_minute
        self.taken.append((scope, units))
        return 0.0

    def done(self, _tenant: str, scope: str) -> None:
        """Nothing was held."""

    def pause(self, _tenant: str, scope: str, seconds: float) -> None:
        self.paused.append((scope, seconds))


def session(
    address: str = "http://127.0.0.1:9",
    *,
    now: datetime = NOW,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
) -> Session:
    """A session whose Azure answers at an address of this machine, signed in with a token of the tests."""
    azure = Azure(credential="token", resource_manager=address, log_analytics=address)
    return Session(
        now=now,
        clock=clock or SetClock(now),
        azure=azure,
        environ={"MONITOR_AZURE_TOKEN": TOKEN, **(environ or {})},
        budget=Unlimited(),
        catalogue=bundled(),
    )


class Listed:
    """Cursors kept by a test."""

    def __init__(self, cursors: Iterable[Cursor] = ()) -> None:
        self.cursors = {cursor.key: cursor for cursor in cursors}

    def all(self) -> list[Cursor]:
        return list(self.cursors.values())

    def of(self, names: Iterable[str]) -> list[Cursor]:
        wanted = set(names)
        return [cursor for cursor in self.cursors.values() if cursor.name in wanted]
