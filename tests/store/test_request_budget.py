"""The account of requests: no window is ever passed, by however many processes, and nobody waits for nothing."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from monitor.sources.azure.budget import TENANT
from monitor.store.engine import reading, writing
from monitor.store.request_budget import Limit, RequestBudget
from monitor.store.tables import request_made, request_pause
from tests.azure.cost_management import CostManagement, CostRow
from tests.azure.hurried import BASE, HurriedClock, Hurry, hurry, wait_for
from tests.azure.server import serving
from tests.azure.sessions import SetClock

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIMITS = [Limit(units=pace.units, seconds=pace.seconds) for pace in TENANT]


class Asking:
    """One process that asks, by a clock that only it moves; an answer takes a second."""

    def __init__(self, engine: "Engine", clock: SetClock | None = None) -> None:
        self.clock = clock or SetClock(START)
        self.budget = RequestBudget(engine, self.clock.now, LIMITS)
        self.made: list[datetime] = []

    def take(self, scope: str = "a", units: int = 1, tenant: str = "") -> float:
        return self.budget.take(tenant, scope, units=units, requests_per_minute=4)

    def ask(self, scope: str = "a", units: int = 1) -> float:
        waited = wait_for(lambda: self.take(scope, units), self.clock.sleep)
        self.made.append(self.clock.time)
        self.clock.sleep(0.1)
        self.budget.done("", scope)
        return waited

    def most_in(self, seconds: int) -> int:
        window = timedelta(seconds=seconds)
        return max(sum(at - window < one <= at for one in self.made) for at in self.made)


def test_the_fifth_request_of_a_minute_waits_for_the_first_to_be_over(engine: "Engine") -> None:
    one = Asking(engine)
    assert [one.ask() for _ in range(4)] == [0, 0, 0, 0]
    # The first was answered a tenth of a second after it was drawn; the window is a second longer than Azure's.
    assert one.ask() == pytest.approx(60.7)
    assert one.most_in(60) == 4


def test_scopes_have_an_allowance_each_and_the_tenant_one_for_all(engine: "Engine") -> None:
    one = Asking(engine)
    waits = [one.ask(f"scope-{number % 10}") for number in range(24)]
    assert waits[:12] == [0] * 12
    assert waits[12] > 9
    assert one.most_in(10) == 12


def test_a_minute_and_an_hour_of_the_tenant_are_never_passed(engine: "Engine") -> None:
    one = Asking(engine)
    for number in range(130):
        one.ask(f"scope-{number}")
    assert (one.most_in(10), one.most_in(60)) == (12, 60)
    hours = Asking(engine, SetClock(START + timedelta(days=1)))
    for number in range(70):
        hours.ask(f"scope-{number}", units=10)
    assert hours.most_in(3600) == 60


def test_a_request_larger_than_a_limit_goes_when_all_is_free(engine: "Engine") -> None:
    one = Asking(engine)
    assert one.ask(units=36) == 0
    assert one.take("b") > 0
    one.clock.sleep(12)
    assert one.take("b") == 0


def test_what_has_not_been_answered_counts_as_if_it_were_made_now(engine: "Engine") -> None:
    one = Asking(engine)
    for _ in range(4):
        one.take()
    one.clock.sleep(45)
    assert one.take() == pytest.approx(61)
    one.budget.done("", "a")
    assert one.take() == pytest.approx(61)


def test_a_process_that_died_holds_its_request_for_a_minute_longer(engine: "Engine") -> None:
    dead, clock = Asking(engine), SetClock(START)
    for _ in range(4):
        dead.take()
    assert wait_for(Asking(engine, clock).take, clock.sleep) == pytest.approx(121)


def test_an_answer_to_nothing_is_nothing(engine: "Engine") -> None:
    Asking(engine).budget.done("", "a")
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(request_made)) == 0


def test_a_pause_of_the_tenant_stops_every_process_and_scope(engine: "Engine") -> None:
    one, other = Asking(engine), Asking(engine)
    one.budget.pause("", "", 30)
    assert other.take("b") == pytest.approx(30)
    other.clock.sleep(30)
    assert other.take("b") == 0


def test_a_pause_of_a_scope_or_of_another_tenant_stops_nobody_else(engine: "Engine") -> None:
    one = Asking(engine)
    one.budget.pause("", "a", 30)
    one.budget.pause("contoso", "", 30)
    assert one.take("a") == pytest.approx(30)
    assert one.take("b") == 0
    assert one.take("b", tenant="contoso") == pytest.approx(30)
    assert one.take("b", tenant="fabrikam") == 0


def test_the_longer_pause_stays(engine: "Engine") -> None:
    one = Asking(engine)
    for seconds in (10, 50, 20):
        one.budget.pause("", "a", seconds)
    assert one.take() == pytest.approx(50)


def test_what_a_clock_gone_wrong_has_written_holds_nobody_for_ever(engine: "Engine") -> None:
    one, wrong = Asking(engine), SetClock(datetime(2099, 1, 1, tzinfo=UTC))
    for _ in range(4):
        Asking(engine, wrong).take()
    Asking(engine, wrong).budget.pause("", "", 60)
    one.clock.sleep(one.take())
    assert one.clock.slept == pytest.approx(61)
    assert one.take() == 0
    one.budget.pause("", "", 5)
    assert one.take() == pytest.approx(5)


def test_a_clock_a_second_ahead_does_not_pass_a_limit(engine: "Engine") -> None:
    one, ahead = Asking(engine), Asking(engine, SetClock(START + timedelta(seconds=1)))
    for _ in range(4):
        one.ask()
    ahead.clock.sleep(0.4)
    assert ahead.ask() + 1.4 > 60.0 + 1


def test_what_is_older_than_every_window_is_forgotten(engine: "Engine") -> None:
    one = Asking(engine)
    for number in range(5):
        one.ask(f"scope-{number}")
    one.clock.sleep(3602)
    one.ask()
    with writing(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(request_made)) == 1
        assert connection.scalar(sa.select(sa.func.count()).select_from(request_pause)) == 0


# Processes -----------------------------------------------------------------------------------------------------------


def scopes(count: int) -> list[str]:
    return [f"/subscriptions/{number:08d}-0000-0000-0000-000000000000" for number in range(count)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("speed", "count", "times", "months"),
    [
        pytest.param(60, 20, 2, 1, id="4 a minute and scope, 12 in 10 s, 60 a minute"),
        pytest.param(900, 15, 1, 12, id="600 an hour"),
    ],
)
def test_four_processes_together_never_pass_a_limit(
    store_url: str, speed: int, count: int, times: int, months: int
) -> None:
    clock = HurriedClock(speed)
    with serving() as server:
        costs = CostManagement(server=server, now=clock.now)
        order = Hurry(
            store=store_url,
            address=server.address,
            scopes=scopes(count),
            times=times,
            speed=speed,
            began=clock.began,
            months=months,
        )
        answers = hurry("draw", [order] * 4)
    assert Counter(" ".join(answers).split()) == {"204": 4 * count * times}
    assert not costs.violations
    # Had nobody waited, there would have been more than a limit allows.
    at = sorted(one.at for one in costs.asked)
    assert at[-1] - at[0] > timedelta(seconds=120 if months == 1 else 3600)


@pytest.mark.long
def test_four_collections_at_once_never_pass_a_limit_and_miss_nothing(store_url: str) -> None:
    # A request counts as being made for a minute at most, which is four seconds here: enough on a slow machine.
    clock = HurriedClock(15)
    with serving() as server:
        costs = CostManagement(server=server, now=clock.now, page_size=5)
        costs.rows = [billed_row(scope, day) for scope in scopes(3) for day in range(1, 10)]
        order = Hurry(
            store=store_url, address=server.address, scopes=scopes(3), times=1, speed=clock.speed, began=clock.began
        )
        printed = hurry("collect", [order] * 4)
    assert printed == ["9\n" * 3] * 4
    assert not costs.violations
    assert len(costs.asked) == 4 * 3 * 2
    assert {one.client_type for one in costs.asked} == {"maas-monitor"}


def billed_row(scope: str, day: int) -> CostRow:
    return CostRow(
        day=date(BASE.year, BASE.month, day),
        subscription=scope.rpartition("/")[2],
        resource_group="rg",
        resource_id=f"{scope}/resourceGroups/rg/providers/Microsoft.SaaS/resources/Mistral-nemo-7f",
        meter="Mistral Nemo - plan - paygo-inference-input-tokens",
        cost=Decimal(day),
    )
