"""Minutes that a source says as sums: each is replaced by what is said of it last, and its day is worked out anew."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from monitor.domain.metered import MeteredMinute, Minutes, Said, said_anew
from monitor.domain.period import MINUTES_A_DAY
from monitor.store.engine import insert
from monitor.store.progress import Counts
from monitor.store.rolling import VALUES, days_anew
from monitor.store.tables import usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

NEAR = 2
"""So many minutes beside those that are said decide what the ones next to them are."""


def record_minutes(connection: "Connection", source_id: int, said: Mapping[int, Mapping[int, Said]]) -> Counts:
    """Store what is said of minutes, by deployment; what is not said of them stays as it was.

    A minute in which something happened, or in which something was known to have happened, is read: stored where the
    store did not have it so, else a duplicate.
    """
    counts = Counts()
    changed_days = set()
    for deployment_id, minutes in said.items():
        changed = _record(connection, source_id, deployment_id, minutes)
        stored = len(changed & minutes.keys())
        read = sum(one.happened or minute in changed for minute, one in minutes.items())
        counts.add(Counts(read=read, stored=stored, duplicates=read - stored))
        changed_days |= {(deployment_id, minute // MINUTES_A_DAY) for minute in changed}
    days_anew(connection, source_id, sorted(changed_days))
    return counts


def _record(connection: "Connection", source_id: int, deployment_id: int, said: Mapping[int, Said]) -> set[int]:
    """Replace the minutes of one deployment that are said otherwise than known; return which."""
    if not said:
        return set()
    known = _known(connection, source_id, deployment_id, min(said) - NEAR, max(said) + NEAR)
    after = said_anew(known, said)
    changed = {minute for minute in known.keys() | after.keys() if known.get(minute) != after.get(minute)}
    if changed:
        first, last = min(changed), max(changed)
        connection.execute(usage_minute.delete().where(_between(source_id, deployment_id, first, last)))
        rows = {minute: one for minute, one in after.items() if first <= minute <= last}
        _insert(connection, source_id, deployment_id, rows)
    return changed


def _known(connection: "Connection", source_id: int, deployment_id: int, first: int, last: int) -> Minutes:
    columns = [usage_minute.c[name] for name in MeteredMinute._fields]
    asked = sa.select(usage_minute.c.minute, *columns).where(_between(source_id, deployment_id, first, last))
    return {minute: MeteredMinute(*row) for minute, *row in connection.execute(asked)}


def _between(source_id: int, deployment_id: int, first: int, last: int) -> "sa.ColumnElement[bool]":
    at = usage_minute.c
    return sa.and_(at.deployment_id == deployment_id, at.source_id == source_id, at.minute.between(first, last))


def _insert(connection: "Connection", source_id: int, deployment_id: int, rows: Minutes) -> None:
    if not rows:
        return
    count = len(rows)
    columns = {name: np.zeros(count, dtype=np.int64) for name in VALUES}
    said = np.array(list(rows.values()), dtype=np.int64).T
    columns |= dict(zip(MeteredMinute._fields, said, strict=True))
    insert(
        connection,
        usage_minute,
        {
            "deployment_id": np.full(count, deployment_id),
            "source_id": np.full(count, source_id),
            "minute": np.fromiter(rows, dtype=np.int64, count=count),
            **columns,
        },
    )
