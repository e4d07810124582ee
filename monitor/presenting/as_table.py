"""A table for the terminal: short labels, money rounded for people, totals and notes below."""

import io

from monitor.domain.answer import Answer
from monitor.presenting.cells import NUMERIC
from monitor.presenting.people import below, body, foot, shown_columns, span

UNCUT = 10_000
"""Wide enough for every table: what goes into a pipe or a file is not wrapped."""


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Draw the table in the width of the terminal; without a width nothing is cut or wrapped."""
    from rich.console import Console
    from rich.text import Text

    out = io.StringIO()
    console = Console(
        file=out, width=width or UNCUT, force_terminal=color, no_color=not color, highlight=False, legacy_windows=False
    )
    console.print(Text(answer.title, style="bold"), Text(span(answer), style="dim"))
    console.print(_table(answer) if answer.rows else Text("Nothing in this period."))
    for note in below(answer):
        console.print(Text(note, style="dim"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _table(answer: Answer) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    total = foot(answer)
    table = Table(box=box.SIMPLE_HEAD, show_footer=total is not None, pad_edge=False, header_style="bold")
    for number, (_, column) in enumerate(shown_columns(answer)):
        numeric = column.kind in NUMERIC
        table.add_column(
            column.label,
            Text(total[number]) if total else "",
            justify="right" if numeric else "left",
            no_wrap=column.kind != "text",
            overflow="fold",
            footer_style="bold",
        )
    for row in body(answer):
        table.add_row(*map(Text, row))
    return table
