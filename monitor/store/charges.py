"""Charges: what was billed, pull by pull, each replacing what was known of its scopes and days.

Recording a pull: 1 the object is as it was when it was last recorded: nothing changes; 2 a day that says what is known
of it already is confirmed, and not recorded again; 3 what else was current of the scopes and days that the pull answers
for gets `superseded_at`, whichever source it came from, except where it was written or confirmed later than the pull:
there the pull itself is superseded from the start, kept and never counted; 4 the pull, its days and their charges are
inserted with `recorded_at`; all in the caller's one transaction (monitor.store.engine.writing). So the answer written
last counts, in whatever order answers come. A pull that answers for no day supersedes nothing. A row counts at an
instant if it was recorded by then and not superseded yet.

An answer for a whole subscription holds what one for a resource group in it says: of a day of which both are known the
wider one counts, whichever came first, lest the group's charges count twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from xxhash import xxh3_128_intdigest

from monitor.domain.money import quantity_to_store, to_store
from monitor.domain.records import Charge, scope_of
from monitor.store.tables import charge, charged_resource, cost_day, cost_pull

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_encode = msgspec.msgpack.Encoder().encode

IN_GROUP = "/resourcegroups/"
"""Stands between a subscription and a group in the scope of an answer for the group alone."""
AT_ONCE = 500
ROWS_AT_ONCE = 10_000

Place = tuple[str, int]
"""A scope and a UTC day."""


class Seen(NamedTuple):
    """How an object was when it was recorded: what it said, and when that was written (nanoseconds since 1970)."""

    fingerprint: str
    written_at: int


class CostPull(Struct, frozen=True, kw_only=True):
    """What one answer of a biller says: for every (scope, UTC day) of `days` the charges it has, which may be none.

    `object` names where it came from; `fingerprint` is the same only for an answer that says the same; `written_at` is
    when the biller gave it, in nanoseconds since 1970. Of two written at once the one with the later name counts.
    `scope` is the scope of every charge, '' where each is of its own subscription or billing account.
    """

    source_id: int
    object: str
    fingerprint: str
    written_at: int
    recorded_at: datetime
    charges: Sequence[Charge]
    days: Mapping[Place, int]
    scope: str = ""

    def place(self, one: Charge) -> Place:
        """Return the scope and day that a charge is replaced with."""
        return self.scope or scope_of(one.sub_account_id, one.billing_account_id), one.charge_period_start

    @property
    def seen(self) -> Seen:
        """How the object was."""
        return Seen(self.fingerprint, self.written_at)


class PullResult(Struct, frozen=True, kw_only=True):
    """How many charges of a pull were new, and how many are of days that are known to be so already."""

    stored: int
    duplicates: int


def record_pull(connection: "Connection", pull: CostPull) -> PullResult:
    """Record a pull, in the steps above."""
    last = _pulls(pull.source_id).where(cost_pull.c.object == pull.object).order_by(cost_pull.c.id.desc()).limit(1)
    if any(Seen(fingerprint, written_at) == pull.seen for _, fingerprint, written_at in connection.execute(last)):
        return PullResult(stored=0, duplicates=len(pull.charges))
    said = _said(pull)
    outdated, confirmed = _held_against(connection, pull, said)
    number = _insert_pull(connection, pull)
    _confirm(connection, number, confirmed)
    news = [one for one in pull.charges if pull.place(one) not in confirmed]
    _supersede(connection, pull, said.keys() - outdated - confirmed)
    _insert_days(connection, pull, number, said, confirmed, outdated)
    _insert_charges(connection, pull, number, news, outdated)
    return PullResult(stored=len(news), duplicates=len(pull.charges) - len(news))


def last_seen(connection: "Connection", source_id: int) -> dict[str, Seen]:
    """Return how each object of a source was when it was last recorded."""
    last = sa.select(sa.func.max(cost_pull.c.id)).where(cost_pull.c.source_id == source_id).group_by(cost_pull.c.object)
    rows = connection.execute(_pulls(source_id).where(cost_pull.c.id.in_(last)).order_by(cost_pull.c.id))
    return {name: Seen(fingerprint, written_at) for name, fingerprint, written_at in rows}


def _pulls(source_id: int) -> "sa.Select[Any]":
    columns = (cost_pull.c.object, cost_pull.c.fingerprint, cost_pull.c.written_at)
    return sa.select(*columns).where(cost_pull.c.source_id == source_id)


def _said(pull: CostPull) -> dict[Place, str]:
    """Return what each day of a pull says, as a text that is the same for the same charges in any order."""
    sums = dict.fromkeys(pull.days, 0)
    for one in pull.charges:
        sums[pull.place(one)] += xxh3_128_intdigest(_encode(one))
    return {place: f"{total % 2**128:032x}" for place, total in sums.items()}


def _held_against(connection: "Connection", pull: CostPull, said: Mapping[Place, str]) -> tuple[set[Place], set[Place]]:
    """Return of which scopes and days something is known that was written later, and which are known to be so already.

    Names are compared here and not by the store: engines sort text differently.
    """
    outdated, confirmed = set(), set()
    current = sa.select(cost_day.c.day, cost_day.c.fingerprint, cost_pull.c.written_at, cost_pull.c.object).join(
        cost_pull, cost_pull.c.id == cost_day.c.confirmed_by
    )
    for scope, some in _by_scope(pull.days):
        asked = (cost_day.c.scope == scope, cost_day.c.day.in_(some), cost_day.c.superseded_at.is_(None))
        for day, fingerprint, written_at, name in connection.execute(current.where(*asked)):
            if (written_at, name) > (pull.written_at, pull.object):
                outdated.add((scope, day))
            elif fingerprint == said[scope, day]:
                confirmed.add((scope, day))
    wider = _known_wider(connection, pull)
    return outdated - wider, confirmed | wider


def _known_wider(connection: "Connection", pull: CostPull) -> set[Place]:
    """Return the days of resource groups of which their whole subscription is known."""
    known_wider = set()
    for scope, some in _by_scope(pull.days):
        if IN_GROUP in scope:
            wider = scope.partition(IN_GROUP)[0]
            asked = (cost_day.c.scope == wider, cost_day.c.day.in_(some), cost_day.c.superseded_at.is_(None))
            known_wider |= {(scope, day) for day in connection.scalars(sa.select(cost_day.c.day).where(*asked))}
    return known_wider


def _confirm(connection: "Connection", number: int, places: set[Place]) -> None:
    for scope, some in _by_scope(places):
        here = (cost_day.c.scope == scope, cost_day.c.day.in_(some), cost_day.c.superseded_at.is_(None))
        connection.execute(sa.update(cost_day).where(*here).values(confirmed_by=number))


def _supersede(connection: "Connection", pull: CostPull, places: Iterable[Place]) -> None:
    for scope, some in _by_scope(places):
        for table, day_column in ((charge, charge.c.charge_period_start), (cost_day, cost_day.c.day)):
            connection.execute(
                sa.update(table)
                .where(_within(table, scope), day_column.in_(some), table.c.superseded_at.is_(None))
                .values(superseded_at=pull.recorded_at)
            )


def _within(table: sa.Table, scope: str) -> "sa.ColumnElement[bool]":
    """Return the condition that a row is of a scope, or of a resource group in it."""
    groups = table.c.scope.startswith(f"{scope}{IN_GROUP}", autoescape=True)
    return sa.or_(table.c.scope == scope, groups) if scope else table.c.scope == scope


def _by_scope(places: Iterable[Place]) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield the days of each scope, as many at once as a statement takes."""
    by_scope: dict[str, list[int]] = defaultdict(list)
    for scope, day in places:
        by_scope[scope].append(day)
    for scope, days in by_scope.items():
        for some in _chunks(sorted(days), AT_ONCE):
            yield scope, some


def _insert_pull(connection: "Connection", pull: CostPull) -> int:
    covered = [day for _, day in pull.days]
    row = {
        "source_id": pull.source_id,
        "object": pull.object,
        "fingerprint": pull.fingerprint,
        "written_at": pull.written_at,
        "recorded_at": pull.recorded_at,
        "first_day": min(covered, default=None),
        "last_day": max(covered, default=None),
        "rows": len(pull.charges),
    }
    number: int = connection.execute(sa.insert(cost_pull).returning(cost_pull.c.id).values(row)).scalar_one()
    return number


def _insert_days(
    connection: "Connection",
    pull: CostPull,
    number: int,
    said: Mapping[Place, str],
    confirmed: set[Place],
    outdated: set[Place],
) -> None:
    rows = [
        {
            "scope": place[0],
            "day": place[1],
            "pull_id": number,
            "confirmed_by": number,
            "fingerprint": fingerprint,
            "recorded_at": pull.recorded_at,
            "superseded_at": pull.recorded_at if place in outdated else None,
            "rows": pull.days[place],
        }
        for place, fingerprint in said.items()
        if place not in confirmed
    ]
    if rows:
        connection.execute(sa.insert(cost_day), rows)


def _insert_charges(
    connection: "Connection", pull: CostPull, number: int, news: Sequence[Charge], outdated: set[Place]
) -> None:
    resources = _resource_numbers(connection, news)
    recorded = {"pull_id": number, "recorded_at": pull.recorded_at}
    for some in _chunks(news, ROWS_AT_ONCE):
        rows = []
        for one in some:
            place = pull.place(one)
            known_as = {"scope": place[0], "resource": resources[one.resource_id, one.model or ""]}
            superseded_at = pull.recorded_at if place in outdated else None
            rows.append(recorded | known_as | _row(one) | {"superseded_at": superseded_at})
        connection.execute(sa.insert(charge), rows)


def _row(one: Charge) -> dict[str, Any]:
    nano, remainder = to_store(one.billed_cost)
    return {
        "charge_period_start": one.charge_period_start,
        "meter": one.meter,
        "meter_name": one.meter_name,
        "model": one.model,
        "marketplace": one.marketplace,
        "billed_cost": nano,
        "billed_cost_remainder": remainder,
        "billed_cost_text": str(one.billed_cost),
        "billing_currency": one.billing_currency,
        "consumed_quantity": quantity_to_store(one.consumed_quantity),
        "pricing_quantity_text": None if one.pricing_quantity is None else str(one.pricing_quantity),
        "pricing_unit": one.pricing_unit,
        "sub_account_id": one.sub_account_id,
        "billing_account_id": one.billing_account_id,
        "publisher_name": one.publisher_name,
        "charge_category": one.charge_category,
    }


def _resource_numbers(connection: "Connection", charges: Sequence[Charge]) -> dict[tuple[str, str], int]:
    """Return the numbers of the charged resources and models, those seen for the first time included."""
    described = {(one.resource_id, one.model or ""): one for one in reversed(charges)}
    numbers: dict[tuple[str, str], int] = {}
    query = sa.select(charged_resource.c.resource_id, charged_resource.c.model, charged_resource.c.id)
    for some in _chunks(sorted(described), AT_ONCE):
        asked = query.where(charged_resource.c.resource_id.in_({name for name, _ in some}))
        numbers |= {(row[0], row[1]): row[2] for row in connection.execute(asked)}
        missing = [
            {"resource_id": key[0], "model": key[1], "described_as": _described(described[key])}
            for key in some
            if key not in numbers
        ]
        if missing:
            connection.execute(sa.insert(charged_resource), missing)
            numbers |= {(row[0], row[1]): row[2] for row in connection.execute(asked)}
    return numbers


def _described(one: Charge) -> str:
    return " | ".join(filter(None, (one.plan, one.meter_name)))


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
