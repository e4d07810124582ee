"""A table for the terminal: short labels, money rounded for people, totals and notes below.

It is laid out here and not by rich, which takes seconds for some thousand rows.
"""

import unicodedata
from collections.abc import Iterable, Sequence

from monitor.domain.answer import Answer
from monitor.reporting.presenting.cells import NUMERIC, printable
from monitor.reporting.presenting.people import below, body, foot, shown_columns, span

APART = "  "
LEAST = 8
"""Text columns are not cut below this width; where even that is too wide, nothing is cut and the terminal wraps."""

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Lay the table out; text is cut only to fit the width of a terminal, and never without one."""
    lines = [_styled(printable(answer.title), BOLD, color), _styled(printable(span(answer)), DIM, color), ""]
    lines += _table(answer, width, color) if answer.rows else ["Nothing in this period."]
    notes = [_styled(printable(note), DIM, color) for note in below(answer)]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _table(answer: Answer, width: int | None, color: bool) -> list[str]:
    columns = [column for _, column in shown_columns(answer)]
    numeric = [column.kind in NUMERIC for column in columns]
    text = [column.kind == "text" for column in columns]
    head, rows, total = [column.label for column in columns], body(answer), foot(answer)
    widths = [max(map(_width, cells)) for cells in zip(head, *rows, *([total] if total else []), strict=True)]
    widths = _fitted(widths, text, width)
    rule = APART.join("─" * wide for wide in widths)
    lines = [_styled(_line(head, widths, numeric), BOLD, color), _styled(rule, DIM, color)]
    lines += [_line(row, widths, numeric) for row in rows]
    return [*lines, _styled(rule, DIM, color), _styled(_line(total, widths, numeric), BOLD, color)] if total else lines


def _fitted(widths: Sequence[int], text: Sequence[bool], width: int | None) -> list[int]:
    """Take what is too much from the widest text columns; nothing where that is not enough to make the table fit."""
    fitted = list(widths)
    places = [place for place, is_text in enumerate(text) if is_text]
    over = sum(fitted) + len(APART) * (len(fitted) - 1) - (width or 10**9)
    while over > 0:
        widest = max(places, key=fitted.__getitem__, default=None)
        if widest is None or fitted[widest] <= LEAST:
            return list(widths)
        fitted[widest] -= 1
        over -= 1
    return fitted


def _line(cells: Iterable[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    placed = (_placed(cell, wide, right) for cell, wide, right in zip(cells, widths, numeric, strict=True))
    return APART.join(placed).rstrip()


def _placed(cell: str, wide: int, right: bool) -> str:
    missing = wide - _width(cell)
    if missing < 0:
        return _cut(cell, wide)
    return " " * missing + cell if right else cell + " " * missing


def _cut(cell: str, wide: int) -> str:
    while _width(cell) >= wide:
        cell = cell[:-1]
    return cell + "…" + " " * (wide - _width(cell) - 1)


def _width(cell: str) -> int:
    """Return how many places a text takes on a terminal: wide East Asian letters two, combining marks none."""
    if cell.isascii():
        return len(cell)
    return sum(_letter_width(letter) for letter in cell)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _styled(line: str, style: str, color: bool) -> str:
    return f"{style}{line}{PLAIN}" if color else line
