"""Tables on the terminal, in the look of the reports; rows here are few, and what people must copy is never cut."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from monitor.domain.answer import Column, Row
from monitor.reporting.presenting.as_table import APART, BOLD, DIM, PLAIN
from monitor.reporting.presenting.cells import NUMERIC, decimals, printable, shown


def laid_out(
    columns: Sequence[Column], rows: Sequence[Row], *, width: int | None, color: bool, spare: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the lines of a table.

    On a terminal too narrow for it text is wrapped between words; if that is not enough, the `spare` columns are left
    out in their order. Without a width everything is shown, each row on one line.
    """
    cells = [_cells(column, [row[place] for row in rows]) for place, column in enumerate(columns)]
    kept = list(range(len(columns)))
    for name in spare:
        if width is None or _least(cells, kept) <= width:
            break
        kept = [place for place in kept if columns[place].name != name]
    widths = _fitted([cells[place] for place in kept], width)
    right = [columns[place].kind in NUMERIC for place in kept]
    lines = [_row([cells[place][number] for place in kept], widths, right) for number in range(len(rows) + 1)]
    yield from (f"{BOLD}{line}{PLAIN}" if color else line for line in lines[0])
    rule = APART.join("─" * wide for wide in widths)
    yield f"{DIM}{rule}{PLAIN}" if color else rule
    for row in lines[1:]:
        yield from row


def _cells(column: Column, values: Sequence[object]) -> list[str]:
    """The label and the values of a column as people read them."""
    places = decimals(values) if column.kind == "money" else 2  # type: ignore[arg-type]
    return [column.label, *(printable(shown(value, column.kind, places)) for value in values)]  # type: ignore[arg-type]


def _words(cell: str) -> list[str]:
    """Split where a line may end: after spaces, and after the slashes of a path."""
    return re.findall(r"[^\s/]*[\s/]*", cell)[:-1] or [cell]


def _longest(cell: str) -> int:
    return max(cell_len(word.rstrip()) for word in _words(cell))


def _least(cells: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    return sum(max(map(_longest, cells[place])) for place in kept) + len(APART) * (len(kept) - 1)


def _fitted(cells: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Take what is too much from the widest columns, down to their longest words."""
    widths = [max(map(cell_len, column)) for column in cells]
    least = [max(map(_longest, column)) for column in cells]
    over = sum(widths) + len(APART) * (len(widths) - 1) - (width or 10**9)
    while over > 0:
        widest = max(
            (place for place in range(len(widths)) if widths[place] > least[place]),
            key=widths.__getitem__,
            default=None,
        )
        if widest is None:
            break
        widths[widest] -= 1
        over -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    wrapped = [_wrapped(cell, wide) for cell, wide in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped))):
        parts = [lines_[number] if number < len(lines_) else "" for lines_ in wrapped]
        placed = [_placed(part, wide, at) for part, wide, at in zip(parts, widths, right, strict=True)]
        lines.append(APART.join(placed).rstrip())
    return lines


def _wrapped(cell: str, wide: int) -> list[str]:
    if cell_len(cell) <= wide:
        return [cell]
    lines = [""]
    for word in _words(cell):
        if lines[-1] and cell_len((lines[-1] + word).rstrip()) > wide:
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


def _placed(part: str, wide: int, right: bool) -> str:
    missing = " " * (wide - cell_len(part))
    return missing + part if right else part + missing
