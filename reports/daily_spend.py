"""Daily spend: what each deployment used, is estimated to cost and was billed, day by day.

Tokens are priced by the UTC day on which they were used. Charges come by UTC billing day and stand on the day of the
same date, also where the report's days are those of another time zone. A day whose charges are in another currency
than the price has a second row for them, without requests. `billing_state`: missing (not known yet), open (may still
change) or closed (from the 6th of the following month on). An estimate is null where no tokens were
reported or none has a price.
"""

from typing import TYPE_CHECKING

from monitor.domain.answer import Column, Found, Question
from monitor.domain.ledger import billing_state
from monitor.domain.period import day_of
from monitor.reporting.spending import charts, spending

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("day", "day", "Day"),
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("requests", "count", "Requests", summed=True),
    Column("prompt_tokens", "count", "Prompt", summed=True),
    Column("completion_tokens", "count", "Completion", summed=True),
    Column("estimated_cost", "money", "Estimated", summed=True),
    Column("billed_cost", "money", "Billed", summed=True),
    Column("currency", "text", "Cur."),
    Column("unmeasured_requests", "count", "Unmeas.", summed=True),
    Column("unpriced_requests", "count", "Unpriced", summed=True),
    Column("billing_state", "text", "Bill"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per day, deployment and currency, by day, workspace and deployment."""
    found = spending(connection, question)
    rows = []
    for line in found.lines:
        deployed = found.deployed[line.deployment_id]
        rows.append(
            (
                day_of(line.day),
                deployed.workspace or None,
                deployed.name or None,
                deployed.model or None,
                line.requests,
                line.prompt_tokens,
                line.completion_tokens,
                line.estimated_cost,
                line.billed_cost,
                line.currency,
                line.unmeasured_requests,
                line.unpriced_requests,
                billing_state(line.day, line.billed_cost, question.known_at),
            )
        )
    rows.sort(key=lambda row: (row[0], row[1] or "", row[2] or ""))
    return Found(rows=rows, charts=charts(found, question), notes=found.notes)
