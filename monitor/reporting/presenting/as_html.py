"""HTML: one self-contained file to forward: totals first, charts with their tables, then every row."""

from typing import NamedTuple

from monitor import __version__
from monitor.domain.answer import Answer, Chart, DailyCost
from monitor.folders import folder
from monitor.reporting.presenting import drawing
from monitor.reporting.presenting.cells import NUMERIC, printable, shown
from monitor.reporting.presenting.people import body, flat_totals, foot, shown_columns, span

SHOWN_ROWS = 2_000
"""Browsers grow slow beyond; the notes say how many more there are, and CSV has them all."""

ROWS_BEFORE_CHARTS = 20
"""So many rows leave the charts in sight below them."""


def render(answer: Answer, *, width: int | None = None, color: bool = False) -> str:
    """Fill the page's template; everything in it that came from outside is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder("reports") / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    heading, _, lead = answer.title.rpartition(": ")
    rows = body(answer)
    notes = list(answer.notes)
    if len(rows) > SHOWN_ROWS:
        notes.append(f"The first {SHOWN_ROWS:,} of {len(rows):,} rows are shown; CSV and JSON have them all.")
    return environment.get_template("report.html").render(
        title=heading or lead,
        lead=lead[:1].upper() + lead[1:] if heading else "",
        span=span(answer),
        figures=figures(answer),
        drawings=[draw(chart) for chart in answer.charts],
        # One chart sums the rows up; of several, each is about one row.
        rows_first=len(answer.charts) > 1 and len(rows) <= ROWS_BEFORE_CHARTS,
        columns=[(column.label, column.kind in NUMERIC) for _, column in shown_columns(answer)],
        rows=[_cells(answer, row) for row in rows[:SHOWN_ROWS]],
        has_costs=any(column.kind == "money" for column in answer.columns),
        total=foot(answer),
        notes=[printable(note) for note in notes],
        completeness=answer.completeness,
        made=f"{shown(answer.question.now, 'instant')} UTC",
        version=__version__,
    )


class Cell(NamedTuple):
    """What a cell shows, and the whole of it where it shows less."""

    said: str
    whole: str = ""


def _cells(answer: Answer, row: list[str]) -> list[Cell]:
    columns = [column for _, column in shown_columns(answer)]
    return [_short(cell) if column.path else Cell(cell) for column, cell in zip(columns, row, strict=True)]


def _short(path: str) -> Cell:
    last = path.rstrip("/").rpartition("/")[2]
    return Cell(last, path) if last != path else Cell(path)


def draw(chart: Chart) -> drawing.Drawing:
    """Lay a chart out."""
    return drawing.daily_cost(chart) if isinstance(chart, DailyCost) else drawing.minute_load(chart)


def figures(answer: Answer) -> list[tuple[str, str]]:
    """Return the totals as label and large figure; money in every currency it comes in, money first."""
    labels = {column.name: column.caption or column.name.replace("_", " ").capitalize() for column in answer.columns}
    money = [
        (labels[name], f"{shown(amount, 'money')} {currency}")
        for currency, sums in answer.totals.money.items()
        for name, amount in sums.items()
        if amount is not None
    ]
    counts = [
        (labels[name], shown(value, "count")) for name, value in flat_totals(answer).items() if isinstance(value, int)
    ]
    return [*money, *counts][:8] or [("Rows", f"{len(answer.rows):,}")]
