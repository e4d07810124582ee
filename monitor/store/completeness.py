"""How far each source is known: what every report says, because silence is not zero."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from monitor.domain.answer import Known, Question, State
from monitor.domain.period import MINUTES_A_DAY, instant_of
from monitor.store.charges import known
from monitor.store.minutes import last_minutes
from monitor.store.tables import cost_day, cost_pull, source

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

USAGE_LAG = timedelta(hours=1)
COST_LAG = timedelta(days=2)
"""Azure shows costs after 8 to 24 hours, and Marketplace publishers may report usage up to 24 hours late."""


def completeness(connection: "Connection", question: Question) -> list[Known]:
    """Return every source with how far it is known, by name.

    Usage is known up to the end of the last minute with a request, costs up to the end of the last UTC day that a pull
    answered for. A source is behind when that, and for usage also its last collection, lies before the end of the
    period (or before now) by more than its usual lag.
    """
    wanted = min(question.period.end, question.known_at)
    used, billed = last_minutes(connection), _last_costs(connection, question.as_of)
    listed = connection.execute(
        sa.select(source.c.id, source.c.name, source.c.kind, source.c.collected_at).order_by(source.c.name)
    )
    return [
        Known(name, kind, upto, _state(upto, collected, is_billed=number in billed, wanted=wanted))
        for number, name, kind, collected in listed
        for upto in [billed.get(number, used.get(number))]
    ]


def _state(upto: datetime | None, collected: datetime | None, *, is_billed: bool, wanted: datetime) -> State:
    if upto is None:
        return "empty"
    seen = upto if is_billed or collected is None else max(upto, collected)
    return "current" if seen >= wanted - (COST_LAG if is_billed else USAGE_LAG) else "behind"


def _last_costs(connection: "Connection", as_of: datetime | None) -> dict[int, datetime]:
    asked = (
        sa.select(cost_pull.c.source_id, sa.func.max(cost_day.c.day))
        .join_from(cost_day, cost_pull, cost_pull.c.id == cost_day.c.pull_id)
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
    return said or ["No source has been collected."]
