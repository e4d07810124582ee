"""How far each source is known: what every report says, because silence is not zero."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor.domain.answer import Known, Question, State
from monitor.domain.period import MINUTES_A_DAY, instant_of, minute_number
from monitor.store.billed import known
from monitor.store.minutes import last_minutes
from monitor.store.tables import cost_day, cost_pull, source, usage_day, usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SKEW = timedelta(minutes=5)
"""Clocks differ, and records arrive while others are read: so little after the collection is not the future."""

USAGE_LAG = timedelta(hours=1)
COST_LAG = timedelta(days=2)
"""Azure shows costs after 8 to 24 hours, and Marketplace publishers may report usage up to 24 hours late."""


def completeness(connection: "Connection", question: Question) -> list[Known]:
    """Return every source with how far it is known, by name.

    Usage is known up to the end of the last minute with a request, costs up to the end of the last UTC day that a pull
    answered for. A source is behind when that, and for usage also its last collection, lies before the end of the
    period (or before now) by more than its usual lag. Inventory is known up to its last collection. Nothing is known
    beyond the last collection, or beyond now: records that lie later are counted as ahead.
    """
    wanted = min(question.period.end, question.known_at)
    used, billed = last_minutes(connection), _last_costs(connection, question.as_of)
    listed = connection.execute(
        sa.select(source.c.id, source.c.name, source.c.kind, source.c.collected_at, source.c.yields).order_by(
            source.c.name
        )
    )
    found = []
    for number, name, kind, collected, yields in listed:
        limit = min(collected or question.now, question.now)
        last = collected if yields == "resources" else billed.get(number, used.get(number))
        upto = None if last is None else min(last, limit)
        is_slow = number in billed or yields == "resources"
        state = _state(upto, collected, is_slow=is_slow, wanted=wanted)
        # Almost no source has such records, and only those that have some are worth reading minutes for.
        is_ahead = number in used and used[number] > limit + SKEW
        found.append(Known(name, kind, upto, state, _ahead(connection, number, limit + SKEW) if is_ahead else 0))
    return found


def _ahead(connection: "Connection", source_id: int, limit: datetime) -> int:
    """Count a source's requests in the minutes that begin after an instant."""
    day, minute, last = usage_day.c, usage_minute.c, minute_number(limit)
    asked = (
        sa.select(sa.func.sum(minute.requests))
        .join_from(
            usage_day,
            usage_minute,
            sa.and_(
                minute.deployment_id == day.deployment_id,
                minute.source_id == day.source_id,
                minute.minute.between(day.day * MINUTES_A_DAY, (day.day + 1) * MINUTES_A_DAY - 1),
            ),
        )
        .where(day.source_id == source_id, day.day >= last // MINUTES_A_DAY, minute.minute > last)
    )
    return int(connection.scalar(asked) or 0)


def _state(upto: datetime | None, collected: datetime | None, *, is_slow: bool, wanted: datetime) -> State:
    if upto is None:
        return "empty"
    seen = upto if is_slow or collected is None else max(upto, collected)
    return "current" if seen >= wanted - (COST_LAG if is_slow else USAGE_LAG) else "behind"


def _last_costs(connection: "Connection", as_of: datetime | None) -> dict[int, datetime]:
    asked = (
        sa.select(cost_pull.c.source_id, sa.func.max(cost_day.c.day))
        .join_from(cost_day, cost_pull, cost_pull.c.id == cost_day.c.confirmed_by)
        .where(*known(cost_day, as_of))
        .group_by(cost_pull.c.source_id)
    )
    return {number: instant_of((day + 1) * MINUTES_A_DAY) for number, day in connection.execute(asked)}


def in_words(found: list[Known]) -> list[str]:
    """Say in one line each how far usage and costs are known, and which sources are behind or empty."""
    said = []
    upto = [f"{one.source} to {one.known_up_to:%Y-%m-%d %H:%M} UTC" for one in found if one.known_up_to]
    if upto:
        said.append(f"Known: {', '.join(upto)}.")
    for state, meaning in (("behind", "Behind"), ("empty", "Nothing is known yet from")):
        named = [one.source for one in found if one.state == state]
        if named:
            said.append(f"{meaning}: {', '.join(named)}.")
    said += [
        f"In the future: {one.ahead:,} record{'' if one.ahead == 1 else 's'} of {one.source}; check the writer's clock."
        for one in found
        if one.ahead
    ]
    return said or ["No source has been collected."]
