"""Throttle events: when requests were refused (status 429), for how long, and which limit they ran into.

An event is minutes with at least one refusal, joined while at most one minute without any lies between them; `ended_at`
is the end of its last minute. Requests and peaks are those of all its minutes. `cause` is what most refusals say:
tokens, requests or capacity; where none says it, the limit of which the event used 80 % or more (the larger part
wins); else unknown. An event that began before the period is shown from the period's first minute on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.domain.answer import Chart, Column, Found, Question
from monitor.domain.period import instant_of
from monitor.domain.throttling import ThrottleEvent, events
from monitor.reporting.loads import charts, loads
from monitor.store.deployments import Deployed, deployments, limits
from monitor.store.minutes import refusing_minutes

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

ThrottleRow = tuple[str | None, str | None, str | None, datetime, datetime, int, int, int, int, int, str, float | None]

COLUMNS = (
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("started_at", "instant", "From (UTC)"),
    Column("ended_at", "instant", "Until (UTC)"),
    Column("minutes", "count", "Min.", summed=True, caption="Minutes with refusals"),
    Column("throttled_requests", "count", "429s", summed=True),
    Column("requests", "count", "Requests", summed=True, caption="Requests in them"),
    Column("peak_tokens_per_minute", "count", "Peak tokens/min"),
    Column("peak_requests_per_minute", "count", "Peak req./min"),
    Column("cause", "text", "Cause"),
    Column("longest_retry_after_s", "seconds", "Retry after, s"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per event, by start, workspace and deployment."""
    deployed = deployments(connection, question.workspace)
    allowed = limits(connection, deployed.values(), bundled().limits)
    found = events(refusing_minutes(connection, question.period, deployed), allowed)
    rows = [_row(deployed[event.deployment], event) for event in found]
    rows.sort(key=lambda row: (row[3], row[0] or "", row[1] or ""))
    return Found(rows=rows, charts=_charts(connection, question, {event.deployment for event in found}))


def _charts(connection: "Connection", question: Question, refused: set[int]) -> Sequence[Chart]:
    """Draw the deployments with the most refusals."""
    if not question.charts or not refused:
        return ()
    found = [one for one in loads(connection, question) if one.deployed.id in refused]
    return charts(connection, question, sorted(found, key=lambda one: -one.throttled_requests))


def _row(deployed: Deployed, event: ThrottleEvent) -> ThrottleRow:
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
