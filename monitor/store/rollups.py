"""What reports read from the rollups, each deployment and UTC day from its one authoritative source.

Authoritative is, among the sources with requests for that deployment on that UTC day, the one with the lowest
authority, then the lowest number. Tokens of a minute are prompt and completion tokens together.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.domain.ledger import Usage
from monitor.domain.period import MINUTES_A_DAY, Period, day_number, instant_of, minute_number
from monitor.domain.throttling import LoadedMinutes
from monitor.store.engine import by_index
from monitor.store.tables import source, usage_day, usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Ids = Collection[int]
Numbers = NDArray[np.int64]

_SUMS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "failed_requests",
    "throttled_requests",
    "unmeasured_requests",
)


class DayLoad(NamedTuple):
    """One deployment's UTC day in its authoritative source; `busiest` is None while the day is not settled."""

    deployment_id: int
    source_id: int
    day: int
    requests: int
    tokens: int
    throttled_requests: int
    unmeasured_requests: int
    busiest: bytes | None


class Span(NamedTuple):
    """Some minutes (half-open, since 1970) of one deployment in one source."""

    deployment_id: int
    source_id: int
    first: int
    end: int


class Piece(NamedTuple):
    """The part of a UTC day (minutes, half-open) that belongs to one report day; None: outside the period."""

    day: int | None
    first: int
    end: int


def usage(connection: "Connection", period: Period, ids: Ids) -> list[Usage]:
    """Return what was used, by report day, UTC day and deployment; days without requests have no row.

    Where both days are the same, the day's row answers. Where a UTC day is cut, its smaller parts are summed from its
    minutes, and the largest is what they leave of the day's row.
    """
    cuts = pieces(period)
    whole = {day: cut[0].day for day, cut in cuts.items() if len(cut) == 1 and cut[0].day is not None}
    cut_days = {day: cut for day, cut in cuts.items() if len(cut) > 1}
    days = _days(connection, min(cuts), max(cuts), ids)
    parts = _parts(connection, cut_days, ids) if cut_days else {}
    found = [Usage(whole[row[0]], *row) for row in days if row[0] in whole]
    for utc_day, deployment_id, *sums in days if cut_days else ():
        if utc_day in cut_days:
            found.extend(_divided(utc_day, deployment_id, sums, cut_days[utc_day], parts))
    return sorted(found)


def pieces(period: Period) -> dict[int, list[Piece]]:
    """Cut every UTC day that the period touches at the report days' midnights."""
    starts = [
        (day_number(day), minute_number(Period(first=day, last=day, zone=period.zone).start)) for day in period.days()
    ]
    end = minute_number(period.end)
    report_days = [
        (day, first, following) for (day, first), (_, following) in zip(starts, [*starts[1:], (0, end)], strict=True)
    ]
    utc_days = range(starts[0][1] // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY + 1)
    return {day: list(_pieces_of(day * MINUTES_A_DAY, (day + 1) * MINUTES_A_DAY, report_days)) for day in utc_days}


def _pieces_of(first: int, end: int, report_days: Sequence[tuple[int, int, int]]) -> Iterator[Piece]:
    at = first
    for day, day_first, day_end in report_days:
        if day_end <= at or day_first >= end:
            continue
        if day_first > at:
            yield Piece(None, at, day_first)
        at = min(day_end, end)
        yield Piece(day, max(day_first, first), at)
    if at < end:
        yield Piece(None, at, end)


def _authoritative(first: int, last: int, ids: Ids) -> sa.CTE:
    """The (deployment, source, UTC day) that count, days inclusive."""
    day = usage_day.c
    place = sa.func.row_number().over(
        partition_by=(day.deployment_id, day.day), order_by=(source.c.authority, source.c.id)
    )
    ranked = (
        sa.select(day.deployment_id, day.source_id, day.day, place.label("place"))
        .join_from(usage_day, source, source.c.id == day.source_id)
        .where(day.day.between(first, last), day.requests > 0, _among(day.deployment_id, ids))
        .subquery("ranked")
    )
    chosen = sa.select(ranked.c.deployment_id, ranked.c.source_id, ranked.c.day).where(ranked.c.place == 1)
    return chosen.cte("authoritative")


def _among(column: "sa.ColumnElement[int]", ids: Ids) -> "sa.ColumnElement[bool]":
    return column.in_(sorted(ids))


def _of_day(chosen: sa.CTE) -> "sa.ColumnElement[bool]":
    day = usage_day.c
    return sa.and_(
        day.deployment_id == chosen.c.deployment_id, day.source_id == chosen.c.source_id, day.day == chosen.c.day
    )


def _days(connection: "Connection", first: int, last: int, ids: Ids) -> Sequence[tuple[int, ...]]:
    chosen = _authoritative(first, last, ids)
    day = usage_day.c
    asked = sa.select(day.day, day.deployment_id, *(day[name] for name in _SUMS))
    return _tuples(connection.execute(asked.join_from(chosen, usage_day, _of_day(chosen))))


def _tuples(rows: "sa.CursorResult[Any]") -> Sequence[tuple[Any, ...]]:
    """Fetch rows of numbers and bytes as the driver gives them, which takes half the time of named rows."""
    cursor = rows.cursor
    assert cursor is not None
    return cursor.fetchall()


Parts = dict[tuple[int, int], list[int]]


def _parts(connection: "Connection", cut_days: dict[int, list[Piece]], ids: Ids) -> Parts:
    """Sum the smaller pieces of cut days, by deployment and first minute of the piece."""
    chosen = _authoritative(min(cut_days), max(cut_days), ids)
    cut = _listed(
        "cut", ("day", "first", "end"), [(day, *piece[1:]) for day, cut in cut_days.items() for piece in _smaller(cut)]
    )
    minute = usage_minute.c
    asked = (
        sa.select(
            minute.deployment_id, cut.c.first, *(sa.cast(sa.func.sum(minute[name]), sa.BigInteger) for name in _SUMS)
        )
        .join_from(chosen, cut, cut.c.day == chosen.c.day)
        .join(usage_minute, _in_span(chosen, cut))
        .group_by(minute.deployment_id, cut.c.first)
    )
    with by_index(connection):
        return {(deployment, first): sums for deployment, first, *sums in connection.execute(asked)}


def _in_span(key: sa.FromClause, span: sa.FromClause) -> "sa.ColumnElement[bool]":
    minute = usage_minute.c
    return sa.and_(
        minute.deployment_id == key.c.deployment_id,
        minute.source_id == key.c.source_id,
        minute.minute >= span.c.first,
        minute.minute < span.c.end,
    )


def _listed(name: str, columns: Sequence[str], rows: Iterable[Sequence[int]]) -> sa.CTE:
    """Whole numbers of ours as a table; written into the statement, since drivers bind only some thousand values."""
    written = ", ".join(f"({', '.join(str(int(number)) for number in row)})" for row in rows)
    # Both engines call the columns of VALUES so.
    given = [sa.column(f"column{place}", sa.BigInteger) for place in range(1, len(columns) + 1)]
    values = sa.text(f"VALUES {written}").columns(*given).cte(f"{name}_values")
    named = [column.label(label) for column, label in zip(values.c, columns, strict=True)]
    return sa.select(*named).cte(name)


def _smaller(cut: list[Piece]) -> list[Piece]:
    largest = max(cut, key=lambda piece: piece.end - piece.first)
    return [piece for piece in cut if piece is not largest]


def _divided(utc_day: int, deployment_id: int, sums: Sequence[int], cut: list[Piece], parts: Parts) -> Iterator[Usage]:
    none = [0] * len(sums)
    known = {piece: parts.get((deployment_id, piece.first), none) for piece in _smaller(cut)}
    left = [total - sum(part) for total, *part in zip(sums, *known.values(), strict=True)]
    for piece in cut:
        of_piece = known.get(piece, left)
        if piece.day is not None and of_piece[0]:
            yield Usage(piece.day, utc_day, deployment_id, *of_piece)


def day_loads(connection: "Connection", first: int, last: int, ids: Ids) -> list[DayLoad]:
    """Return every deployment's UTC days, both inclusive, by deployment and day."""
    chosen = _authoritative(first, last, ids)
    day = usage_day.c
    asked = (
        sa.select(
            day.deployment_id,
            day.source_id,
            day.day,
            day.requests,
            day.prompt_tokens + day.completion_tokens,
            day.throttled_requests,
            day.unmeasured_requests,
            day.busiest,
        )
        .join_from(chosen, usage_day, _of_day(chosen))
        .order_by(day.deployment_id, day.day)
    )
    return [DayLoad(*row) for row in _tuples(connection.execute(asked))]


_TOKENS = usage_minute.c.prompt_tokens + usage_minute.c.completion_tokens


class Amounts(NamedTuple):
    """Minutes as columns, by deployment and minute."""

    deployment: Numbers
    minute: Numbers
    tokens: Numbers
    requests: Numbers
    throttled: Numbers


def minute_amounts(
    connection: "Connection", spans: Sequence[Span], least: Sequence[tuple[int, int]] | None = None
) -> Amounts:
    """Return the minutes of spans that do not overlap; `least` keeps those with so many tokens or so many requests."""
    rows: Sequence[tuple[int, ...]] = ()
    if spans:
        thresholds = least or [(0, 0)] * len(spans)
        listed = _listed(
            "span",
            (*Span._fields, "tokens", "requests"),
            ((*span, *amounts) for span, amounts in zip(spans, thresholds, strict=True)),
        )
        minute = usage_minute.c
        asked = (
            sa.select(minute.deployment_id, minute.minute, _TOKENS, minute.requests, minute.throttled_requests)
            .join_from(listed, usage_minute, _in_span(listed, listed))
            .where(sa.or_(listed.c.tokens <= _TOKENS, minute.requests >= listed.c.requests))
        )
        with by_index(connection):
            rows = _tuples(connection.execute(asked))
    columns = _columns(rows, len(Amounts._fields))
    order = np.lexsort((columns[1], columns[0]))
    return Amounts(*(column[order] for column in columns))


def _columns(rows: Sequence[tuple[int, ...]], count: int) -> Numbers:
    return np.fromiter(chain.from_iterable(rows), np.int64, count * len(rows)).reshape(-1, count).T


def peaks(connection: "Connection", spans: Sequence[Span], first: int, stretch: int) -> list[tuple[int, int, int, int]]:
    """Return, for every stretch of minutes from `first` on: its start, most tokens, most requests, refused requests."""
    if not spans:
        return []
    listed = _listed("span", Span._fields, spans)
    minute = usage_minute.c
    place = ((minute.minute - first) // stretch).label("place")
    asked = (
        sa.select(
            place,
            sa.func.max(_TOKENS),
            sa.func.max(minute.requests),
            sa.cast(sa.func.sum(minute.throttled_requests), sa.BigInteger),
        )
        .join_from(listed, usage_minute, _in_span(listed, listed))
        .group_by(place)
        .order_by(place)
    )
    with by_index(connection):
        rows = connection.execute(asked).all()
    return [(first + number * stretch, tokens, requests, refused) for number, tokens, requests, refused in rows]


_LOAD = (
    usage_minute.c.deployment_id,
    usage_minute.c.source_id,
    usage_minute.c.minute,
    usage_minute.c.requests,
    _TOKENS,
    usage_minute.c.throttled_requests,
    usage_minute.c.throttled_by_tokens,
    usage_minute.c.throttled_by_requests,
    usage_minute.c.throttled_by_capacity,
    usage_minute.c.longest_retry_after_ms,
)


def refusing_minutes(connection: "Connection", period: Period, ids: Ids) -> LoadedMinutes:
    """Return the minutes with a refused request, and the single ones between two of them, by deployment and minute."""
    first, end = minute_number(period.start), minute_number(period.end)
    chosen = _authoritative(first // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY, ids)
    counting = {(row[0], row[2]): row[1] for row in _tuples(connection.execute(sa.select(chosen)))}
    minute = usage_minute.c
    asked = sa.select(*_LOAD).where(minute.minute >= first, minute.minute < end, minute.throttled_requests > 0)
    rows = [
        row for row in _tuples(connection.execute(asked)) if counting.get((row[0], row[2] // MINUTES_A_DAY)) == row[1]
    ]
    refusing = LoadedMinutes.of(_columns(rows, len(_LOAD)))
    between = [Span(deployment, source_id, at, at + 1) for deployment, source_id, at in refusing.gaps()]
    if not between:
        return refusing
    listed = _listed("span", Span._fields, between)
    with by_index(connection):
        quiet = _tuples(connection.execute(sa.select(*_LOAD).join_from(listed, usage_minute, _in_span(listed, listed))))
    return LoadedMinutes.of(_columns([*rows, *quiet], len(_LOAD)))


def last_minutes(connection: "Connection") -> dict[int, datetime]:
    """Return the end of the last minute with a request, by source number."""
    day, minute = usage_day.c, usage_minute.c
    last_day = sa.select(sa.func.max(day.day)).where(day.source_id == source.c.id).correlate(source).scalar_subquery()
    last = (
        sa.select(sa.func.max(minute.minute))
        .where(
            minute.deployment_id == day.deployment_id,
            minute.source_id == day.source_id,
            minute.minute.between(day.day * MINUTES_A_DAY, (day.day + 1) * MINUTES_A_DAY - 1),
        )
        .correlate(usage_day)
        .scalar_subquery()
    )
    asked = (
        sa.select(source.c.id, sa.func.max(last))
        .join_from(source, usage_day, sa.and_(day.source_id == source.c.id, day.day == last_day))
        .group_by(source.c.id)
    )
    return {number: instant_of(at + 1) for number, at in connection.execute(asked) if at is not None}
