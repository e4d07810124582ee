"""What a period cost, as several reports need it: both sides of the ledger, and what they leave out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.domain.answer import Chart, Question
from monitor.domain.charting import daily_cost
from monitor.domain.ledger import BilledDay, Line, Usage, lines
from monitor.domain.period import Period, day_number, day_of
from monitor.domain.prices import PriceBook
from monitor.reporting.presenting.cells import shown
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
    notes = [
        *report_days_note(question),
        *missing_from(found, deployed),
        *left_out_notes(found, deployed),
        *unattributed_note(connection, question),
    ]
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


def report_days_note(question: Question) -> list[str]:
    """Say that bills know no other days than those of UTC, where the report does."""
    if question.zone == "UTC":
        return []
    return [f"Bills are by UTC day; they stand on the day of the same date in {question.zone}."]


def billing_days_note(question: Question) -> list[str]:
    """Say that a report's days are those of UTC, where others were asked for."""
    return [] if question.zone == "UTC" else [f"Days are UTC billing days, not those of {question.zone}."]


def left_out(found: Sequence[Line], deployed: Mapping[int, Deployed], currency: str) -> dict[str, str]:
    """Name the deployments that were billed in a currency in which none of their use has an estimate, and say why.

    A workspace stands for its deployments where none of them has an estimate.
    """
    if basis(found, currency) == "billed":
        return {}
    some = [line for line in found if line.currency == currency]
    estimated = {line.deployment_id for line in some if line.estimated_cost is not None}
    only_billed = {line.deployment_id for line in some if line.billed_cost is not None} - estimated
    whole = {deployed[number].workspace for number in estimated}
    reasons: dict[str, str] = {}
    for line in found:
        if line.deployment_id in only_billed:
            one = deployed[line.deployment_id]
            named = f"{one.workspace}/{one.name}" if one.workspace in whole else one.workspace
            why = "unpriced" if line.unpriced_requests else "unmeasured" if line.unmeasured_requests else ""
            reasons[named] = reasons.get(named) or why
    return {named: why or "nothing logged" for named, why in sorted(reasons.items())}


def without(found: Sequence[Line], deployed: Mapping[int, Deployed], currency: str) -> str:
    """Say which deployments an estimate does not hold; empty if it holds all that were billed."""
    return ", ".join(f"{named} ({why})" for named, why in left_out(found, deployed, currency).items())


def left_out_notes(found: Sequence[Line], deployed: Mapping[int, Deployed]) -> list[str]:
    """Say whose cost is known from the bill only, so that estimates and shares are without it."""
    notes = []
    for currency in sorted({line.currency for line in found if line.currency}):
        named = without(found, deployed, currency)
        if named:
            notes.append(f"Estimates in {currency}, and shares and charts of them, are without {named}: billed only.")
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
    notes = []
    for one in unattributed(connection, first, last, question.as_of):
        cost = shown(one.cost, "money")
        notes.append(f"Unattributed charges: {one.charges:,} ({cost} {one.currency}); see unattributed-charges.")
    return notes


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
    chart = daily_cost(f"{side.capitalize()} cost by day, {currency}", currency, list(question.period.days()), costs)
    return chart and replace(chart, without=without(found.lines, found.deployed, currency))
