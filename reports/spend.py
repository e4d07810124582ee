"""Spend: what each workspace used, is estimated to cost and was billed, by model.

`share` is the row's part of the period's estimated cost in its currency (of the billed cost where nothing of that
currency is estimated). In a calendar month `budget` is what the workspace may spend on all its models and `budget_used`
the part of it that they all cost together, in the budget's currency. In the running month `forecast_cost` is the row's
cost so far plus the mean of its last seven complete days for every day that is left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from monitor.domain.answer import Column, Found, Question
from monitor.domain.forecast import LOOKBACK_DAYS, cost_at_end, days_left
from monitor.domain.ledger import Line, add
from monitor.domain.money import EXACT, money_total
from monitor.domain.period import Period, day_of
from monitor.reporting.spending import Spending, basis, charts, cost, lines_of, spending
from monitor.store.deployments import Deployed
from monitor.store.prices import price_book

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("workspace", "text", "Workspace"),
    Column("model", "text", "Model"),
    Column("cost_center", "text", "Cost center"),
    Column("requests", "count", "Requests", summed=True),
    Column("prompt_tokens", "count", "Prompt", summed=True),
    Column("completion_tokens", "count", "Completion", summed=True),
    Column("estimated_cost", "money", "Estimated", summed=True),
    Column("billed_cost", "money", "Billed", summed=True),
    Column("currency", "text", "Cur."),
    Column("share", "ratio", "Share"),
    Column("budget", "money", "Budget"),
    Column("budget_used", "ratio", "Used"),
    Column("forecast_cost", "money", "Forecast", summed=True),
)


class Key(NamedTuple):
    """What one row is about."""

    workspace: str
    model: str
    currency: str


class Sum(NamedTuple):
    """What the lines of one key add up to."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_cost: Decimal | None = None
    billed_cost: Decimal | None = None

    def plus(self, line: Line) -> "Sum":
        """Add a line of the same currency."""
        return Sum(
            self.requests + line.requests,
            self.prompt_tokens + line.prompt_tokens,
            self.completion_tokens + line.completion_tokens,
            add(self.estimated_cost, line.estimated_cost),
            add(self.billed_cost, line.billed_cost),
        )


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per workspace, model and currency, by workspace and model."""
    found = spending(connection, question)
    sides = {line.currency: basis(found.lines, line.currency) for line in found.lines if line.currency}
    sums = _sums(found.lines, found.deployed)
    costs = {
        key: one.estimated_cost if sides.get(key.currency) == "estimated" else one.billed_cost
        for key, one in sums.items()
    }
    forecasts = _forecasts(connection, question, found, sides, costs)
    owners = {one.workspace: one for one in found.deployed.values()}
    rows = [
        (
            key.workspace or None,
            key.model or None,
            owners[key.workspace].cost_center,
            *total,
            key.currency or None,
            _share(key, costs),
            *_budget(owners[key.workspace], key, costs, question.period),
            forecasts.get(key),
        )
        for key, total in sorted(sums.items())
    ]
    return Found(rows=rows, charts=charts(found, question), notes=found.notes)


def _sums(lines: Sequence[Line], deployed: Mapping[int, Deployed]) -> dict[Key, Sum]:
    """Sum lines; days without any amount join the rows of those with one."""
    sums: dict[Key, Sum] = defaultdict(Sum)
    usual = {
        (deployed[line.deployment_id].workspace, deployed[line.deployment_id].model): line.currency
        for line in lines
        if line.currency
    }
    for line in lines:
        one = deployed[line.deployment_id]
        key = Key(one.workspace, one.model, line.currency or usual.get((one.workspace, one.model), ""))
        sums[key] = sums[key].plus(line)
    return dict(sums)


def _share(key: Key, costs: Mapping[Key, Decimal | None]) -> float | None:
    whole = money_total(one for other, one in costs.items() if other.currency == key.currency)
    part = costs[key]
    return float(part / whole) if part is not None and whole else None


def _budget(
    owner: Deployed, key: Key, costs: Mapping[Key, Decimal | None], period: Period
) -> tuple[Decimal | None, float | None]:
    """Return the workspace's budget and the used part of it, where the row is in the budget's currency."""
    if not period.is_month() or owner.budget is None or owner.budget_currency != key.currency:
        return None, None
    spent = money_total(
        one for other, one in costs.items() if (other.workspace, other.currency) == (key.workspace, key.currency)
    )
    return owner.budget, float(spent / owner.budget) if spent is not None and owner.budget else None


def _forecasts(
    connection: "Connection",
    question: Question,
    found: Spending,
    sides: Mapping[str, str],
    costs: Mapping[Key, Decimal | None],
) -> dict[Key, Decimal]:
    """Forecast every row's cost at the end of the running month; empty for any other period."""
    # Usage has no history: it is all counted up to now, whatever is known of the bills `as_of` an instant.
    period, now = question.period, question.now
    today = now.astimezone(period.zone).date()
    if not period.is_month() or not period.first <= today <= period.last:
        return {}
    week = Period(first=today - timedelta(days=LOOKBACK_DAYS), last=today - timedelta(days=1), zone=period.zone)
    recent = lines_of(connection, question, week, found.deployed, price_book(connection))
    if not recent:
        return {}
    known_from = max(week.first, day_of(min(line.day for line in recent)))
    by_day = _by_day(recent, found.deployed, sides)
    days = [known_from + timedelta(days=number) for number in range((today - known_from).days)]
    left = days_left(period, now)
    return {
        key: cost_at_end(so_far, [by_day.get((key, day), Decimal(0)) for day in days], left)
        for key, so_far in costs.items()
        if so_far is not None and key.currency
    }


def _by_day(
    recent: Iterable[Line], deployed: Mapping[int, Deployed], sides: Mapping[str, str]
) -> dict[tuple[Key, date], Decimal]:
    by_day: dict[tuple[Key, date], Decimal] = {}
    for line in recent:
        one = deployed[line.deployment_id]
        amount = cost(line, sides.get(line.currency or "", "estimated"))
        if amount is not None and line.currency:
            key = (Key(one.workspace, one.model, line.currency), day_of(line.day))
            by_day[key] = EXACT.add(by_day.get(key, Decimal(0)), amount)
    return by_day
