"""Proof that the rollups say what the events say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from monitor.domain.period import MINUTES_A_DAY, instant_of, rfc3339
from monitor.domain.quota import Busiest
from monitor.domain.records import Cause
from monitor.store.meta import noted
from monitor.store.tables import SUMMED, deployment, usage_day, usage_event, usage_minute
from monitor.store.usage import PRUNED, busiest_minutes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def verify(connection: "Connection") -> Iterator[str]:
    """Yield every difference between events and minutes, minutes and days, days and their busiest minutes; none is well.

    Minutes from before the events were pruned have nothing left to be held against, and are passed over.
    """
    kept_from = int(noted(connection, PRUNED) or 0)
    names = {row.id: row.name for row in connection.execute(sa.select(deployment.c.id, deployment.c.name))}
    summed = _summed_events().where(usage_event.c.minute >= kept_from)
    stored = _rollup(usage_minute, "minute").where(usage_minute.c.minute >= kept_from)
    for row in _differences(connection, summed, stored):
        yield f"{names.get(row[0], row[0])}: the minute {rfc3339(instant_of(row[2]))} differs from its events"
    for row in _differences(connection, _summed_minutes(), _rollup(usage_day, "day")):
        yield f"{names.get(row[0], row[0])}: the day {instant_of(row[2] * MINUTES_A_DAY):%Y-%m-%d} differs from its minutes"
    yield from _wrong_busiest(connection, names)


def _rollup(table: sa.Table, time: str) -> "sa.Select[Any]":
    values = [table.c[name] for name in (*SUMMED, "longest_retry_after_ms")]
    return sa.select(table.c.deployment_id, table.c.source_id, table.c[time], *values)


def _summed_events() -> "sa.Select[Any]":
    event = usage_event.c
    throttled = event.status == 429
    failed = sa.and_(event.status >= 400, ~throttled)
    lacking = sa.or_(event.prompt_tokens.is_(None), event.completion_tokens.is_(None))
    unmeasured = sa.and_(lacking, sa.or_(event.status.is_(None), event.status < 400))
    values = {
        "requests": sa.func.count(),
        "prompt_tokens": _sum(event.prompt_tokens),
        "completion_tokens": _sum(event.completion_tokens),
        "cached_tokens": _sum(event.cached_tokens),
        "failed_requests": _count(failed),
        "throttled_requests": _count(throttled),
        "throttled_by_tokens": _count(sa.and_(throttled, event.cause == Cause.TOKENS)),
        "throttled_by_requests": _count(sa.and_(throttled, event.cause == Cause.REQUESTS)),
        "throttled_by_capacity": _count(sa.and_(throttled, event.cause == Cause.CAPACITY)),
        "unmeasured_requests": _count(unmeasured),
    }
    keys = event.deployment_id, event.source_id, event.minute
    longest = sa.func.coalesce(sa.func.max(event.retry_after_ms), 0)
    return sa.select(*keys, *(values[name].label(name) for name in SUMMED), longest).group_by(*keys)


def _sum(column: "sa.ColumnElement[Any]") -> "sa.ColumnElement[Any]":
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)


def _count(condition: "sa.ColumnElement[bool]") -> "sa.ColumnElement[Any]":
    return _sum(sa.case((condition, 1), else_=0))


def _summed_minutes() -> "sa.Select[Any]":
    at = usage_minute.c
    day = sa.cast(sa.func.floor(at.minute / MINUTES_A_DAY), sa.Integer)
    sums = [_sum(at[name]) for name in SUMMED]
    return sa.select(at.deployment_id, at.source_id, day, *sums, sa.func.max(at.longest_retry_after_ms)).group_by(
        at.deployment_id, at.source_id, day
    )


def _differences(connection: "Connection", one: "sa.Select[Any]", other: "sa.Select[Any]") -> "list[sa.Row[Any]]":
    """Rows of either query that the other does not have, one for each (deployment, source, time)."""
    rows = [*connection.execute(sa.except_(one, other)), *connection.execute(sa.except_(other, one))]
    return list({tuple(row[:3]): row for row in rows}.values())


def _wrong_busiest(connection: "Connection", names: "dict[int, str]") -> Iterator[str]:
    day = usage_day.c
    settled = sa.select(day.deployment_id, day.source_id, day.day, day.busiest).where(day.busiest.is_not(None))
    for row in connection.execute(settled).all():
        if Busiest.encode(*busiest_minutes(connection, row.deployment_id, row.source_id, row.day)) != row.busiest:
            shown = f"{instant_of(row.day * MINUTES_A_DAY):%Y-%m-%d}"
            yield f"{names.get(row.deployment_id, row.deployment_id)}: the busiest minutes of {shown} are not those of its minutes"
