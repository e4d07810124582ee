"""What every report must answer at any instant of the tenant's life, worked out from what happened and nothing else."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from tests.azure.tenant.bills import Bills, Booking
from tests.azure.tenant.shape import PRICES, REQUESTS, UNPRICED, Deployment, Tenant
from tests.azure.tenant.traffic import MINUTE_MS, Asked, Traffic

EXPORTED_AT = time(5, 0)
"""When the export of a day runs."""

Key = tuple[str, str]
"""Workspace and deployment."""


class Used(NamedTuple):
    """What a deployment was asked on a UTC day, as far as its records have come."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    unmeasured: int = 0


@dataclass
class Minute:
    """What a deployment did in a calendar minute."""

    requests: int = 0
    tokens: int = 0
    throttled: int = 0
    causes: list[str] = field(default_factory=list)


class Storm(NamedTuple):
    """Minutes with refusals, at most one quiet minute between two of them; `end` is exclusive."""

    workspace: str
    deployment: str
    start: int
    end: int
    minutes: int
    throttled: int
    requests: int
    peak_tokens: int
    peak_requests: int


class Near(NamedTuple):
    """How near a deployment came to its limits."""

    peak_tokens: int
    peak_requests: int
    limit: int
    minutes_above_80: int
    minutes_at_limit: int
    requests: int
    throttled: int


class Answers:
    """The truth, as it is known after some collections; `advance` brings the next one."""

    def __init__(self, tenant: Tenant, traffic: Traffic, bills: Bills) -> None:
        self.tenant, self._traffic, self._bills = tenant, traffic, bills
        self.used: dict[tuple[date, str, str], Used] = defaultdict(Used)
        self.minutes: dict[Key, dict[int, Minute]] = defaultdict(lambda: defaultdict(Minute))
        self.mapped: set[str] = set()
        self.refused_by_gateway = 0
        self.broken: Mapping[str, int] = {}

    def advance(self, collection: int) -> None:
        """Take in what shows from that collection on."""
        for one in self._traffic.by_seen.get(collection, ()):
            deployment = self.tenant.deployments[one.deployment]
            if one.end == "gateway":
                # It never reached Azure.
                self.refused_by_gateway += 1
                continue
            minute = shown_minute(deployment, one)
            day = datetime.fromtimestamp(minute * MINUTE_MS / 1000, UTC).date()
            key = (day, deployment.workspace, deployment.name)
            read, written = one.tokens
            before = self.used[key]
            self.used[key] = Used(
                before.requests + 1,
                before.prompt + read,
                before.completion + written,
                before.unmeasured + (one.end == "unmeasured" and deployment.log != "metrics"),
            )
            there = self.minutes[deployment.workspace, deployment.name][minute]
            there.requests += 1
            there.tokens += read + written
            there.throttled += one.status == 429

    # Money -----------------------------------------------------------------------------------------------------------

    def estimated(self) -> dict[tuple[date, str, str], Decimal]:
        """Return what is estimated, by day, workspace and deployment, in US dollars; what is not 0."""
        models = {(one.workspace, one.name): one.model for one in self.tenant.deployments}
        costs = {}
        for key, one in self.used.items():
            model = models[key[1:]]
            if model != UNPRICED and (one.prompt or one.completion):
                read, written = (Decimal(price) / 1_000_000 for price in PRICES[model])
                costs[key] = one.prompt * read + one.completion * written
        return costs

    def standing(self, known_at: datetime) -> Iterator[Booking]:
        """Yield the rows that a collection at an instant finds: in the bill, or in the last export of it."""
        for subscription in self.tenant.queried:
            yield from self._bills.standing(subscription, known_at)
        run = datetime.combine(known_at.date(), EXPORTED_AT, UTC)
        run = run if run <= known_at else run - timedelta(days=1)
        yield from self._bills.standing(self.tenant.exported, run)

    def billed(self, known_at: datetime) -> dict[tuple[date, str, str, str], Decimal]:
        """Return what was billed for deployments as a collection then found it: by day, deployment and currency."""
        costs: dict[tuple[date, str, str, str], Decimal] = defaultdict(Decimal)
        for one in self.standing(known_at):
            if not self._is_nobodys(one):
                owner = self.tenant.deployments[one.deployment]
                costs[one.day, owner.workspace, owner.name, one.currency] += one.cost
        return dict(costs)

    def unattributed(self, known_at: datetime) -> dict[tuple[date, str, str, str], Decimal]:
        """Return what fits no deployment: by day, resource, meter and currency."""
        costs: dict[tuple[date, str, str, str], Decimal] = defaultdict(Decimal)
        for one in self.standing(known_at):
            if self._is_nobodys(one):
                costs[one.day, one.resource, one.meter, one.currency] += one.cost
        return dict(costs)

    def quantities(self, known_at: datetime) -> dict[tuple[date, str], Decimal]:
        """Return the billed tokens, by day and meter; nobody's are among them."""
        sums: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        for one in self.standing(known_at):
            sums[one.day, one.meter] += one.quantity * 1000
        return dict(sums)

    def _is_nobodys(self, one: Booking) -> bool:
        return self.tenant.deployments[one.deployment].ambiguous and one.resource not in self.mapped

    # Load ------------------------------------------------------------------------------------------------------------

    def storms(self) -> list[Storm]:
        """Return the throttle events of all time, by start, workspace and deployment."""
        found = []
        for (workspace, name), minutes in self.minutes.items():
            refusing = sorted(minute for minute, one in minutes.items() if one.throttled)
            for some in _joined(refusing):
                inside = [minutes[at] for at in range(some[0], some[-1] + 1) if at in minutes]
                found.append(
                    Storm(
                        workspace,
                        name,
                        some[0],
                        some[-1] + 1,
                        len(some),
                        sum(one.throttled for one in inside),
                        sum(one.requests for one in inside),
                        max(one.tokens for one in inside),
                        max(one.requests for one in inside),
                    )
                )
        return sorted(found, key=lambda one: (one.start, one.workspace, one.deployment))

    def headroom(self) -> dict[Key, Near]:
        """Return how near each deployment came to its limits in all its time."""
        return {
            (one.workspace, one.name): self._near(one, self.minutes[one.workspace, one.name])
            for one in self.tenant.deployments
            if self.minutes.get((one.workspace, one.name))
        }

    def _near(self, deployment: Deployment, minutes: dict[int, Minute]) -> Near:
        limits = {at: deployment.tokens_limit(_day(at)) for at in minutes}
        busiest = max(sorted(minutes), key=lambda at: minutes[at].tokens)
        return Near(
            peak_tokens=minutes[busiest].tokens,
            peak_requests=max(one.requests for one in minutes.values()),
            limit=limits[busiest],
            minutes_above_80=_reaching(minutes, limits, 4, 5),
            minutes_at_limit=_reaching(minutes, limits, 1, 1),
            requests=sum(one.requests for one in minutes.values()),
            throttled=sum(one.throttled for one in minutes.values()),
        )


def shown_minute(deployment: Deployment, one: Asked) -> int:
    """Return the minute since 1970 that a request is counted in: metrics show it in the one after its answer."""
    return one.minute + (deployment.log == "metrics")


def _day(minute: int) -> date:
    return datetime.fromtimestamp(minute * 60, UTC).date()


def _reaching(minutes: dict[int, Minute], limits: dict[int, int], part: int, whole: int) -> int:
    return sum(
        one.tokens * whole >= limits[at] * part or one.requests * whole >= REQUESTS * part
        for at, one in minutes.items()
    )


def _joined(minutes: list[int]) -> Iterator[list[int]]:
    """Cut an ordered list where more than one minute lies between two of them."""
    some: list[int] = []
    for minute in minutes:
        if some and minute - some[-1] > 2:
            yield some
            some = []
        some.append(minute)
    if some:
        yield some
