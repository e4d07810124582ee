"""What reports read from single minutes: those of given spans, the busiest of every stretch, those with refusals.

Tokens of a minute are prompt and completion tokens together. Which source answers for a day: monitor.store.rollups.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.domain.period import MINUTES_A_DAY, Period, instant_of, minute_number
from monitor.domain.throttling import LoadedMinutes
from monitor.store.engine import by_index
from monitor.store.rollups import Ids, counted_days, in_span, listed, tuples
from monitor.store.tables import source, usage_day, usage_minute

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Numbers = NDArray[np.int64]


class Span(NamedTuple):
    """Some minutes (half-open, since 1970) of one deployment in one source."""

    deployment_id: int
    source_id: int
    first: int
    end: int


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
        asked_spans = listed(
            "span",
            (*Span._fields, "tokens", "requests"),
            ((*span, *amounts) for span, amounts in zip(spans, thresholds, strict=True)),
        )
        minute = usage_minute.c
        asked = (
            sa.select(minute.deployment_id, minute.minute, _TOKENS, minute.requests, minute.throttled_requests)
            .join_from(asked_spans, usage_minute, in_span(asked_spans))
            .where(sa.or_(asked_spans.c.tokens <= _TOKENS, minute.requests >= asked_spans.c.requests))
        )
        with by_index(connection):
            rows = tuples(connection.execute(asked))
    columns = _columns(rows, len(Amounts._fields))
    order = np.lexsort((columns[1], columns[0]))
    return Amounts(*(column[order] for column in columns))


def _columns(rows: Sequence[tuple[int, ...]], count: int) -> Numbers:
    return np.fromiter(chain.from_iterable(rows), np.int64, count * len(rows)).reshape(-1, count).T


def peaks(connection: "Connection", spans: Sequence[Span], first: int, stretch: int) -> list[tuple[int, int, int, int]]:
    """Return, for every stretch of minutes from `first` on: its start, most tokens, most requests, refused requests."""
    if not spans:
        return []
    asked_spans = listed("span", Span._fields, spans)
    minute = usage_minute.c
    place = ((minute.minute - first) // stretch).label("place")
    asked = (
        sa.select(
            place,
            sa.func.max(_TOKENS),
            sa.func.max(minute.requests),
            sa.cast(sa.func.sum(minute.throttled_requests), sa.BigInteger),
        )
        .join_from(asked_spans, usage_minute, in_span(asked_spans))
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
    days = counted_days(connection, first // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY, ids)
    counting = {key: row[1] for key, row in days.items()}
    minute = usage_minute.c
    asked = sa.select(*_LOAD).where(minute.minute >= first, minute.minute < end, minute.throttled_requests > 0)
    rows = [
        row for row in tuples(connection.execute(asked)) if counting.get((row[0], row[2] // MINUTES_A_DAY)) == row[1]
    ]
    refusing = LoadedMinutes.of(_columns(rows, len(_LOAD)))
    between = [Span(deployment, source_id, at, at + 1) for deployment, source_id, at in refusing.gaps()]
    if not between:
        return refusing
    asked_spans = listed("span", Span._fields, between)
    with by_index(connection):
        quiet = tuples(connection.execute(sa.select(*_LOAD).join_from(asked_spans, usage_minute, in_span(asked_spans))))
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
