"""Several processes that pull the same costs into one store at once, by a clock that runs fast for all of them.

Run as a program this is one of those processes: it takes its orders as JSON, and prints what came of them.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from monitor.clock import Clock
from monitor.collect import collect
from monitor.config import load
from monitor.domain.period import day_number
from monitor.store import migrate
from monitor.store.billed import billed
from monitor.store.engine import open_engine, reading
from tests.azure.cost_management import CostManagement, too_many
from tests.azure.server import Server, serving
from tests.azure.sessions import TOKEN
from tests.azure.tenant.billing import cost_rows
from tests.azure.tenant.bills import Bills
from tests.azure.tenant.shape import Tenant
from tests.azure.tenant.traffic import Traffic

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

SPEED = 20
"""Simulated seconds in a real one."""
BEGINS = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
"""Two months are open then, so that every collection asks each scope twice."""
RATE = "x-ms-ratelimit-microsoft.costmanagement"
REFUSED = {
    30: {f"{RATE}-qpu-retry-after": "25", f"{RATE}-entity-retry-after": "5"},
    100: {f"{RATE}-tenant-retry-after": "40"},
    101: {f"{RATE}-clienttype-retry-after": "9"},
}
"""Which requests are refused because others ask too, in the portal or elsewhere, and for how long."""


class FastClock(Clock):
    """The same simulated time in all processes of this machine: that of the system's steady clock, but faster."""

    def __init__(self, begins: datetime, started: float, speed: float) -> None:
        self._begins, self._started, self._speed = begins, started, speed

    def now(self) -> datetime:
        return self._begins + timedelta(seconds=(monotonic() - self._started) * self._speed)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._speed)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one process does: collect everything so often, beginning with the source at `place`.

    `started`: reading of the steady clock at `begins`.
    """

    config: str
    begins: str
    started: float
    speed: float
    rounds: int
    place: int = 0

    @property
    def clock(self) -> FastClock:
        return FastClock(datetime.fromisoformat(self.begins), self.started, self.speed)


@dataclass
class Told:
    """What processes tell of their collections."""

    stored: int = 0
    read: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the processes did together, and what was wrong with it."""

    requests: int
    refused: int
    busiest: dict[str, int]
    stored: int
    read: int
    processes: int
    simulated_minutes: float
    wrong: tuple[str, ...]

    def in_words(self) -> str:
        busiest = ", ".join(f"{count} {what}" for what, count in self.busiest.items())
        minutes = f"{self.simulated_minutes:.0f} simulated minutes"
        return (
            f"{self.processes} processes at once: {self.requests} cost queries in {minutes},"
            f" {self.refused} of them refused; at most {busiest};"
            f" {self.read:,} rows read, {self.stored:,} stored"
        )


def contend(tenant: Tenant, folder: Path, store: str, *, processes: int = 4, rounds: int = 1) -> Outcome:
    """Let processes pull the costs of every resource group into one store at once, and compare what it holds then."""
    bills = Bills(tenant, Traffic(tenant))
    rows = cost_rows(tenant, bills, BEGINS)
    groups = sorted({(row.subscription, row.resource_group) for row in rows if row.resource_group != "rg-other"})
    with serving(Server()) as server:
        order = Order(
            config=str(_settings(folder, store, server, groups)),
            begins=BEGINS.isoformat(),
            started=monotonic(),
            speed=SPEED,
            rounds=rounds,
        )
        costs = CostManagement(server=server, rows=rows, now=order.clock.now, page_size=400)
        costs.instead.extend(
            too_many(REFUSED[number]) if number in REFUSED else None for number in range(max(REFUSED) + 1)
        )
        engine = open_engine(store)
        try:
            migrate.ensure(engine)
            told = _together(order, processes)
            wrong = [*costs.violations, *told.errors, *_differences(engine, bills, tenant)]
        finally:
            engine.dispose()
    return Outcome(
        requests=len(costs.asked),
        refused=sum(one.refused for one in costs.asked) + len(REFUSED),
        busiest=_busiest(costs),
        stored=told.stored,
        read=told.read,
        processes=processes,
        simulated_minutes=(costs.asked[-1].at - BEGINS).total_seconds() / 60,
        wrong=tuple(wrong),
    )


def _settings(folder: Path, store: str, server: Server, groups: list[tuple[str, str]]) -> Path:
    tables = [f'[store]\nurl = "{store}"\n[azure]\ncredential = "token"\nresource_manager = "{server.address}"']
    for number, (subscription, group) in enumerate(groups):
        scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
        tables.append(f'[[source]]\nname = "costs-{number:02}"\nkind = "cost-query"\nscope = "{scope}"')
    file = folder / "contend.toml"
    file.write_text("\n\n".join(tables) + "\n", "utf-8")
    return file


def _together(order: Order, processes: int) -> Told:
    environ = dict(os.environ) | {"MONITOR_AZURE_TOKEN": TOKEN, "PYTHONPATH": str(Path(__file__).parents[3])}
    program = [sys.executable, "-m", "tests.azure.tenant.contend"]
    started = [
        subprocess.Popen(
            [*program, json.dumps(asdict(replace(order, place=number)))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )
        for number in range(processes)
    ]
    told = Told()
    for one in started:
        out, err = one.communicate(timeout=240)
        if one.returncode:
            told.errors.append(f"a process failed: {err.decode()[-300:]}")
            continue
        said = json.loads(out)
        told.stored, told.read = told.stored + said["stored"], told.read + said["read"]
        told.errors += said["errors"]
    return told


def _differences(engine: "Engine", bills: Bills, tenant: Tenant) -> Iterator[str]:
    """Compare the sum of each UTC day with that of the bill."""
    truth: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for subscription in tenant.queried:
        for one in bills.standing(subscription, BEGINS):
            truth[day_number(one.day), one.currency] += one.cost
    found: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    with reading(engine) as connection:
        for row in billed(connection, day_number(tenant.first), day_number(tenant.last)):
            found[row.day, row.currency] += row.billed_cost
    for key in sorted(truth.keys() | found.keys()):
        if truth[key] != found[key]:
            yield f"day {key}: truth {truth[key]}, found {found[key]}"


def _busiest(costs: CostManagement) -> dict[str, int]:
    """Return the most units that ever fell into a window of each of Azure's limits."""
    went = [one for one in costs.asked if not one.refused]
    tenant = {
        f"units in {seconds} s": _most([(one.at, one.units) for one in went], seconds) for seconds in (10, 60, 3600)
    }
    by_scope = [_most([(one.at, 1) for one in went if one.scope == scope], 60) for scope in {one.scope for one in went}]
    return tenant | {"of a scope in 60 s": max(by_scope)}


def _most(drawn: list[tuple[datetime, int]], seconds: int) -> int:
    window: deque[tuple[datetime, int]] = deque()
    most = 0
    for at, units in sorted(drawn):
        window.append((at, units))
        while window[0][0] <= at - timedelta(seconds=seconds):
            window.popleft()
        most = max(most, sum(size for _, size in window))
    return most


def main(written: str) -> None:
    """Be one of the processes."""
    order = Order(**json.loads(written))
    settings = load(order.config, {})
    engine = open_engine(settings.store.url)
    stored = read = 0
    errors: list[str] = []
    # Each begins elsewhere: else they would stand in line for one scope after the other.
    names = [one.name for one in settings.sources]
    names = names[order.place * 4 :] + names[: order.place * 4]
    for _ in range(order.rounds):
        for one in collect(engine, settings, now=order.clock.now(), names=names, clock=order.clock):
            stored, read = stored + one.stored, read + one.read
            errors += [str(error) for error in one.errors]
    engine.dispose()
    json.dump({"stored": stored, "read": read, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
