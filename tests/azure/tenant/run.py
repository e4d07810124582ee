"""Drives the tenant day by day: things happen, the sources are collected, every answer is compared with the truth."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

from monitor.collect import collect
from monitor.collect.tally import SourceResult
from monitor.config import load
from monitor.store import migrate
from monitor.store.attribution import attribute, map_resource
from monitor.store.charged import deployment_named
from monitor.store.engine import open_engine, writing
from tests.azure.server import Call
from tests.azure.tenant.answers import Answers
from tests.azure.tenant.checks import Checks
from tests.azure.tenant.shape import Tenant
from tests.azure.tenant.world import World, world

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ASKED_AGAIN = 3
"""How many earlier collections are asked for again after each day."""
COLLECTED_TWICE = 5
"""On every so many days, of a large tenant, everything is collected once more at once."""
AFTER = timedelta(minutes=90)
"""So long after a collection nothing more is known than at its end."""


@dataclass
class Day:
    """What one simulated day took, and what was wrong at its end."""

    day: datetime
    records: int = 0
    stored: int = 0
    duplicates: int = 0
    ignored: int = 0
    quarantined: int = 0
    cost_requests: int = 0
    refused: int = 0
    other_requests: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, results: list[SourceResult]) -> None:
        for one in results:
            self.records += one.read
            self.stored += one.stored
            self.duplicates += one.duplicates
            self.ignored += one.ignored
            self.quarantined += one.quarantined
            self.wrong += [f"{one.source}: {error}" for error in one.errors]

    def in_words(self) -> str:
        state = "ok" if not self.wrong else f"{len(self.wrong)} WRONG"
        parts = (
            f"{self.day:%Y-%m-%d}",
            f"{self.records:>7,} read",
            f"{self.stored:>6,} stored",
            f"{self.duplicates:>6,} known",
            f"{self.ignored:>5,} ignored",
            f"{self.cost_requests:>4} cost queries ({self.refused} refused, waited {self.waited:.0f} s)",
            f"{self.other_requests:>4} other requests",
            f"{self.seconds:4.1f} s",
            state,
        )
        return "  ".join(parts)


class Run:
    """A tenant's life in one store."""

    def __init__(self, tenant: Tenant, there: World, engine: "Engine", folder: Path) -> None:
        self.tenant, self.world, self.engine = tenant, there, engine
        file = folder / "monitor.toml"
        file.write_text(there.settings(str(engine.url.render_as_string(hide_password=False))), "utf-8")
        self.settings = load(file, {})
        self.truth = Answers(tenant, there.traffic, there.bills)
        self.checks = Checks(engine, self.settings, self.truth)
        self._random = Random(tenant.seed)
        self._calls = 0

    def days(self) -> Iterator[Day]:
        """Live through all days; each is yielded when it is over and checked."""
        day = Day(self.tenant.collects[0])
        started = monotonic()
        for number in range(len(self.tenant.collects)):
            self._collect(number, day)
            if (number + 1) % len(self.tenant.collected) == 0:
                self._end(number, day)
                day.seconds = monotonic() - started
                yield day
                day, started = Day(self.tenant.collects[number]), monotonic()

    def _collect(self, number: int, day: Day) -> None:
        at = self.world.prepare(number)
        asked, calls, slept = len(self.world.costs.asked), len(self.world.server.calls), self.world.clock.slept
        day.add(collect(self.engine, self.settings, now=at, clock=self.world.clock))
        self.truth.advance(number)
        self.truth.broken = self.world.broken
        new = self.world.costs.asked[asked:]
        day.cost_requests += len(new)
        day.refused += sum(one.refused for one in new)
        day.other_requests += len(self.world.server.calls) - calls - len(new)
        day.waited += self.world.clock.slept - slept

    def _end(self, number: int, day: Day) -> None:
        """Compare everything as it is now and something as it was, and collect once more, which changes nothing."""
        at = self.tenant.collects[number]
        if at.date() == self.tenant.day(0.6):
            self._map_by_hand(at)
        day.wrong += self.checks.all(at)
        for earlier in sorted(self._random.sample(range(number), min(number, ASKED_AGAIN))):
            day.wrong += self.asked_again(earlier)
        if self.tenant.days < COLLECTED_TWICE**2 or at.day % COLLECTED_TWICE == 0:
            day.wrong += self._twice()
        day.wrong += self.world.costs.violations
        self.world.costs.violations.clear()

    def _twice(self) -> Iterator[str]:
        for one in collect(self.engine, self.settings, now=self.world.clock.now(), clock=self.world.clock):
            if one.stored:
                yield f"{one.source}: a second collection stored {one.stored}"
            yield from (f"{one.source}: {error}" for error in one.errors)

    def asked_again(self, number: int) -> Iterator[str]:
        """Compare what was billed as known after an earlier collection with what it was then."""
        at = self.tenant.collects[number]
        yield from self.checks.money(at, at + AFTER)

    def _map_by_hand(self, at: datetime) -> None:
        """Say whose the charges are that nothing tells apart, where that can be said."""
        with writing(self.engine) as connection:
            for one in self.tenant.deployments:
                if one.ambiguous and not one.foundry:
                    resource = one.resource(self.tenant.first)
                    map_resource(connection, resource, deployment_named(connection, one.workspace, one.name), at)
                    self.truth.mapped.add(resource)
            attribute(connection)

    def summary(self) -> list[str]:
        """Say what it all was."""
        kinds = Counter(_kind(call) for call in self.world.server.calls)
        bills = self.world.bills
        said = ", ".join(f"{count / self.tenant.days:.0f} {kind}" for kind, count in kinds.most_common())
        tenant = self.tenant
        happened = f"{len(self.world.traffic.asked):,} requests of {tenant.size} deployments"
        return [
            f"{happened} in {tenant.workspaces} workspaces over {tenant.days} days",
            f"{self.world.blobs:,} blobs, {self.world.appends:,} appends",
            f"{len(bills.bookings):,} rows billed, {bills.changes:,} of them restated",
            f"{self.checks.asked:,} reports compared",
            f"asked of Azure on a day: {said}; storage apart",
            f"waited {self.world.clock.slept:,.0f} simulated seconds for Cost Management",
        ]


def _kind(call: Call) -> str:
    path = call.path.lower()
    if path.startswith("/v1/"):
        return "log queries"
    if path.endswith("costmanagement/query"):
        return "cost queries"
    return "metric queries" if path.endswith("/metrics") else "lists of resources"


@contextmanager
def living(tenant: Tenant, storage: str, store: str, folder: Path) -> Iterator[Run]:
    """Set a tenant up in a storage account and a store, both given by their addresses."""
    engine = open_engine(store)
    try:
        migrate.ensure(engine)
        with world(tenant, storage) as there:
            yield Run(tenant, there, engine, folder)
    finally:
        engine.dispose()
