"""A clock that many processes share and that runs fast, and a process that asks Cost Management as fast as it may.

`python -m tests.azure.hurried draw|collect` with a `Hurry` as JSON on standard input; `hurry` starts several at once.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from monitor.clock import Clock
from monitor.sources.azure.budget import TENANT, drawn
from monitor.store.engine import open_engine
from monitor.store.request_budget import Limit, RequestBudget
from tests.azure.sessions import TOKEN

BASE = datetime(2026, 11, 20, 12, tzinfo=UTC)


def wait_for(take: Callable[[], float], sleep: Callable[[float], None]) -> float:
    """Wait until a request may go; return how many seconds that took."""
    waited = 0.0
    while (seconds := take()) > 0:
        sleep(seconds)
        waited += seconds
    return waited


class HurriedClock(Clock):
    """Runs `speed` times as fast as real time since `began` (time.monotonic, which all processes share)."""

    def __init__(self, speed: float, began: float | None = None) -> None:
        self.speed, self.began = speed, time.monotonic() if began is None else began

    def now(self) -> datetime:
        return BASE + timedelta(seconds=(time.monotonic() - self.began) * self.speed)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


@dataclass(frozen=True, kw_only=True)
class Hurry:
    """What one process does: `times` over, it asks for every scope, and each request for so many months."""

    store: str
    address: str
    scopes: Sequence[str]
    times: int
    speed: float
    began: float
    months: int = 1


def hurry(what: str, orders: Sequence[Hurry]) -> list[str]:
    """Run one process for each order at the same time; return what they print, and fail if one of them does."""
    command = [sys.executable, "-m", "tests.azure.hurried", what]
    environ = os.environ | {"MONITOR_AZURE_TOKEN": TOKEN}
    root = Path(__file__).resolve().parent.parent.parent
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=root, env=environ, **pipes) for _ in orders]  # type: ignore[call-overload]
    for process, order in zip(running, orders, strict=True):
        process.stdin.write(json.dumps(asdict(order)))
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=240) for process in running]
    failed = [errors for process, (_, errors) in zip(running, said, strict=True) if process.returncode]
    assert not failed, failed
    return [output for output, _ in said]


def _draw(order: Hurry, clock: HurriedClock) -> None:
    """Ask without any client library, so that many requests take few seconds."""
    engine = open_engine(order.store)
    limits = [Limit(units=pace.units, seconds=pace.seconds) for pace in TENANT]
    # A second of ours is an hour here: a request that is on its way must count for as long as it is.
    budget = RequestBudget(engine, clock.now, limits, held_s=36_000)
    body = json.dumps(_body(order.months))
    connection = http.client.HTTPConnection(urlsplit(order.address).netloc)
    for scope in _round(order):
        wait_for(lambda scope=scope: budget.take("", scope, units=order.months, requests_per_minute=4), clock.sleep)  # type: ignore[misc]
        with drawn(budget, "", scope):
            connection.request("POST", f"{scope}/providers/Microsoft.CostManagement/query", body)
            response = connection.getresponse()
            response.read()
        print(response.status)
    connection.close()
    engine.dispose()


def _collect(order: Hurry, clock: HurriedClock) -> None:
    """Collect as the service does, by the official client."""
    from monitor.collect import collect
    from monitor.config.settings import Settings
    from monitor.sources import cost_query
    from monitor.sources.azure.cloud import Azure

    sources = tuple(cost_query.Settings(name=scope, kind="cost-query", scope=scope) for scope in order.scopes)
    azure = Azure(credential="token", resource_manager=order.address)
    engine = open_engine(order.store)
    for _ in range(order.times):
        now = clock.now()
        for result in collect(engine, Settings(folder=Path(), sources=sources, azure=azure), now=now, clock=clock):
            print(result.read, *result.errors)
    engine.dispose()


def _body(months: int) -> dict[str, object]:
    return {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": "2026-01-01T00:00:00Z", "to": f"2026-{months:02d}-28T23:59:59Z"},
        "dataset": {"aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}}},
    }


def _round(order: Hurry) -> Iterator[str]:
    for _ in range(order.times):
        yield from order.scopes


if __name__ == "__main__":
    given = Hurry(**json.load(sys.stdin))
    {"draw": _draw, "collect": _collect}[sys.argv[1]](given, HurriedClock(given.speed, given.began))
