"""CSV as RFC 4180 has it: CRLF, UTF-8, a header always, decimals with a point, formulas in text made harmless."""

import csv
import io

from monitor.domain.answer import Answer, Column, Value
from monitor.reporting.presenting.cells import exact

FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""Spreadsheets run a cell that starts so; the last four are the full-width forms of the first four."""


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Write the columns' names and the rows."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(column.name for column in answer.columns)
    for row in answer.rows:
        writer.writerow(_cell(column, value) for column, value in zip(answer.columns, row, strict=True))
    return out.getvalue()


def _cell(column: Column, value: Value) -> str | int | float | None:
    written = exact(value)
    return harmless(str(written)) if column.kind == "text" and written is not None else written


def harmless(said: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    return f"'{said}" if said.startswith(FORMULA_STARTS) else said
