"""What a rollup is, in SQL: a minute is the sum of its events, a day the sum of its minutes.

Collecting adds numpy's sums, because that is faster; these queries prove them, and work out anew what was corrected.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.records import Cause
from monitor.store.tables import SUMMED, usage_day, usage_event, usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

VALUES = (*SUMMED, "longest_retry_after_ms")


def work_out_anew(connection: "Connection", source_id: int, minutes: Iterable[tuple[int, int]]) -> None:
    """Replace the rollups of (deployment, minute) pairs of a source, and of their days, by what the events say now."""
    pairs = set(minutes)
    at = usage_minute.c
    for deployment_id, minute in pairs:
        here = sa.and_(at.deployment_id == deployment_id, at.source_id == source_id, at.minute == minute)
        event = usage_event.c
        there = sa.and_(event.deployment_id == deployment_id, event.source_id == source_id, event.minute == minute)
        _replace(connection, usage_minute, here, summed_events().where(there))
    days_anew(connection, source_id, {(deployment_id, minute // MINUTES_A_DAY) for deployment_id, minute in pairs})


def days_anew(connection: "Connection", source_id: int, days: Iterable[tuple[int, int]]) -> None:
    """Replace the (deployment, day) rollups of a source by what their minutes say now."""
    at, on = usage_minute.c, usage_day.c
    for deployment_id, day in days:
        here = sa.and_(on.deployment_id == deployment_id, on.source_id == source_id, on.day == day)
        within = sa.and_(at.minute >= day * MINUTES_A_DAY, at.minute < (day + 1) * MINUTES_A_DAY)
        there = sa.and_(at.deployment_id == deployment_id, at.source_id == source_id, within)
        _replace(connection, usage_day, here, summed_minutes().where(there))


def _replace(
    connection: "Connection", table: sa.Table, here: "sa.ColumnElement[bool]", summed: "sa.Select[Any]"
) -> None:
    time = "minute" if table is usage_minute else "day"
    connection.execute(table.delete().where(here))
    connection.execute(table.insert().from_select(["deployment_id", "source_id", time, *VALUES], summed))


def summed_events() -> "sa.Select[Any]":
    """Select deployment, source, minute and VALUES of every minute, from the events."""
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


def summed_minutes() -> "sa.Select[Any]":
    """Select deployment, source, day and VALUES of every day, from the minutes."""
    at = usage_minute.c
    day = sa.cast(sa.func.floor(at.minute / MINUTES_A_DAY), sa.Integer)
    sums = [_sum(at[name]) for name in SUMMED]
    return sa.select(at.deployment_id, at.source_id, day, *sums, sa.func.max(at.longest_retry_after_ms)).group_by(
        at.deployment_id, at.source_id, day
    )
