"""`cost-query` through a whole collection: read again, restated, interrupted, and as it was known on an earlier day."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from monitor.clock import Clock
from monitor.collect import collect, collect_range
from monitor.collect.tally import SourceResult
from monitor.config.settings import Settings
from monitor.domain.period import Period, day_number
from monitor.sources import cost_query
from monitor.sources.azure.cloud import Azure
from monitor.store.billed import billed
from monitor.store.engine import reading
from tests.azure.cost_management import CostManagement, CostRow
from tests.azure.server import Answer, error, serving
from tests.azure.sessions import TOKEN, SetClock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def row(day: int, cost: str = "1.50", subscription: str = ONE, group: str = "rg") -> CostRow:
    resource = (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.SaaS/resources/Mistral-nemo-7f"
    )
    return CostRow(
        day=date(2026, 11, day),
        subscription=subscription,
        resource_group=group,
        resource_id=resource,
        meter="Mistral Nemo - plan - paygo-inference-output-tokens",
        cost=Decimal(cost),
        quantity=Decimal(3),
    )


class Tenant:
    """A store, its settings, Cost Management, and a clock that goes on by itself while somebody sleeps."""

    def __init__(self, engine: "Engine", costs: CostManagement, clock: SetClock) -> None:
        self.engine, self.costs, self.clock = engine, costs, clock
        self.scopes = [f"/subscriptions/{ONE}"]

    @property
    def settings(self) -> Settings:
        sources = tuple(
            cost_query.Settings(name=f"costs-{at}", kind="cost-query", scope=scope)
            for at, scope in enumerate(self.scopes)
        )
        azure = Azure(credential="token", resource_manager=self.costs.server.address)
        return Settings(folder=Path(), sources=sources, azure=azure)

    def collect(self, now: datetime | None = None) -> list[SourceResult]:
        self.clock.time = max(self.clock.time, now or self.clock.time) + timedelta(hours=1)
        return collect(self.engine, self.settings, now=self.clock.time, clock=self.clock)

    def backfill(self, first: date, last: date) -> SourceResult:
        period = Period(first=first, last=last)
        return collect_range(
            self.engine, self.settings, "costs-0", period=period, now=self.clock.time, clock=self.clock
        )

    def bill(self, as_of: datetime | None = None) -> dict[int, Decimal]:
        days: dict[int, Decimal] = {}
        with reading(self.engine) as connection:
            for one in billed(connection, 0, 99_999, as_of):
                day = one.day - day_number(date(2026, 11, 1)) + 1
                days[day] = days.get(day, Decimal(0)) + one.billed_cost
        return days

    def counted(self, table: str) -> int:
        with reading(self.engine) as connection:
            return int(connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)


@pytest.fixture
def tenant(engine: "Engine", monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    clock = SetClock(START)
    with serving() as server:
        yield Tenant(engine, CostManagement(server=server, now=clock.now, rows=[row(18), row(19)]), clock)


def figures(result: SourceResult) -> tuple[int, int, int, int]:
    assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
    return result.read, result.stored, result.duplicates, len(result.errors)


def test_what_is_read_again_is_nothing_new(tenant: Tenant) -> None:
    assert figures(tenant.collect()[0]) == (2, 2, 0, 0)
    assert figures(tenant.collect()[0]) == (2, 0, 2, 0)
    assert tenant.bill() == {18: Decimal("1.50"), 19: Decimal("1.50")}
    assert tenant.counted("charge") == 2


def test_pitfall_1_a_restated_day_replaces_and_what_was_known_stays(tenant: Tenant) -> None:
    tenant.collect()
    before = tenant.clock.time
    tenant.costs.rows = [row(18), row(19, "1.75"), row(20, "0.25")]
    assert figures(tenant.collect()[0]) == (3, 2, 1, 0)
    assert tenant.bill() == {18: Decimal("1.50"), 19: Decimal("1.75"), 20: Decimal("0.25")}
    assert tenant.bill(before) == {18: Decimal("1.50"), 19: Decimal("1.50")}


@pytest.mark.parametrize("empty", [200, 204])
def test_pitfall_14_an_answer_that_knows_nothing_wipes_nothing(tenant: Tenant, empty: int) -> None:
    tenant.collect()
    tenant.costs.rows, tenant.costs.empty = [], empty
    assert figures(tenant.collect()[0]) == (0, 0, 0, 0)
    assert tenant.bill() == {18: Decimal("1.50"), 19: Decimal("1.50")}


@pytest.mark.parametrize("left", [18, 19])
def test_a_day_at_either_end_that_the_answer_leaves_out_stays_as_it_is_known(tenant: Tenant, left: int) -> None:
    tenant.collect()
    tenant.costs.rows = [row(left, "2")]
    tenant.collect()
    assert tenant.bill() == {18: Decimal("1.50"), 19: Decimal("1.50"), left: Decimal(2)}


def test_a_charge_that_azure_moves_to_another_day_counts_there_and_no_longer_here(tenant: Tenant) -> None:
    tenant.costs.rows = [row(18), row(19), row(20)]
    tenant.collect()
    before = tenant.clock.time
    tenant.costs.rows = [row(18), row(20), row(20, "0.75", group="other")]
    tenant.collect()
    assert tenant.bill() == {18: Decimal("1.50"), 20: Decimal("2.25")}
    assert tenant.bill(before) == {18: Decimal("1.50"), 19: Decimal("1.50"), 20: Decimal("1.50")}
    assert tenant.counted("cost_day") == 5


def test_a_failure_in_the_middle_loses_nothing_and_the_next_collection_completes(tenant: Tenant) -> None:
    tenant.costs.rows, tenant.costs.page_size = [row(day) for day in range(1, 20)], 5
    broken = Answer(body={"properties": {"columns": [], "rows": []}}, cut=9)
    for trouble in (error(500, "InternalServerError", "Oops."), broken):
        tenant.costs.instead.extend([None, None, *[trouble] * 4])
        assert figures(tenant.collect()[0]) == (0, 0, 0, 1)
        assert tenant.bill() == {}
    assert figures(tenant.collect()[0]) == (19, 19, 0, 0)
    assert len(tenant.bill()) == 19


def test_one_month_that_makes_no_sense_does_not_stop_the_other(tenant: Tenant) -> None:
    tenant.clock.time = datetime(2026, 12, 3, tzinfo=UTC)
    tenant.costs.rows.append(CostRow(**{**row(1).__dict__, "day": date(2026, 12, 2)}))
    tenant.costs.instead.append(Answer(body={"properties": {"rows": [[1]], "columns": [{"name": "Cost"}]}}))
    (result,) = tenant.collect()
    assert figures(result) == (1, 1, 0, 1)
    assert tenant.bill() == {32: Decimal("1.50")}
    tenant.collect()
    assert set(tenant.bill()) == {18, 19, 32}


def test_months_are_asked_until_they_are_closed_and_then_no_more(tenant: Tenant) -> None:
    for day in (1, 6, 7, 8, 9):
        tenant.costs.asked.clear()
        tenant.collect(datetime(2026, 12, day, tzinfo=UTC))
        months = [one.body["timePeriod"]["from"][:7] for one in tenant.costs.asked]
        assert months == (["2026-11", "2026-12"] if day <= 7 else ["2026-12"])


def test_a_backfill_reads_a_past_range_and_a_repeat_nothing_new(tenant: Tenant) -> None:
    tenant.costs.rows = [CostRow(**{**row(1).__dict__, "day": date(2026, month, 5)}) for month in (3, 4, 5, 6)]
    assert figures(tenant.backfill(date(2026, 4, 2), date(2026, 6, 30))) == (3, 3, 0, 0)
    tenant.clock.sleep(3600)
    assert figures(tenant.backfill(date(2026, 4, 2), date(2026, 6, 30))) == (3, 0, 3, 0)


def test_groups_of_one_subscription_do_not_replace_each_other(tenant: Tenant) -> None:
    tenant.scopes = [f"/subscriptions/{ONE}/resourceGroups/{group}" for group in ("a", "b")]
    tenant.costs.rows = [row(18, "1", group="a"), row(18, "2", group="b")]
    for _ in range(2):
        tenant.collect()
        assert tenant.bill() == {18: Decimal(3)}


def test_subscriptions_of_one_billing_account_are_counted_once_each(tenant: Tenant) -> None:
    account = "/providers/Microsoft.Billing/billingAccounts/77"
    tenant.costs.groups = {account.lower(): {ONE, TWO}}
    tenant.costs.rows = [row(18, "1"), row(18, "2", subscription=TWO)]
    tenant.scopes = [account]
    tenant.collect()
    assert tenant.bill() == {18: Decimal(3)}
    # Later one of them is asked for itself: it replaces its own days, and nobody else's.
    tenant.scopes = [account, f"/subscriptions/{TWO}"]
    tenant.collect()
    assert tenant.bill() == {18: Decimal(3)}


def test_limits_are_kept_over_many_scopes_and_months(tenant: Tenant) -> None:
    tenant.scopes = [f"/subscriptions/{at:08d}-0000-0000-0000-000000000000" for at in range(5)]
    tenant.costs.rows = [
        row(day, subscription=scope.rpartition("/")[2]) for scope in tenant.scopes for day in range(1, 20)
    ]
    tenant.costs.page_size = 3
    assert [figures(result) for result in tenant.collect()] == [(19, 19, 0, 0)] * 5
    assert len(tenant.costs.asked) == 5 * 7
    assert not tenant.costs.violations


def test_another_s_use_of_the_tenant_s_allowance_is_waited_for(tenant: Tenant) -> None:
    tenant.costs.in_portal(12)
    assert figures(tenant.collect()[0]) == (2, 2, 0, 0)
    tenant.clock.sleep(3600)
    tenant.costs.in_portal(60)
    assert figures(tenant.collect(tenant.clock.time - timedelta(hours=1))[0]) == (2, 0, 2, 0)


def test_a_row_that_makes_no_sense_is_quarantined_once(tenant: Tenant) -> None:
    columns = [{"name": name} for name in ("Cost", "UsageQuantity", "UsageDate", "ResourceId", "Meter", "Currency")]
    rows = [[1, 1, 20261118, row(1).resource_id, row(1).meter, "USD"], [None, 1, 20261119, "", row(1).meter, "USD"]]
    answer = Answer(body={"properties": {"columns": columns, "rows": rows}})
    tenant.costs.instead.extend([answer, answer])
    assert tenant.collect()[0].quarantined == 1
    assert tenant.collect()[0].quarantined == 0
    assert tenant.counted("quarantine") == 1


def test_no_token_reaches_the_store(tenant: Tenant, store_url: str, tmp_path: Path) -> None:
    tenant.collect()
    tenant.engine.dispose()
    if store_url.startswith("sqlite"):
        assert not any(TOKEN.encode() in file.read_bytes() for file in tmp_path.glob("store.db*"))


def test_the_clock_of_the_machine_does_it_too(engine: "Engine", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    today: Any = datetime.now(UTC)
    with serving() as server:
        costs = CostManagement(server=server)
        costs.rows = [CostRow(**{**row(1).__dict__, "day": today.date()})]
        one = Tenant(engine, costs, SetClock(today))
        result = collect(engine, one.settings, now=today, clock=Clock())[0]
    assert figures(result) == (1, 1, 0, 0)
