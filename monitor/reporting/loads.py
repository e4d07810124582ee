"""How loaded deployments were in a period, as the reports on quota and throttling need it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from monitor.catalogue import bundled
from monitor.domain.answer import Chart, MinuteLoad, Peak, Question
from monitor.domain.charting import stretch
from monitor.domain.headroom import Headroom, doubts, headroom, p99
from monitor.domain.period import MINUTES_A_DAY, Period, minute_number
from monitor.domain.quota import Busiest, EffectiveLimits, Ranking, rank
from monitor.store.deployments import Deployed, deployments, limits
from monitor.store.minutes import Amounts, Span, minute_amounts, peaks
from monitor.store.rollups import DayLoad, day_loads

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

CHARTS = 4
"""More deployments than this on one page are a table's job."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One deployment's load over the period; `spans` say in which source its minutes are."""

    deployed: Deployed
    headroom: Headroom
    requests: int
    throttled_requests: int
    limits: EffectiveLimits
    spans: Sequence[Span]


def loads(connection: "Connection", question: Question) -> list[Loaded]:
    """Return the load of every deployment that had a request, exactly.

    1 take the busiest minutes of whole, settled UTC days; 2 read every minute of the days that the period cuts or that
    are not settled; 3 of the days whose busiest minutes do not settle the answer, read what is missing; 4 sum up.
    """
    deployed = deployments(connection, question.workspace)
    stored = _whole_days(connection, question.period, deployed)
    allowed = limits(connection, (deployed[number] for number in stored), bundled().limits)
    p99s = _resolve(connection, stored, allowed, counted_minutes(question))
    return [_loaded(deployed[number], days, allowed[number], p99s[number]) for number, days in stored.items()]


def counted_minutes(question: Question) -> int:
    """Return how many minutes of the period have begun; at least one."""
    first, end = minute_number(question.period.start), minute_number(question.period.end)
    begun = minute_number(question.now + timedelta(minutes=1) - timedelta(microseconds=1))
    return max(1, min(end, begun) - first)


@dataclass(slots=True)
class _Day:
    """One deployment's UTC day as far as it lies in the period; its ranking is replaced when more of it was read."""

    stored: DayLoad
    span: Span
    ranking: Ranking
    requests: int
    throttled_requests: int


Days = dict[int, dict[int, _Day]]
"""By deployment and UTC day, both in order."""


def _whole_days(connection: "Connection", period: Period, deployed: Mapping[int, Deployed]) -> Days:
    first, end = minute_number(period.start), minute_number(period.end)
    settled: list[tuple[DayLoad, Span]] = []
    read: dict[tuple[int, int], tuple[DayLoad, Span]] = {}
    for one in day_loads(connection, first // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY, deployed):
        start = one.day * MINUTES_A_DAY
        span = Span(one.deployment_id, one.source_id, max(first, start), min(end, start + MINUTES_A_DAY))
        if one.busiest is None or span.end - span.first < MINUTES_A_DAY:
            read[one.deployment_id, one.day] = (one, span)
        else:
            settled.append((one, span))
    rankings = Busiest.decode_all([bytes(one.busiest or b"") for one, _ in settled])
    found = [
        _Day(one, span, ranking, one.requests, one.throttled_requests)
        for (one, span), ranking in zip(settled, rankings, strict=True)
    ]
    for key, some in _by_day(minute_amounts(connection, [span for _, span in read.values()])):
        found.append(_Day(*read[key], _ranked(some), int(some.requests.sum()), int(some.throttled.sum())))
    days: Days = defaultdict(dict)
    for day in sorted(found, key=lambda day: (day.stored.deployment_id, day.stored.day)):
        days[day.stored.deployment_id][day.stored.day] = day
    return days


def _resolve(
    connection: "Connection", stored: Days, allowed: Mapping[int, EffectiveLimits], length: int
) -> dict[int, int]:
    """Replace the rankings that hide too much; return every deployment's p99."""
    spans, least, p99s = [], [], {}
    for number, days in stored.items():
        rankings = [day.ranking for day in days.values()]
        p99s[number] = p99(rankings, length)
        for doubt in doubts([*days], rankings, allowed[number], p99s[number]):
            spans.append(days[doubt.day].span)
            least.append((doubt.tokens, doubt.requests))
    for (number, day), some in _by_day(minute_amounts(connection, spans, least)):
        stored[number][day].ranking = _ranked(some)
    for number in {span.deployment_id for span in spans}:
        p99s[number] = p99([day.ranking for day in stored[number].values()], length)
    return p99s


def _ranked(some: Amounts) -> Ranking:
    return rank(some.minute % MINUTES_A_DAY, some.tokens, some.requests)


def _by_day(amounts: Amounts) -> Iterator[tuple[tuple[int, int], Amounts]]:
    """Cut columns of minutes by deployment and UTC day."""
    day = amounts.minute // MINUTES_A_DAY
    changes = (np.diff(amounts.deployment) != 0) | (np.diff(day) != 0)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(day)]
    for start, end in pairwise(edges if len(day) else []):
        key = (int(amounts.deployment[start]), int(day[start]))
        yield key, Amounts(*(column[start:end] for column in amounts))


def _loaded(deployed: Deployed, days: Mapping[int, _Day], allowed: EffectiveLimits, p99_tokens: int) -> Loaded:
    parts = days.values()
    measured = any(day.ranking.tokens[0] or not day.stored.unmeasured_requests for day in parts)
    return Loaded(
        deployed=deployed,
        headroom=headroom([*days], [day.ranking for day in parts], allowed, p99_tokens, measured=measured),
        requests=sum(day.requests for day in parts),
        throttled_requests=sum(day.throttled_requests for day in parts),
        limits=allowed,
        spans=[day.span for day in parts],
    )


def charts(connection: "Connection", question: Question, found: Sequence[Loaded]) -> list[Chart]:
    """Draw the tokens per minute of the first of them."""
    if not question.charts:
        return []
    return [_chart(connection, question.period, one) for one in found[:CHARTS] if one.headroom.peak_tokens]


def undrawn(question: Question, found: Sequence[Loaded]) -> list[str]:
    """Name the deployments whose load no chart shows, where others have one."""
    if not question.charts:
        return []
    missing = [_named(one) for number, one in enumerate(found) if number >= CHARTS or not one.headroom.peak_tokens]
    return [f"Without a chart: {', '.join(missing)}."] if missing else []


def _named(one: Loaded) -> str:
    return " / ".join(filter(None, (one.deployed.workspace, one.deployed.name)))


def _chart(connection: "Connection", period: Period, one: Loaded) -> Chart:
    first, end = minute_number(period.start), minute_number(period.end)
    apart = stretch(end - first)
    known = {peak[0]: peak for peak in peaks(connection, one.spans, first, apart)}
    drawn = [
        Peak(at, *known.get(at, (at, 0, 0, 0))[1:], token_limit=one.limits.on(at // MINUTES_A_DAY).tokens)
        for at in range(first, end, apart)
    ]
    each = "each minute" if apart == 1 else f"the busiest minute of every {apart}"
    return MinuteLoad(
        title=f"Tokens per minute, {_named(one)} ({each})",
        start=period.start,
        end=period.end,
        stretch=apart,
        peaks=drawn,
    )
