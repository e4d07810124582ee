"""Usage events and their rollups: stored exactly once, added up in the same transaction.

Everything works on whole columns. An event's key is (minute, identity); a duplicate is looked for in its own minute and
the two beside it, because two writers of one request may note different times.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.quota import Busiest
from monitor.domain.records import Cause
from monitor.store.engine import add_up, by_index, insert, stage
from monitor.store.meta import noted, write_down
from monitor.store.rolling import work_out_anew
from monitor.store.tables import usage_day, usage_event, usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Column = NDArray[np.int64]
Events = dict[str, Column]
"""Equally long columns named as in `usage_event`, without `source_id`; -1 means null."""

PRUNED = "events dropped before minute"
TOO_OLD = "older than the events that are kept"

COMPLETED = ("status", "prompt_tokens", "completion_tokens", "cached_tokens", "max_tokens")
"""What a duplicate that reports its tokens adds to an event that does not; time and place stay as they were."""

_KEY_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "row": sa.Integer(),
    "minute": sa.Integer(),
    "identity": sa.BigInteger(),
}


def store_events(connection: "Connection", source_id: int, events: Events) -> int:
    """Store events and add them to the rollups; return how many were new.

    1 order them by key and drop repetitions within the batch; 2 look up which the store already has; 3 insert the
    others; 4 add them to their minutes and days. A duplicate that reports tokens completes a stored one that does not.
    """
    ordered = _take(events, np.lexsort((events["identity"], events["minute"])))
    distinct = _distinct(ordered)
    rows, old = _already_stored(connection, distinct)
    fresh = np.ones(len(distinct["minute"]), dtype=bool)
    fresh[rows] = False
    _complete(connection, source_id, _take(distinct, rows), old)
    new = _take(distinct, np.flatnonzero(fresh))
    if len(new["minute"]):
        insert(connection, usage_event, {**new, "source_id": np.full(len(new["minute"]), source_id)})
        _roll_up(connection, source_id, new)
    return len(new["minute"])


def _take(events: Events, rows: NDArray[Any]) -> Events:
    return {name: column[rows] for name, column in events.items()}


def _measured(events: Events) -> NDArray[np.bool_]:
    return (events["prompt_tokens"] >= 0) & (events["completion_tokens"] >= 0)


def _distinct(events: Events) -> Events:
    """Drop repetitions: of each request the first event stays, completed by one that reports its tokens."""
    identity, minute = events["identity"], events["minute"]
    order = np.lexsort((minute, identity))
    again = np.flatnonzero((np.diff(identity[order]) == 0) & (np.diff(minute[order]) <= 1)) + 1
    if not len(again):
        return events
    measured = _measured(events)
    keep = np.ones(len(identity), dtype=bool)
    first = order.copy()
    for place in again.tolist():
        one, before = order[place], first[place - 1]
        if minute[one] - minute[before] > 1:
            continue
        first[place] = before
        keep[one] = False
        if measured[one] and not measured[before]:
            measured[before] = True
            for name in COMPLETED:
                events[name][before] = events[name][one]
    return _take(events, np.flatnonzero(keep))


def _already_stored(connection: "Connection", events: Events) -> tuple[NDArray[Any], list[sa.Row[Any]]]:
    """Return the indices of events that the store has already, and what it has."""
    nothing: tuple[NDArray[Any], list[sa.Row[Any]]] = (np.empty(0, dtype=np.int64), [])
    if not len(events["minute"]):
        return nothing
    low, high = int(events["minute"][0]), int(events["minute"][-1])
    newest = connection.scalar(sa.select(sa.func.max(usage_event.c.minute)).where(usage_event.c.minute <= high + 1))
    if newest is None or newest < low - 1:
        return nothing
    # Logs arrive in the order of time, so that most of a batch lies beyond everything stored.
    upto = int(np.searchsorted(events["minute"], newest + 1, side="right"))
    keys = {"row": np.arange(upto), "minute": events["minute"][:upto], "identity": events["identity"][:upto]}
    staged = stage(connection, "staged_key", _KEY_TYPES, keys)
    with by_index(connection):
        found = connection.exec_driver_sql(
            "SELECT s.row, e.minute, e.identity, e.deployment_id, e.prompt_tokens, e.completion_tokens"
            f" FROM {staged} s JOIN usage_event e"
            " ON e.minute IN (s.minute - 1, s.minute, s.minute + 1) AND e.identity = s.identity"
        ).fetchall()
    rows, first = np.unique(np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found)), return_index=True)
    return rows, [found[index] for index in first]


def _complete(connection: "Connection", source_id: int, events: Events, old: "list[sa.Row[Any]]") -> None:
    """Give stored events that lack their tokens those of the duplicates that have them."""
    measured = _measured(events) if old else np.empty(0, dtype=bool)
    lacking = [
        i for i, row in enumerate(old) if measured[i] and (row.prompt_tokens is None or row.completion_tokens is None)
    ]
    if not lacking:
        return
    completed = {name: events[name].tolist() for name in COMPLETED}
    connection.execute(
        usage_event.update().where(
            usage_event.c.minute == sa.bindparam("at"), usage_event.c.identity == sa.bindparam("which")
        ),
        [
            {"at": old[i].minute, "which": old[i].identity}
            | {name: None if column[i] == -1 else column[i] for name, column in completed.items()}
            for i in lacking
        ],
    )
    work_out_anew(connection, source_id, [(old[i].deployment_id, old[i].minute) for i in lacking])


def _summed(events: Events) -> dict[str, Column]:
    """What each event adds to a rollup: the columns of `tables.SUMMED`, as monitor.store.rolling defines them."""
    status, cause = events["status"], events["cause"]
    throttled = status == 429
    failed = (status >= 400) & ~throttled
    return {
        "requests": np.ones(len(status), dtype=np.int64),
        "prompt_tokens": np.maximum(events["prompt_tokens"], 0),
        "completion_tokens": np.maximum(events["completion_tokens"], 0),
        "cached_tokens": np.maximum(events["cached_tokens"], 0),
        "failed_requests": failed.astype(np.int64),
        "throttled_requests": throttled.astype(np.int64),
        "throttled_by_tokens": (throttled & (cause == Cause.TOKENS)).astype(np.int64),
        "throttled_by_requests": (throttled & (cause == Cause.REQUESTS)).astype(np.int64),
        "throttled_by_capacity": (throttled & (cause == Cause.CAPACITY)).astype(np.int64),
        "unmeasured_requests": (~throttled & ~failed & ~_measured(events)).astype(np.int64),
    }


def _roll_up(connection: "Connection", source_id: int, events: Events) -> None:
    """Add events to their minutes and days."""
    minutes = _grouped(
        events["deployment_id"], events["minute"], _summed(events), np.maximum(events["retry_after_ms"], 0)
    )
    longest = minutes.pop("longest_retry_after_ms")
    deployments, at = minutes.pop("deployment_id"), minutes.pop("at")
    days = _grouped(deployments, at // MINUTES_A_DAY, minutes, longest)
    _add(
        connection,
        source_id,
        usage_minute,
        "minute",
        {"deployment_id": deployments, "at": at, **minutes, "longest_retry_after_ms": longest},
    )
    _add(connection, source_id, usage_day, "day", days)


def _grouped(deployments: Column, at: Column, sums: dict[str, Column], longest: Column) -> dict[str, Column]:
    """Sum columns per (deployment, time)."""
    order = np.lexsort((at, deployments))
    deployments, at = deployments[order], at[order]
    starts = np.flatnonzero(np.concatenate(([True], (np.diff(deployments) != 0) | (np.diff(at) != 0))))
    grouped = {name: np.add.reduceat(column[order], starts) for name, column in sums.items()}
    largest = np.maximum.reduceat(longest[order], starts)
    return {"deployment_id": deployments[starts], "at": at[starts], **grouped, "longest_retry_after_ms": largest}


def _add(connection: "Connection", source_id: int, table: sa.Table, time: str, grouped: dict[str, Column]) -> None:
    columns = {time if name == "at" else name: column for name, column in grouped.items()}
    columns["source_id"] = np.full(len(columns[time]), source_id)
    clear = ("busiest",) if table is usage_day else ()
    add_up(connection, table, columns, largest=("longest_retry_after_ms",), clear=clear)


def settle_days(connection: "Connection", limit: int = 500) -> int:
    """Work out the busiest minutes of days that changed; return how many days were settled, at most `limit`."""
    day = usage_day.c
    open_days = connection.execute(
        sa.select(day.deployment_id, day.source_id, day.day).where(day.busiest.is_(None)).limit(limit)
    ).all()
    for deployment_id, source_id, number in open_days:
        connection.execute(
            usage_day.update()
            .where(day.deployment_id == deployment_id, day.source_id == source_id, day.day == number)
            .values(busiest=Busiest.encode(*busiest_minutes(connection, deployment_id, source_id, number)))
        )
    return len(open_days)


def busiest_minutes(
    connection: "Connection", deployment_id: int, source_id: int, day: int
) -> tuple[Column, Column, Column]:
    """Return minute of the day, tokens and requests of every minute of a day that had a request."""
    at = usage_minute.c
    rows = connection.execute(
        sa.select(at.minute, at.prompt_tokens + at.completion_tokens, at.requests).where(
            at.deployment_id == deployment_id,
            at.source_id == source_id,
            at.minute >= day * MINUTES_A_DAY,
            at.minute < (day + 1) * MINUTES_A_DAY,
        )
    ).all()
    minutes, tokens, requests = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3).T
    return minutes - day * MINUTES_A_DAY, tokens, requests


def prune(connection: "Connection", before: int) -> int:
    """Drop events older than a minute and remember it; return how many. Their rollups stay.

    From then on records older than that minute are refused, because a repetition among them could no longer be told.
    """
    dropped = connection.execute(usage_event.delete().where(usage_event.c.minute < before)).rowcount
    write_down(connection, PRUNED, str(max(before, pruned_before(connection))))
    return dropped


def pruned_before(connection: "Connection") -> int:
    """Return the minute before which events have been dropped; 0 if none have."""
    return int(noted(connection, PRUNED) or 0)
