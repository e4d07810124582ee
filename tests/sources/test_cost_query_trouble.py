"""What `cost-query` does when Azure refuses, fails, breaks off, goes round in circles or says less than the whole."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest

from monitor.errors import MonitorError
from monitor.sources import cost_query
from monitor.sources.azure.refusals import MissingRoleError, NotSignedInError
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.request import Request
from monitor.sources.session import Session
from tests.azure.cost_management import RATE, CostManagement, CostRow, too_many
from tests.azure.server import Answer, Server, error, serving
from tests.azure.sessions import NOW, TOKEN, SetClock, Unlimited, session

ONE = "11111111-1111-1111-1111-111111111111"
SCOPE = f"/subscriptions/{ONE}"


def row(day: int = 20, number: int = 0) -> CostRow:
    return CostRow(
        day=date(2026, 11, day),
        subscription=ONE,
        resource_group="rg",
        resource_id=f"{SCOPE}/resourceGroups/rg/providers/Microsoft.SaaS/resources/Mistral-nemo-{number:08x}",
        meter="Mistral Nemo - plan - paygo-inference-input-tokens",
        cost=Decimal("0.01"),
    )


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def costs(clock: SetClock) -> Iterator[CostManagement]:
    with serving() as server:
        yield CostManagement(server=server, limited=False, now=clock.now, rows=[row(19), row(20)])


@pytest.fixture
def opened(costs: CostManagement, clock: SetClock) -> Iterator[Session]:
    with session(costs.server.address, clock=clock) as made:
        yield made


def pull(opened: Session) -> tuple[list[CostAnswer], list[MonitorError]]:
    settings = cost_query.Settings(name="costs", kind="cost-query", scope=SCOPE)
    given = list(cost_query.pulls(settings, {}, Request(), opened))
    answers = [one for one in given if isinstance(one, CostAnswer)]
    return answers, [one for one in given if isinstance(one, MonitorError)]


def budget(opened: Session) -> Unlimited:
    assert isinstance(opened.budget, Unlimited)
    return opened.budget


# Refused as one too many ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds", "paused"),
    [
        ({f"{RATE}-entity-retry-after": "7"}, 7, {SCOPE: 7}),
        ({f"{RATE}-qpu-retry-after": "9", f"{RATE}-entity-retry-after": "40"}, 40, {SCOPE: 40, "": 9}),
        ({f"{RATE}-tenant-retry-after": "3", f"{RATE}-clienttype-retry-after": "11"}, 11, {"": 11}),
        ({"X-MS-RateLimit-Microsoft.CostManagement-Client-Retry-After": "5"}, 5, {"": 5}),
        ({"Retry-After": "13", f"{RATE}-qpu-retry-after": "2"}, 13, {"": 13}),
        ({"Retry-After": "soon"}, 60, {SCOPE: 60}),
        ({}, 60, {SCOPE: 60}),
    ],
)
def test_pitfall_21_the_longest_of_all_retry_after_headers_is_waited_for(
    costs: CostManagement,
    opened: Session,
    clock: SetClock,
    headers: dict[str, str],
    seconds: int,
    paused: dict[str, int],
) -> None:
    costs.instead.append(too_many(headers))
    answers, errors = pull(opened)
    assert (len(answers[0].charges), errors) == (2, [])
    assert seconds <= clock.slept < seconds + 1
    assert {scope: int(held) for scope, held in budget(opened).paused} == paused


def test_pitfall_21_a_retry_after_may_be_a_date(costs: CostManagement, opened: Session, clock: SetClock) -> None:
    costs.instead.append(too_many({"Retry-After": format_datetime(NOW + timedelta(seconds=25), usegmt=True)}))
    assert len(pull(opened)[0]) == 1
    assert 25 <= clock.slept < 26


def test_azure_is_not_asked_for_ever(costs: CostManagement, opened: Session, clock: SetClock) -> None:
    costs.instead.extend(too_many({f"{RATE}-entity-retry-after": "10"}) for _ in range(20))
    answers, (told,) = pull(opened)
    assert not answers
    assert len(costs.asked) == 6
    assert "after 5" in str(told)
    assert "Azure is asked too often" in str(told)
    assert 50 <= clock.slept < 60


def test_nobody_sits_through_a_wait_of_hours(costs: CostManagement, opened: Session, clock: SetClock) -> None:
    costs.instead.append(too_many({f"{RATE}-qpu-retry-after": "7200"}))
    _, (told,) = pull(opened)
    assert "it wants 720" in str(told)
    assert clock.slept == 0
    assert [int(seconds) for _, seconds in budget(opened).paused] == [7200]


def test_every_request_is_drawn_from_the_budget_pages_and_repetitions_too(
    costs: CostManagement, opened: Session
) -> None:
    costs.page_size = 1
    costs.instead.extend([too_many({}), None, error(503, "ServiceUnavailable", "Try again.")])
    pull(opened)
    assert len(costs.asked) == 4
    assert budget(opened).taken == [(SCOPE, 1)] * 4


# Failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        error(500, "InternalServerError", "Oops."),
        error(503, "ServiceUnavailable", "Busy.", Retry_After="1"),
        Answer(status=502, body=b"<html>bad gateway</html>", headers={"content-type": "text/html"}),
        Answer(body={"properties": {"columns": [], "rows": []}}, cut=20),
        Answer(body=b'{"properties": {"columns": ['),
        Answer(body=b"<html>sign in to the wireless network</html>", headers={"content-type": "text/html"}),
        Answer(body=b'{"properties": {"columns": [], "rows": [[NaN]]}}'),
    ],
    ids=["500", "503", "502", "cut", "half", "html", "nan"],
)
def test_a_failure_is_tried_again_and_not_for_ever(
    costs: CostManagement, opened: Session, clock: SetClock, failure: Answer
) -> None:
    costs.instead.append(failure)
    answers, errors = pull(opened)
    assert (len(answers[0].charges), errors) == (2, [])
    assert 0 < clock.slept < 10
    costs.instead.extend([failure] * 9)
    answers, (told,) = pull(opened)
    assert not answers
    assert told.exit_status == 3
    assert len(costs.asked) == 2 + 4


def test_a_server_that_is_gone_is_out_of_reach(clock: SetClock) -> None:
    with session("http://127.0.0.1:9", clock=clock) as opened:
        answers, (told,) = pull(opened)
    assert not answers
    assert str(told).startswith("costs: ")
    assert told.exit_status == 3


def test_an_error_on_the_third_page_keeps_nothing_of_the_first(costs: CostManagement, opened: Session) -> None:
    costs.rows, costs.page_size = [row(day) for day in range(1, 21)], 5
    costs.instead.extend([None, None, *[error(500, "InternalServerError", "Oops.")] * 4])
    answers, errors = pull(opened)
    assert (answers, len(errors)) == ([], 1)


def test_a_missing_role_is_named(costs: CostManagement, opened: Session) -> None:
    action = "Microsoft.CostManagement/query/action"
    message = f"The client 'x' does not have authorization to perform action '{action}' over scope '{SCOPE}'."
    costs.instead.append(error(403, "AuthorizationFailed", message))
    _, (told,) = pull(opened)
    assert isinstance(told, MissingRoleError)
    assert str(told) == (
        f"costs: access is refused ({action}): give this identity the role 'Cost Management Reader' at {SCOPE}"
    )
    assert len(costs.asked) == 1


@pytest.mark.parametrize("page", [0, 1])
def test_a_token_that_is_not_taken_is_told_on_every_page(costs: CostManagement, opened: Session, page: int) -> None:
    costs.page_size = 1
    costs.instead.extend([None] * page + [error(401, "InvalidAuthenticationToken", "The access token is invalid.")])
    _, (told,) = pull(opened)
    assert isinstance(told, NotSignedInError)


def test_no_token_is_ever_in_an_error_or_a_log(
    costs: CostManagement, opened: Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    costs.instead.extend([error(500, "Oops", f"Bearer {TOKEN}")] * 4)
    costs.instead.append(error(403, "AuthorizationFailed", f"The token {TOKEN} is not allowed."))
    told = [str(one) for _ in range(2) for one in pull(opened)[1]]
    assert len(told) == 2
    assert TOKEN not in f"{told}{caplog.text}"


# Links ---------------------------------------------------------------------------------------------------------------


def linked(link: Any) -> Answer:
    return Answer(body={"properties": {"nextLink": link, "columns": [{"name": "Cost"}], "rows": [[1]]}})


def test_a_link_to_another_host_is_not_followed(costs: CostManagement, opened: Session) -> None:
    with serving(Server()) as elsewhere:
        for link in (f"{elsewhere.address}/x", "https://management.azure.com.evil.example/x", "file:///etc/passwd", 7):
            costs.instead.append(linked(link))
            answers, (told,) = pull(opened)
            assert not answers
            assert "goes on at another host" in str(told)
        assert not elsewhere.calls


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(costs: CostManagement, opened: Session, status: int) -> None:
    with serving(Server()) as elsewhere:
        costs.instead.extend([Answer(status=status, body=b"", headers={"location": f"{elsewhere.address}/x"})] * 4)
        answers, errors = pull(opened)
        assert (answers, len(errors)) == ([], 1)
        assert not elsewhere.calls


def test_a_link_that_repeats_itself_is_not_followed_for_ever(costs: CostManagement, opened: Session) -> None:
    path = f"{costs.server.address}{SCOPE}/providers/Microsoft.CostManagement/query"
    costs.instead.extend(linked(f"{path}?round={at % 2}") for at in range(9))
    answers, (told,) = pull(opened)
    assert not answers
    assert "does not end" in str(told)
    assert len(costs.asked) == 3


def test_a_page_that_is_gone_is_not_the_end(costs: CostManagement, opened: Session) -> None:
    costs.page_size = 1
    costs.instead.extend([None, Answer(status=204, body=b"")])
    answers, (told,) = pull(opened)
    assert not answers
    assert "a page of Azure's answer is missing" in str(told)


def test_pages_may_order_their_columns_each_in_its_own_way(costs: CostManagement, opened: Session) -> None:
    costs.rows, costs.page_size = [row(day) for day in range(1, 21)], 2
    (answer,), _ = pull(opened)
    assert [one.billed_cost for one in answer.charges] == [Decimal("0.01")] * 20
    assert not answer.rejected


def test_pages_of_different_columns_are_no_answer(costs: CostManagement, opened: Session) -> None:
    costs.page_size = 1
    costs.instead.extend([None, Answer(body={"properties": {"columns": [{"name": "Cost"}], "rows": [[1]]}})])
    answers, (told,) = pull(opened)
    assert not answers
    assert "different columns" in str(told)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"properties": []},
        {"properties": {"rows": [[1]]}},
        {"properties": {"rows": {}, "columns": []}},
        {"properties": {"rows": [[1]], "columns": [{"type": "Number"}]}},
    ],
    ids=str,
)
def test_what_is_no_answer_is_told_and_nothing_of_it_kept(costs: CostManagement, opened: Session, body: Any) -> None:
    costs.instead.extend([Answer(body=body)] * 4)
    answers, (told,) = pull(opened)
    assert not answers
    assert "nothing of it is kept: try again later" in str(told)


# Silent cuts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 5000])
def test_pitfall_15_an_answer_cut_at_a_page_is_asked_again_in_halves(
    costs: CostManagement, opened: Session, size: int
) -> None:
    costs.rows = [row(day, number) for day in range(1, 21) for number in range(size // 10)]
    costs.silent_cut = size
    (answer,), errors = pull(opened)
    assert not errors
    assert len(answer.charges) == 2 * size
    assert len({(one.charge_period_start, one.resource_id) for one in answer.charges}) == 2 * size
    assert [one.body["timePeriod"]["to"][:10] for one in costs.asked][:3] == ["2026-11-23", "2026-11-12", "2026-11-06"]


def test_an_answer_that_ends_just_beside_a_page_is_whole(costs: CostManagement, opened: Session) -> None:
    for size in (999, 1001):
        costs.rows, costs.silent_cut = [row(1 + number % 20, number) for number in range(size)], 9999
        costs.asked.clear()
        assert len(pull(opened)[0][0].charges) == size
        assert len(costs.asked) == 1


def test_an_answer_that_fills_its_last_page_is_believed_where_pages_were_handed_out(
    costs: CostManagement, opened: Session
) -> None:
    costs.rows = [row(1 + number % 20, number) for number in range(2000)]
    assert len(pull(opened)[0][0].charges) == 2000
    assert len(costs.asked) == 2


def test_a_single_day_that_looks_cut_is_refused(costs: CostManagement, opened: Session) -> None:
    costs.rows, costs.silent_cut = [row(20, number) for number in range(1001)], 1000
    answers, (told,) = pull(opened)
    assert not answers
    assert "Azure's answer for 2026-11-20 ends after 1,000 rows, which may not be all" in str(told)


def test_an_answer_for_the_last_day_only_is_not_taken_for_all(costs: CostManagement, opened: Session) -> None:
    costs.rows, costs.last_day_only = [row(day) for day in range(18, 24)], True
    (answer,), _ = pull(opened)
    assert len(answer.charges) == 6


def test_a_day_that_azure_adds_to_a_narrower_question_does_not_count_twice(
    costs: CostManagement, opened: Session
) -> None:
    costs.rows, costs.stray_day = [row(23)], True
    (answer,), _ = pull(opened)
    assert len(answer.charges) == 1
    assert answer.ignored == {"outside the asked days": 1}


def test_days_that_azure_adds_to_the_halves_of_a_cut_answer_do_not_count_twice(
    costs: CostManagement, opened: Session
) -> None:
    costs.rows = [row(day, number) for day in range(9, 13) for number in range(300)]
    costs.stray_day, costs.silent_cut = True, 1000
    (answer,), _ = pull(opened)
    assert len(answer.charges) == 1200


def test_on_the_first_day_of_use_one_more_query_settles_it(costs: CostManagement, opened: Session) -> None:
    costs.rows = [row(23)]
    (answer,), _ = pull(opened)
    assert len(answer.charges) == 1
    assert len(costs.asked) == 2
