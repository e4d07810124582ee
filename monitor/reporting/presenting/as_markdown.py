"""Markdown for tickets and wikis: a table, its totals in bold, notes below."""

import re

from monitor.domain.answer import Answer
from monitor.reporting.presenting.cells import NUMERIC
from monitor.reporting.presenting.people import below, body, foot, shown_columns, span

_MEANT = re.compile(r"([\\`*_{}\[\]<>|#~])")


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Write a heading, the table and the notes."""
    columns = [column for _, column in shown_columns(answer)]
    rules = ["---:" if column.kind in NUMERIC else "---" for column in columns]
    rows = [[escaped(cell) for cell in row] for row in body(answer)]
    total = foot(answer)
    if total:
        rows.append([f"**{escaped(cell)}**" if cell else "" for cell in total])
    table = [_row([column.label for column in columns]), _row(rules), *map(_row, rows)]
    notes = [f"- {escaped(note)}" for note in below(answer)]
    return "\n".join([f"## {escaped(answer.title)}", "", escaped(span(answer)), "", *table, "", *notes, ""])


def escaped(said: str) -> str:
    """Keep text from ending its cell or being taken for markup; line breaks become spaces."""
    return _MEANT.sub(r"\\\1", " ".join(said.split()))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
