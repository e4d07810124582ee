"""Unattributed charges: what was billed and fits no deployment, by UTC day, resource and meter.

They are in no other report's rows. `why` says what is known of whose they are; `charges map` tells whose a resource is,
and from then on its charges count there, those of past days too.
"""

from typing import TYPE_CHECKING

from monitor.domain.answer import Column, Found, Question
from monitor.domain.period import day_number, day_of
from monitor.reporting.spending import billing_days_note
from monitor.store.billed_days import unattributed_days

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("day", "day", "Day"),
    Column("resource_id", "text", "Resource", path=True),
    Column("model", "text", "Model"),
    Column("meter", "text", "Meter"),
    Column("quantity", "count", "Quantity"),
    Column("billed_cost", "money", "Billed", summed=True),
    Column("currency", "text", "Cur."),
    Column("charges", "count", "Charges", summed=True),
    Column("why", "text", "Why"),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per UTC day, resource, meter and currency; of no workspace, whichever is asked for."""
    first, last = day_number(question.period.first), day_number(question.period.last)
    rows = [
        (
            day_of(one.day),
            one.resource_id or None,
            one.model,
            one.meter,
            None if one.quantity is None else int(one.quantity),
            one.cost,
            one.currency,
            one.charges,
            one.why or "nobody named it",
        )
        for one in unattributed_days(connection, first, last, question.as_of)
    ]
    return Found(rows=rows, notes=billing_days_note(question))
