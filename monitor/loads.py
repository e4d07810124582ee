"""How loaded deployments were in a period, as the reports on quota and throttling need it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from monitor.domain.answer import Chart, MinuteLoad, Peak, Question
from monitor.domain.charting import stretch
from monitor.domain.headroom import Headroom, days_to_read, headroom
from monitor.domain.period import MINUTES_A_DAY, Period, minute_number
from monitor.domain.quota import Busiest, EffectiveLimits, Ranking, rank
from monitor.spending import default_limits
from monitor.store.deployments import Deployed, deployments, limits
from monitor.store.rollups import DayLoad, Span, day_loads, minute_amounts, peaks

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
    are not settled; 3 read every minute of the days whose busiest ones do not settle the answer; 4 sum up.
    """
    deployed = deployments(connection, question.workspace)
    days = _days(connection, question.period, deployed)
    allowed = limits(connection, (deployed[number] for number in days), default_limits)
    length = counted_minutes(question)
    doubtful = [
        days[number][day].span
        for number, of_deployment in days.items()
        for day in days_to_read({one.day: one.ranking for one in of_deployment.values()}, allowed[number], length)
    ]
    for number, day, ranking, _, _ in _read(connection, doubtful):
        days[number][day] = replace(days[number][day], ranking=ranking)
    return [
        _loaded(deployed[number], list(of_deployment.values()), allowed[number], length)
        for number, of_deployment in days.items()
    ]


def counted_minutes(question: Question) -> int:
    """Return how many minutes of the period have begun; at least one."""
    first, end = minute_number(question.period.start), minute_number(question.period.end)
    begun = -(-int(question.now.timestamp()) // 60)
    return max(1, min(end, begun) - first)


@dataclass(frozen=True, kw_only=True)
class _Day:
    """One deployment's UTC day as far as it lies in the period."""

    day: int
    span: Span
    ranking: Ranking
    requests: int
    throttled_requests: int
    measured: bool


def _days(connection: "Connection", period: Period, ids: Iterable[int]) -> dict[int, dict[int, _Day]]:
    """Return the days with requests, by deployment and UTC day."""
    first, end = minute_number(period.start), minute_number(period.end)
    stored = day_loads(connection, first // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY, list(ids))
    spans = {(one.deployment_id, one.day): _span(one, first, end) for one in stored}
    whole = [one for one in stored if one.busiest and _is_whole(spans[one.deployment_id, one.day])]
    rankings = Busiest.decode_all([bytes(one.busiest or b"") for one in whole])
    found = {
        (one.deployment_id, one.day): (ranking, one.requests, one.throttled_requests)
        for one, ranking in zip(whole, rankings, strict=True)
    }
    for number, day, ranking, requests, throttled in _read(
        connection, [span for key, span in spans.items() if key not in found]
    ):
        found[number, day] = (ranking, requests, throttled)
    days: dict[int, dict[int, _Day]] = defaultdict(dict)
    for one in stored:
        key = (one.deployment_id, one.day)
        if key in found:
            ranking, requests, throttled = found[key]
            measured = bool(ranking.tokens[0]) or not one.unmeasured_requests
            days[one.deployment_id][one.day] = _Day(
                day=one.day,
                span=spans[key],
                ranking=ranking,
                requests=requests,
                throttled_requests=throttled,
                measured=measured,
            )
    return days


def _span(one: DayLoad, first: int, end: int) -> Span:
    start = one.day * MINUTES_A_DAY
    return Span(one.deployment_id, one.source_id, max(first, start), min(end, start + MINUTES_A_DAY))


def _is_whole(span: Span) -> bool:
    return span.end - span.first == MINUTES_A_DAY


def _read(connection: "Connection", spans: Sequence[Span]) -> Iterator[tuple[int, int, Ranking, int, int]]:
    """Read spans in full, each within one day: deployment, UTC day, ranking, requests, refused ones."""
    amounts = minute_amounts(connection, spans)
    if not len(amounts.minute):
        return
    day = amounts.minute // MINUTES_A_DAY
    starts = np.flatnonzero(np.concatenate(([True], (np.diff(amounts.deployment) != 0) | (np.diff(day) != 0))))
    for start, end in pairwise([*starts.tolist(), len(day)]):
        some = slice(start, end)
        ranking = rank(amounts.minute[some] % MINUTES_A_DAY, amounts.tokens[some], amounts.requests[some])
        refused = int(amounts.throttled[some].sum())
        yield int(amounts.deployment[start]), int(day[start]), ranking, int(amounts.requests[some].sum()), refused


def _loaded(deployed: Deployed, days: Sequence[_Day], allowed: EffectiveLimits, length: int) -> Loaded:
    rankings = {one.day: one.ranking for one in days}
    return Loaded(
        deployed=deployed,
        headroom=headroom(rankings, allowed, length, measured=any(one.measured for one in days)),
        requests=sum(one.requests for one in days),
        throttled_requests=sum(one.throttled_requests for one in days),
        limits=allowed,
        spans=[one.span for one in days],
    )


def charts(connection: "Connection", question: Question, found: Sequence[Loaded]) -> list[Chart]:
    """Draw the tokens per minute of the first of them."""
    if not question.charts:
        return []
    return [_chart(connection, question.period, one) for one in found[:CHARTS] if one.headroom.peak_tokens]


def _chart(connection: "Connection", period: Period, one: Loaded) -> Chart:
    first, end = minute_number(period.start), minute_number(period.end)
    apart = stretch(end - first)
    known = {peak[0]: peak for peak in peaks(connection, one.spans, first, apart)}
    drawn = [
        Peak(at, *known.get(at, (at, 0, 0, 0))[1:], token_limit=one.limits.on(at // MINUTES_A_DAY).tokens)
        for at in range(first, end, apart)
    ]
    named = " / ".join(filter(None, (one.deployed.workspace, one.deployed.name)))
    each = "each minute" if apart == 1 else f"the busiest minute of every {apart}"
    return MinuteLoad(
        title=f"Tokens per minute, {named} ({each})", start=period.start, end=period.end, stretch=apart, peaks=drawn
    )
