"""Whether the program's answers are the truth: each check yields what differs, and nothing if all is well."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from monitor import reporting
from monitor.domain.answer import Answer
from monitor.domain.period import Period, minute_number
from monitor.store.engine import reading
from monitor.store.verify import verify
from tests.azure.tenant.answers import Answers, Storm

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from monitor.config.settings import Settings

SHOWN = 5
"""So many differences of a kind are told."""


class Checks:
    """Asks the reports of one store and compares them with the truth as it is at one of the collections."""

    def __init__(self, engine: "Engine", settings: "Settings", truth: Answers) -> None:
        self._engine, self._settings, self.truth = engine, settings, truth
        self.asked = 0

    def all(self, known_at: datetime) -> Iterator[str]:
        """Compare every report of all days until an instant, at which a collection was made."""
        yield from self.usage(known_at)
        yield from self.money(known_at, None)
        yield from self.load(known_at)
        yield from self.sums(known_at)
        yield from self.accounted()
        with reading(self._engine) as connection:
            yield from verify(connection)

    def usage(self, known_at: datetime) -> Iterator[str]:
        """Compare requests, tokens and estimates, by day and deployment."""
        used: dict[Any, tuple[int, ...]] = {}
        estimated: dict[Any, Decimal] = defaultdict(Decimal)
        for row in self._rows("daily-spend", known_at):
            key = (row["day"], row["workspace"], row["deployment"])
            counts = ("requests", "prompt_tokens", "completion_tokens", "unmeasured_requests")
            used[key] = _plus(used.get(key, (0,) * len(counts)), tuple(row[name] for name in counts))
            estimated[key] += row["estimated_cost"] or 0
        truth = {key: tuple(one) for key, one in self.truth.used.items()}
        yield from _differences("usage", truth, {key: one for key, one in used.items() if any(one)})
        yield from _differences("estimates", self.truth.estimated(), _without_nothing(estimated))

    def money(self, known_at: datetime, as_of: datetime | None) -> Iterator[str]:
        """Compare what was billed, and to nobody, as a collection at `known_at` found it; asked `as_of` an instant."""
        what = f"as of {as_of:%m-%d %H:%M}: " if as_of else ""
        billed: dict[Any, Decimal] = defaultdict(Decimal)
        for row in self._rows("daily-spend", known_at, as_of):
            if row["billed_cost"] is not None:
                billed[row["day"], row["workspace"], row["deployment"], row["currency"]] += row["billed_cost"]
        yield from _differences(f"{what}billed", self.truth.billed(known_at), billed)
        nobodys: dict[Any, Decimal] = defaultdict(Decimal)
        for row in self._rows("unattributed-charges", known_at, as_of):
            nobodys[row["day"], row["resource_id"], row["meter"], row["currency"]] += row["billed_cost"]
        yield from _differences(f"{what}unattributed", self.truth.unattributed(known_at), nobodys)

    def sums(self, known_at: datetime) -> Iterator[str]:
        """Compare what reconciliation and spend add up to."""
        quantities: dict[Any, Decimal] = defaultdict(Decimal)
        costs: dict[Any, Decimal] = defaultdict(Decimal)
        for row in self._rows("reconciliation", known_at):
            # Where currencies differ, quantities and costs stand on rows of their own.
            if row["billed_quantity"] is not None:
                quantities[row["day"], row["meter"]] += Decimal(str(row["billed_quantity"]))
            if row["billed_cost"] is not None:
                costs[row["currency"]] += row["billed_cost"]
        yield from _differences("billed quantities", self.truth.quantities(known_at), quantities)
        truth: dict[Any, Decimal] = defaultdict(Decimal)
        for one in self.truth.standing(known_at):
            truth[one.currency] += one.cost
        yield from _differences("all that was billed", truth, costs)
        tokens: dict[Any, int] = defaultdict(int)
        for row in self._rows("spend", known_at):
            tokens[row["workspace"]] += row["prompt_tokens"] + row["completion_tokens"]
        used: dict[Any, int] = defaultdict(int)
        for (_, workspace, _), day in self.truth.used.items():
            used[workspace] += day.prompt + day.completion
        yield from _differences("tokens of workspaces", used, tokens)

    def load(self, known_at: datetime) -> Iterator[str]:
        """Compare throttle events and headroom."""
        events = {
            Storm(
                row["workspace"],
                row["deployment"],
                minute_number(row["started_at"]),
                minute_number(row["ended_at"]),
                row["minutes"],
                row["throttled_requests"],
                row["requests"],
                row["peak_tokens_per_minute"],
                row["peak_requests_per_minute"],
            ): 1
            for row in self._rows("throttle-events", known_at)
        }
        yield from _differences("throttle events", dict.fromkeys(self.truth.storms(), 1), events)
        near = {
            (row["workspace"], row["deployment"]): (
                row["peak_tokens_per_minute"],
                row["peak_requests_per_minute"],
                row["tokens_per_minute_limit"],
                row["minutes_above_80"],
                row["minutes_at_limit"],
                row["requests"],
                row["throttled_requests"],
            )
            for row in self._rows("quota-headroom", known_at)
        }
        yield from _differences("headroom", {key: tuple(one) for key, one in self.truth.headroom().items()}, near)

    def accounted(self) -> Iterator[str]:
        """Compare what became of every record with how many there were."""
        for row in self._rows("sources", datetime.now(tz=None).astimezone()):
            parts = sum(row[name] for name in ("stored", "duplicates", "ignored", "quarantined"))
            if row["read"] != parts:
                yield f"{row['source']}: {row['read']} read, {parts} accounted for"
            if row["quarantined"] != self.truth.broken.get(row["source"], 0):
                yield f"{row['source']}: {row['quarantined']} in quarantine"

    def _rows(self, name: str, known_at: datetime, as_of: datetime | None = None) -> list[dict[str, Any]]:
        self.asked += 1
        first = self.truth.tenant.first
        last = max(first, min(known_at.date(), self.truth.tenant.last + timedelta(days=1)))
        period = Period(first=first, last=last)
        answer = reporting.run(
            self._engine, self._settings, name, period=period, now=known_at, as_of=as_of, charts=False
        )
        return named(answer)


def named(answer: Answer) -> list[dict[str, Any]]:
    """Return an answer's rows, each by the names of its columns."""
    names = [column.name for column in answer.columns]
    return [dict(zip(names, row, strict=True)) for row in answer.rows]


def _plus(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(one, other, strict=True)))


def _without_nothing(amounts: Mapping[Any, Decimal]) -> dict[Any, Decimal]:
    return {key: amount for key, amount in amounts.items() if amount}


def _differences(what: str, truth: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    differing = [key for key in truth.keys() | found.keys() if truth.get(key) != found.get(key)]
    for key in sorted(differing, key=str)[:SHOWN]:
        said = " ".join(str(part) for part in key) if isinstance(key, tuple) else str(key)
        yield f"{what}: {said}: truth {truth.get(key)}, found {found.get(key)}"
    if len(differing) > SHOWN:
        yield f"{what}: {len(differing) - SHOWN} more"


def days_before(known_at: datetime, first: date) -> int:
    """Return how many whole days lie between the tenant's first day and an instant."""
    return (known_at.date() - first).days
