"""What a period cost, as several reports need it: both sides of the ledger, and what they leave out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.domain.answer import Chart, Question
from monitor.domain.charting import daily_cost
from monitor.domain.ledger import BilledDay, Line, Usage, lines
from monitor.domain.money import text
from monitor.domain.period import Period, day_number, day_of
from monitor.domain.prices import PriceBook
from monitor.store.billed_days import billed_days, unattributed
from monitor.store.deployments import Deployed, deployments
from monitor.store.prices import price_book
from monitor.store.rollups import usage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass(frozen=True, kw_only=True)
class Spending:
    """The lines of a period with the deployments they name."""

    deployed: Mapping[int, Deployed]
    lines: Sequence[Line]
    notes: Sequence[str]


def spending(connection: "Connection", question: Question) -> Spending:
    """Return what the period's deployments used, what that is estimated to cost, and what was billed for them."""
    deployed = deployments(connection, question.workspace)
    found = lines_of(connection, question, question.period, deployed, price_book(connection))
    notes = [*missing_from(found, deployed), *unattributed_note(connection, question)]
    return Spending(deployed=deployed, lines=found, notes=notes)


def lines_of(
    connection: "Connection", question: Question, period: Period, deployed: Mapping[int, Deployed], book: PriceBook
) -> list[Line]:
    """Return the ledger of a period, perhaps of another one than is asked about."""
    first, last = day_number(period.first), day_number(period.last)
    used: list[Usage] = usage(connection, period, deployed)
    billed: list[BilledDay] = [
        one for one in billed_days(connection, first, last, question.as_of) if one.deployment_id in deployed
    ]
    return lines(used, billed, {number: one.model for number, one in deployed.items()}, book)


def missing_from(found: Sequence[Line], deployed: Mapping[int, Deployed]) -> list[str]:
    """Say which requests the estimates leave out: those without reported tokens, and those without a price."""
    notes = []
    unmeasured = sum(line.unmeasured_requests for line in found)
    if unmeasured:
        notes.append(f"Unmeasured requests: {unmeasured:,}; their responses reported no usage.")
    unpriced: Counter[str] = Counter()
    for line in found:
        unpriced[deployed[line.deployment_id].model] += line.unpriced_requests
    for model, requests in sorted(unpriced.items()):
        if requests:
            notes.append(f"Unpriced requests: {requests:,}; {why_unpriced(model)}.")
    return notes


def why_unpriced(model: str) -> str:
    """Say why the tokens of a model have no price."""
    known = bundled().models.get(model)
    if known is not None and known.kind == "managed-compute":
        return f"{model} runs on the customer's own compute and has no token price"
    return f"no price of {model} is known for those days" if model else "their model is not known"


def unattributed_note(connection: "Connection", question: Question) -> list[str]:
    """Say how many charges of the period fit no deployment; they are in no row but those of unattributed-charges."""
    first, last = day_number(question.period.first), day_number(question.period.last)
    return [
        f"Unattributed charges: {one.charges:,} ({text(one.cost)} {one.currency}); see unattributed-charges."
        for one in unattributed(connection, first, last, question.as_of)
    ]


def basis(found: Sequence[Line], currency: str) -> str:
    """Return which side of the ledger a currency is shown by: the estimate where there is one, else the bill."""
    estimated = any(line.currency == currency and line.estimated_cost is not None for line in found)
    return "estimated" if estimated else "billed"


def cost(line: Line, side: str) -> Decimal | None:
    """Return one side of a line."""
    return line.estimated_cost if side == "estimated" else line.billed_cost


def charts(found: Spending, question: Question) -> list[Chart]:
    """Draw each currency by day, stacked by workspace, or by model where there is one workspace."""
    if not question.charts:
        return []
    used = {line.deployment_id for line in found.lines}
    one_workspace = len({found.deployed[number].workspace for number in used}) == 1
    layer = {
        number: one.model or "(no model)" if one_workspace else one.workspace for number, one in found.deployed.items()
    }
    currencies = sorted(
        {line.currency for line in found.lines if line.currency}, key=lambda one: (one != question.currency, one)
    )
    drawn = (_chart(found, question, layer, currency) for currency in currencies)
    return [chart for chart in drawn if chart is not None]


def _chart(found: Spending, question: Question, layer: Mapping[int, str], currency: str) -> Chart | None:
    side = basis(found.lines, currency)
    costs: list[tuple[date, str, Decimal]] = [
        (day_of(line.day), layer[line.deployment_id], amount)
        for line in found.lines
        if line.currency == currency and (amount := cost(line, side)) is not None
    ]
    return daily_cost(f"{side.capitalize()} cost by day, {currency}", currency, list(question.period.days()), costs)
