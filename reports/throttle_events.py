"""Throttle events: when requests were refused (status 429), for how long, and which limit they ran into.

An event is minutes with at least one refusal, joined while at most one minute without any lies between them; `ended_at`
is the end of its last minute. Requests and peaks are those of all its minutes. `cause` is what most refusals say:
tokens, requests or capacity; where none says it, the limit of which the event used 80 % or more (the larger part wins); else
unknown. An event that began before the period is shown from the period's first minute on.
"""

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from monitor.domain.answer import Column, Found, Question, Row
from monitor.domain.period import MINUTES_A_DAY, instant_of
from monitor.domain.throttling import LoadedMinute, ThrottleEvent, events, gaps
from monitor.loads import Loaded, charts, loads
from monitor.spending import default_limits
from monitor.store.deployments import Deployed, deployments, limits
from monitor.store.rollups import Span, minutes, refusing_minutes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("started_at", "instant", "From (UTC)"),
    Column("ended_at", "instant", "Until (UTC)"),
    Column("minutes", "count", "Min.", summed=True),
    Column("throttled_requests", "count", "429s", summed=True),
    Column("requests", "count", "Requests", summed=True),
    Column("peak_tokens_per_minute", "count", "Peak tokens/min"),
    Column("peak_requests_per_minute", "count", "Peak req./min"),
    Column("cause", "text", "Cause"),
    Column("longest_retry_after_s", "seconds", "Retry after, s"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per event, by start, workspace and deployment."""
    deployed = deployments(connection, question.workspace)
    found = _events(connection, question, deployed)
    rows = sorted(
        (_row(deployed[number], event) for number, event in found), key=lambda row: (row[3], row[0] or "", row[1] or "")
    )
    refused = {number for number, _ in found}
    drawn = charts(connection, question, _most_refused(connection, question, refused)) if question.charts else []
    return Found(rows=rows, charts=drawn)


def _events(
    connection: "Connection", question: Question, deployed: dict[int, Deployed]
) -> list[tuple[int, ThrottleEvent]]:
    by_deployment = {
        number: list(some)
        for number, some in groupby(refusing_minutes(connection, question.period, deployed), key=itemgetter(0))
    }
    quiet = _quiet(connection, by_deployment)
    allowed = limits(connection, (deployed[number] for number in by_deployment), default_limits)
    return [
        (number, event)
        for number, some in by_deployment.items()
        for event in events([minute for _, _, minute in some], quiet.get(number, {}), allowed[number])
    ]


Refusing = list[tuple[int, int, LoadedMinute]]


def _quiet(connection: "Connection", refusing: dict[int, Refusing]) -> dict[int, dict[int, LoadedMinute]]:
    """Read the minutes inside events in which nothing was refused."""
    spans: list[Span] = []
    for number, some in refusing.items():
        sources = {minute.minute // MINUTES_A_DAY: source for _, source, minute in some}
        quiet_minutes = gaps([minute.minute for _, _, minute in some])
        spans.extend(Span(number, sources[at // MINUTES_A_DAY], at, at + 1) for at in quiet_minutes)
    quiet: dict[int, dict[int, LoadedMinute]] = {}
    for number, minute in minutes(connection, spans):
        quiet.setdefault(number, {})[minute.minute] = minute
    return quiet


def _most_refused(connection: "Connection", question: Question, refused: set[int]) -> list[Loaded]:
    found = [one for one in loads(connection, question) if one.deployed.id in refused]
    return sorted(found, key=lambda one: -one.throttled_requests)


def _row(deployed: Deployed, event: ThrottleEvent) -> Row:
    return (
        deployed.workspace or None,
        deployed.name or None,
        deployed.model or None,
        instant_of(event.start),
        instant_of(event.end),
        event.minutes,
        event.throttled_requests,
        event.requests,
        event.peak_tokens,
        event.peak_requests,
        event.cause,
        seconds(event.longest_retry_after_ms),
    )


def seconds(milliseconds: int) -> float | int | None:
    """Return seconds, whole ones as whole numbers; 0 means that no response said how long to wait."""
    if not milliseconds:
        return None
    return milliseconds // 1_000 if milliseconds % 1_000 == 0 else milliseconds / 1_000
