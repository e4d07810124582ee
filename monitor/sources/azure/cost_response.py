"""What an answer of Cost Management says: a table whose columns are known by name, and the charges in its rows.

The rows are read as those of a cost export are (monitor.sources.cost_rows): what the query itself says of every row
(subscription, billing account, that only model offers were asked for) stands in columns beside the answer's own.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from json import dumps
from typing import Any

from msgspec import Struct, structs

from monitor.domain.catalogue import Catalogue
from monitor.domain.meters import is_model_meter
from monitor.domain.period import day_number
from monitor.domain.records import Charge, Ignored, Rejected
from monitor.sources.azure.cost_client import Answer, MalformedAnswerError
from monitor.sources.azure.cost_request import Days, Grouping
from monitor.sources.azure.cost_scope import Scope
from monitor.sources.cost_answer import CostAnswer, Place, RejectedRow
from monitor.sources.cost_columns import columns_of
from monitor.sources.cost_numbers import Style, read_day
from monitor.sources.cost_rows import Include, RowReader

OUTSIDE = "outside the asked days"
DAY = ("usagedate", "date")
"""What the column of the day is called, in lower case."""
ALIASES = {"totalcost": "Cost", "totalquantity": "UsageQuantity"}
"""The names that the query gives its sums; Azure answers with those of the columns that were summed."""
ADDED = ("SubscriptionGuid", "BillingAccountId", "PublisherType", "ConsumedService")
AZURE = Style(day_first=False)
"""How Azure writes days and numbers in JSON: there is nothing to prove."""
PAGE_SIZES = (1_000, 5_000)
"""The usual size of a page and the largest: an answer that ends there may have been cut (azure.md, 1.2)."""

Cell = str | None


class Table(Struct, frozen=True, kw_only=True):
    """The rows of an answer, those of all pages in the columns' one order; None is a row that is not one.

    `cut`: it ends where a page ends, so that there may be more. `outside`: how many rows of other days than those asked
    for were left out. `size` in bytes.
    """

    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Cell, ...] | None] = ()
    size: int = 0
    cut: bool = False
    outside: int = 0

    def within(self, days: Days) -> "Table":
        """Return it without the rows of other days: Azure may add some, and says them again where they belong."""
        first, last = day_number(days.first), day_number(days.last)
        at = self.column(*DAY)
        rows = [row for row in self.rows if (day := _day(row, at)) is None or first <= day <= last]
        return structs.replace(self, rows=rows, outside=self.outside + len(self.rows) - len(rows))

    def column(self, *names: str) -> int | None:
        """Return the position of the first of these columns that there is, whatever the case."""
        plain = [column.lower() for column in self.columns]
        return next((plain.index(name) for name in names if name in plain), None)

    def joined(self, other: "Table", subject: str) -> "Table":
        """Return the rows of both; one of them may be empty, and have no columns then."""
        if not self.columns or not other.columns:
            rows = self.rows or other.rows
        else:
            rows = [*self.rows, *_reordered(other.rows, other.columns, self.columns, subject)]
        return structs.replace(
            self if self.columns else other,
            rows=rows,
            size=self.size + other.size,
            outside=self.outside + other.outside,
        )


def table_of(answer: Answer, subject: str) -> Table:
    """Return the table of an answer; MalformedAnswerError if it has none."""
    whole = Table(size=answer.size)
    for page in answer.pages:
        whole = structs.replace(whole.joined(_page(page, subject), subject), size=answer.size)
    last = len(answer.pages[-1].get("rows") or ()) if answer.pages else 0
    # Who has handed out pages before knows where they end, unless that is the largest answer of all.
    cut = last in PAGE_SIZES and (len(answer.pages) == 1 or len(whole.rows) in PAGE_SIZES)
    return structs.replace(whole, cut=cut)


def _page(page: Mapping[str, Any], subject: str) -> Table:
    columns, rows = page.get("columns"), page.get("rows")
    if not rows and isinstance(rows, list | None):
        return Table()
    if not isinstance(rows, list) or not isinstance(columns, list):
        raise MalformedAnswerError(subject, "Azure's answer has no rows or no columns")
    names = [column.get("name") if isinstance(column, dict) else None for column in columns]
    if not all(isinstance(name, str) for name in names):
        raise MalformedAnswerError(subject, "a column of Azure's answer has no name")
    said = tuple(ALIASES.get(str(name).lower(), str(name)) for name in names)
    return Table(columns=said, rows=[_cells(row, len(said)) for row in rows])


def _cells(row: Any, width: int) -> tuple[Cell, ...] | None:
    if not isinstance(row, list) or len(row) != width or any(isinstance(cell, dict | list) for cell in row):
        return None
    return tuple(None if cell is None else _text(cell) for cell in row)


def _text(cell: Any) -> str:
    """Write a cell as text, digit for digit; a whole number in scientific or decimal form is that number."""
    if isinstance(cell, Decimal) and cell == cell.to_integral_value() and abs(cell.adjusted()) < 30:
        return str(int(cell))
    return str(cell)


def _reordered(
    rows: Sequence[tuple[Cell, ...] | None], given: Sequence[str], wanted: Sequence[str], subject: str
) -> Iterator[tuple[Cell, ...] | None]:
    plain = [name.lower() for name in given]
    if sorted(plain) != sorted(name.lower() for name in wanted):
        raise MalformedAnswerError(subject, "the pages of Azure's answer have different columns")
    at = [plain.index(name.lower()) for name in wanted]
    for row in rows:
        yield None if row is None else tuple(row[position] for position in at)


def days_said(table: Table) -> set[int]:
    """Return the days that the rows are of, as far as they can be read (days since 1970-01-01)."""
    at = table.column(*DAY)
    return {day for row in table.rows if (day := _day(row, at)) is not None}


def _day(row: tuple[Cell, ...] | None, at: int | None) -> int | None:
    """Return the day of a row (days since 1970-01-01), None if it cannot be read."""
    if row is None or at is None:
        return None
    try:
        return read_day(row[at] or "", day_first=False)
    except ValueError:
        return None


def units_of(table: Table) -> dict[str, str]:
    """Return the unit of every meter that has only one, by the meter's name in lower case."""
    meter, unit = table.column("meter"), table.column("unitofmeasure")
    if meter is None or unit is None or table.cut:
        return {}
    said: dict[str, set[str]] = {}
    for row in table.rows:
        if row is not None:
            said.setdefault((row[meter] or "").lower(), set()).add(row[unit] or "")
    return {name: next(iter(units)) for name, units in said.items() if len(units) == 1}


class Query(Struct, frozen=True, kw_only=True):
    """What was asked, and when (nanoseconds since 1970). `units`: of the meters, where a second query said them."""

    subject: str
    scope: Scope
    days: Days
    grouping: Grouping
    include: Include
    written_at: int
    units: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """What the answer is called: the same whenever the same is asked."""
        return " ".join(filter(None, (self.scope.path, self.days.name, self.grouping.said)))


def answers(query: Query, table: Table, catalogue: Catalogue) -> Iterator[CostAnswer]:
    """Read a table into what it says; an empty one says nothing, of no day.

    What belongs to no subscription is an answer of its own: it is replaced in the scope that was asked, since others
    may lie beside it.
    """
    reading = _Reading(query, table, catalogue)
    for position, row in enumerate(table.rows, 1):
        reading.read(position, row)
    yield from reading.answers()


class _Reading:
    """Reads the rows of one table into one answer or two."""

    def __init__(self, query: Query, table: Table, catalogue: Catalogue) -> None:
        self._query, self._table = query, table
        header = [*table.columns, *ADDED]
        if query.units is not None:
            header.append("UnitOfMeasure")
        columns = columns_of(header)
        if table.columns and columns.missing():
            lacks = " or ".join(columns.missing())
            raise MalformedAnswerError(query.subject, f"Azure's answer has no column of the {lacks}")
        self._meter, self._quantity = table.column("meter"), table.column("usagequantity")
        self._rows = RowReader(columns, AZURE, query.include, catalogue)
        self._charges: dict[str, list[Charge]] = {}
        self._days: dict[str, dict[Place, int]] = {}
        self._unread: set[Place] = set()
        self._ignored: Counter[str] = Counter({OUTSIDE: table.outside} if table.outside else {})
        self._rejected: list[RejectedRow] = []

    def read(self, position: int, row: tuple[Cell, ...] | None) -> None:
        """Take one row in, which is the first, second, ... of the answer."""
        said, outcome = self._rows.read(None if row is None else self._completed(row))
        if isinstance(outcome, Ignored):
            self._ignored[outcome.reason] += 1
        if isinstance(outcome, Rejected):
            self._rejected.append(RejectedRow(object=self._query.name, position=position, reason=outcome.reason))
        if said is None:
            return
        apart = self._replaced_in(said[0])
        place = (apart or said[0], said[1])
        days = self._days.setdefault(apart, {})
        days.setdefault(place, 0)
        if isinstance(outcome, Charge):
            self._charges.setdefault(apart, []).append(outcome)
            days[place] += 1
        elif isinstance(outcome, Rejected):
            self._unread.add(place)

    def _replaced_in(self, scope: str) -> str:
        """Return the scope in which a charge is replaced, where that is not the one the charge itself says; else ''."""
        asked = self._query.scope
        if asked.narrow or (scope and scope != asked.account) or asked.form == "billing account":
            return asked.narrow
        return asked.key

    def _completed(self, row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        """Return a row with what the query itself says of it."""
        query = self._query
        meter = (row[self._meter] or "") if self._meter is not None else ""
        marketplace = "Marketplace" if is_model_meter(meter) else None
        # Where resources are not told, the filter is what says that only model offers are here.
        foundry = None if query.grouping.by_resource or query.include == "all" else "Foundry Models"
        # Whatever resource a row names, it is of the subscription that was asked: a moved one bills under its old id.
        whole = (*row, query.scope.subscription or None, query.scope.account or None, marketplace, foundry)
        if query.units is None:
            return whole
        unit = query.units.get(meter.lower())
        if unit is None and self._quantity is not None:
            # A sum over several units is no quantity of anything.
            whole = (*whole[: self._quantity], None, *whole[self._quantity + 1 :])
        return (*whole, unit)

    def answers(self) -> Iterator[CostAnswer]:
        """Yield what was read: the answer proper first."""
        query, table = self._query, self._table
        proper = query.scope.narrow
        whole = CostAnswer(
            name=query.name,
            fingerprint=_fingerprint(query, table),
            written_at=query.written_at,
            bytes=table.size,
            scope=proper,
            charges=self._charges.get(proper, []),
            days=self._covered(proper),
            ignored=dict(self._ignored),
            rejected=self._rejected,
        )
        yield whole
        for apart in self._days:
            if apart != proper:
                yield structs.replace(
                    whole,
                    name=f"{query.name} without a subscription",
                    bytes=0,
                    scope=apart,
                    charges=self._charges.get(apart, []),
                    days=self._covered(apart),
                    ignored={},
                    rejected=[],
                )

    def _covered(self, apart: str) -> dict[Place, int]:
        """Return the days answered for: not those of which there are rows to keep and none could be read.

        A day without a row that lies between days with some is one without charges: Azure moves charges between days,
        and what it has moved must not count twice. Before the first and after the last row nothing is known.
        """
        said = self._days.get(apart, {})
        days = {place: count for place, count in said.items() if count or place not in self._unread}
        for scope in {scope for scope, _ in said}:
            of_scope = [day for other, day in said if other == scope]
            for day in range(min(of_scope), max(of_scope)):
                if (scope, day) not in said:
                    days[scope, day] = 0
        return days


def _fingerprint(query: Query, table: Table) -> str:
    """Return a text that is the same for answers that say the same, in whatever order of rows and columns."""
    order = sorted(range(len(table.columns)), key=lambda at: table.columns[at].lower())
    rows = sorted(dumps(None if row is None else [row[at] for at in order]) for row in table.rows)
    said = [query.name, query.include, str(query.days.last), [table.columns[at].lower() for at in order], rows]
    units = sorted((query.units or {}).items())
    return hashlib.sha256(dumps([*said, units]).encode()).hexdigest()
