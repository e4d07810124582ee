"""JSON for programs: exact numbers, everything that was asked and how far it is known."""

import json
from typing import Any

from monitor.domain.answer import Answer
from monitor.domain.period import rfc3339
from monitor.reporting.presenting.cells import exact
from monitor.reporting.presenting.people import flat_totals


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Write one object with the rows as objects."""
    names = [column.name for column in answer.columns]
    rows = [dict(zip(names, map(exact, row), strict=True)) for row in answer.rows]
    head = json.dumps({**_head(answer), "totals": _totals(answer)}, indent=2, ensure_ascii=False)
    # One row a line: readable, and a third of the size that indented rows would have.
    lines = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    listed = f"[\n    {lines}\n  ]" if rows else "[]"
    return f'{head[:-2]},\n  "rows": {listed}\n}}\n'


def _head(answer: Answer) -> dict[str, Any]:
    asked = answer.question
    return {
        "report": answer.report,
        "period": {"start": rfc3339(asked.period.start), "end": rfc3339(asked.period.end)},
        "timezone": asked.zone,
        "workspace": asked.workspace,
        "as_of": exact(asked.as_of),
        "completeness": [
            {"source": one.source, "kind": one.kind, "known_up_to": exact(one.known_up_to), "state": one.state}
            for one in answer.completeness
        ],
        "notes": list(answer.notes),
        "columns": [{"name": column.name, "kind": column.kind, "label": column.label} for column in answer.columns],
    }


def _totals(answer: Answer) -> dict[str, Any]:
    """The sums; flat money only where there is one currency, and by currency always."""
    money = answer.totals.money
    flat: dict[str, Any] = {name: exact(value) for name, value in flat_totals(answer).items()}
    if any(column.kind == "money" for column in answer.columns):
        flat["currency"] = next(iter(money)) if len(money) == 1 else None
    listed = [
        {"currency": currency, **{name: exact(sum_) for name, sum_ in sums.items()}} for currency, sums in money.items()
    ]
    return {**flat, "by_currency": listed}
