"""What every format for people says besides the rows: heading, shown columns, totals in words."""

from monitor.domain.answer import Answer, Column, Value
from monitor.reporting.presenting.cells import decimals, shown


def shown_columns(answer: Answer) -> list[tuple[int, Column]]:
    """Return the columns that people's tables show, each with its place in a row."""
    return [(place, column) for place, column in enumerate(answer.columns) if column.shown]


def body(answer: Answer) -> list[list[str]]:
    """Return the shown cells of every row, money of one column with equally many decimals."""
    columns = shown_columns(answer)
    places = {place: decimals(row[place] for row in answer.rows) for place, _ in columns}
    return [[shown(row[place], column.kind, places[place]) for place, column in columns] for row in answer.rows]


def foot(answer: Answer) -> list[str] | None:
    """Return the totals under their columns, None if there are none; of several currencies none is the total."""
    summed = flat_totals(answer)
    if not answer.rows or not any(value is not None for value in summed.values()):
        return None
    columns = shown_columns(answer)
    cells = [_total(answer, place, column, summed) for place, column in columns]
    return ["Total" if not cell and number == 0 else cell for number, cell in enumerate(cells)]


def _total(answer: Answer, place: int, column: Column, summed: dict[str, Value]) -> str:
    if column.name == "currency" and len(answer.totals.money) == 1:
        return next(iter(answer.totals.money))
    value = summed.get(column.name)
    return "" if value is None else shown(value, column.kind, decimals(row[place] for row in answer.rows))


def flat_totals(answer: Answer) -> dict[str, Value]:
    """Return the total of every column that can be summed; money only where there is one currency."""
    paid = [column.name for column in answer.columns if column.summed and column.kind == "money"]
    one = next(iter(answer.totals.money.values())) if len(answer.totals.money) == 1 else {}
    return {**answer.totals.counts, **{name: one.get(name) for name in paid}}


def span(answer: Answer) -> str:
    """Say which days the answer is about, and of which zone."""
    period = answer.question.period
    days = f"{period.first}" if period.first == period.last else f"{period.first} to {period.last}"
    asked = f"{days} ({answer.question.zone})"
    if answer.question.workspace:
        asked += f", workspace {answer.question.workspace}"
    if answer.question.as_of:
        asked += f", as known at {shown(answer.question.as_of, 'instant')} UTC"
    return asked


def several_currencies(answer: Answer) -> list[str]:
    """Say the totals of each currency, where there are several."""
    if len(answer.totals.money) < 2:
        return []
    labels = {column.name: column.label for column in answer.columns}
    return [
        f"Total {currency}: "
        + ", ".join(f"{labels[name].lower()} {shown(amount, 'money')}" for name, amount in sums.items())
        for currency, sums in answer.totals.money.items()
    ]


def below(answer: Answer) -> list[str]:
    """Return the lines under a table."""
    return [*several_currencies(answer), *answer.notes]
