"""Inventory: what Azure has deployed in the period, within which limits, and what is wrong with it.

`seen_from` and `seen_until` are the first time that inventory saw it and the time at which it no longer did; limits are
those in force on the last day of the period, as far as it was there then. Findings are about what is there now, or was
at the instant asked for; regions are known of serverless endpoints only.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.domain.answer import Column, Found, Question
from monitor.domain.inventory import findings
from monitor.domain.period import day_number
from monitor.store.deployments import deployments, limits
from monitor.store.found import linked
from monitor.store.resources import current, lives

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model"),
    Column("region", "text", "Region"),
    Column("endpoint", "text", "Endpoint", shown=False),
    Column("kind", "text", "Kind"),
    Column("state", "text", "State"),
    Column("tokens_per_minute_limit", "count", "Tokens/min limit"),
    Column("requests_per_minute_limit", "count", "Req./min limit"),
    Column("seen_from", "instant", "Seen from (UTC)"),
    Column("seen_until", "instant", "Until (UTC)"),
    Column("finding", "text", "Finding"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per deployment and model that Azure had in the period, by workspace and name."""
    named, numbers = deployments(connection, question.workspace), linked(connection)
    allowed = limits(connection, named.values(), bundled().limits)
    whats: dict[str, list[str]] = defaultdict(list)
    for one in findings(current(connection, question.as_of), bundled(), question.known_at.date()):
        whats[one.resource_id].append(one.what)
    rows = []
    for life in lives(connection, question.as_of):
        resource = life.resource
        deployed = named.get(numbers.get((resource.resource_id, resource.model), 0))
        gone = life.seen_until is not None and life.seen_until <= question.period.start
        if deployed is None or gone or life.seen_from >= question.period.end:
            continue
        last = min(question.period.last, (life.seen_until or question.known_at).date())
        limit = allowed[deployed.id].on(day_number(last))
        rows.append(
            (
                deployed.workspace,
                deployed.name,
                deployed.model or None,
                resource.region or None,
                resource.endpoint or None,
                resource.kind.value,
                resource.state or None,
                limit.tokens,
                limit.requests,
                life.seen_from,
                life.seen_until,
                None if life.seen_until else "; ".join(whats[resource.resource_id]) or None,
            )
        )
    return Found(rows=sorted(rows, key=lambda row: (row[0], row[1], row[9])))
