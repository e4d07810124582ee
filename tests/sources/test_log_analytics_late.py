"""Logs that come late, in part or not at all, and a service in trouble: nothing is lost, and nothing counted twice."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.sources.azure.logs import TRIES
from monitor.store.tables import deployment, metadata, usage_event
from tests.azure.log_analytics import GATEWAY, LLM, PROMPT, refusal, throttled, timed_out
from tests.azure.server import Answer
from tests.azure.sessions import NOW, TOKEN
from tests.samples import totals
from tests.sources.log_samples import WORKSPACE, T, Tenant, gateway


@pytest.fixture
def tenant(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    with gateway(engine) as made:
        yield made


# Late ---------------------------------------------------------------------------------------------------------------


def test_a_call_that_is_logged_two_hours_late_is_counted(tenant: Tenant) -> None:
    tenant.call("late", NOW - timedelta(minutes=10), llm_arrives=120, gateway_arrives=121)
    assert tenant.collect().read == 0
    assert tenant.collect(after=60).read == 0
    assert tenant.collect(after=60).stored == 1
    assert totals(tenant.engine) == (1, 100)


def test_half_a_call_waits_for_its_other_half(tenant: Tenant) -> None:
    tenant.call("tokens first", NOW - timedelta(minutes=3), llm_arrives=2, gateway_arrives=5)
    tenant.call("status first", NOW - timedelta(minutes=3), llm_arrives=6, gateway_arrives=2)
    assert tenant.collect().read == 0
    assert tenant.collect(after=5).stored == 2
    assert totals(tenant.engine) == (2, 200)
    assert tenant.rows(sa.select(usage_event.c.status)) == [(200,), (200,)]
    assert len(tenant.rows(sa.select(deployment.c.id))) == 1


def test_half_a_call_counts_as_it_is_when_its_other_half_never_comes(tenant: Tenant) -> None:
    tenant.call("no tokens", NOW - timedelta(minutes=3), llm_arrives=None)
    tenant.call("no status", NOW - timedelta(minutes=3), gateway_arrives=None)
    assert tenant.collect().read == 0
    assert tenant.collect(after=11).stored == 2
    assert (tenant.sum("requests"), tenant.sum("unmeasured_requests"), tenant.sum("prompt_tokens")) == (2, 1, 100)


def test_tokens_that_come_hours_after_the_rest_complete_the_call(tenant: Tenant) -> None:
    tenant.call("c", NOW - timedelta(minutes=30), llm_arrives=200, gateway_arrives=1)
    tenant.collect()
    assert tenant.sum("unmeasured_requests") == 1
    tenant.collect(after=300)
    assert (tenant.sum("unmeasured_requests"), tenant.sum("prompt_tokens"), tenant.sum("requests")) == (0, 100, 1)


def test_a_throttle_is_known_at_once(tenant: Tenant) -> None:
    tenant.call("c", NOW - timedelta(minutes=2), ResponseCode=429, BackendResponseCode=429)
    assert tenant.collect().stored == 1


def test_a_refusal_of_the_gateway_is_counted_once_however_often_it_is_seen(tenant: Tenant) -> None:
    tenant.call("c", NOW - timedelta(minutes=2), ResponseCode=429, BackendResponseCode=None, BackendUrl="")
    assert [tenant.collect(after=5).ignored for _ in range(4)] == [1, 0, 0, 0]


def test_many_collections_of_a_busy_day_tell_the_same_as_one(tenant: Tenant) -> None:
    for number in range(300):
        lateness = {"llm_arrives": 1 + number % 7, "gateway_arrives": 1 + number % 150}
        tenant.call(f"c{number}", NOW + timedelta(minutes=number), **lateness)
    results = [tenant.collect(after=7) for _ in range(70)]
    assert sum(result.stored for result in results) == 300
    assert totals(tenant.engine) == (300, 30_000)


def test_two_collectors_at_once_count_every_request_once(tenant: Tenant) -> None:
    for number in range(60):
        tenant.call(f"c{number}", T + timedelta(minutes=number))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: tenant.collect(slice_minutes=20, first_days=1), range(2)))
    assert [result.errors for result in results] == [(), ()]
    assert sum(result.stored for result in results) == 60
    assert totals(tenant.engine) == (60, 6000)


# In part ------------------------------------------------------------------------------------------------------------


def test_a_partial_answer_is_thrown_away_and_asked_for_in_halves(tenant: Tenant) -> None:
    for number in range(40):
        tenant.call(f"c{number}", T + timedelta(minutes=number))
    tenant.logs.row_cap = 3
    result = tenant.collect()
    assert (result.read, result.stored, result.errors) == (40, 40, ())
    assert totals(tenant.engine) == (40, 4000)


def test_an_answer_as_long_as_was_allowed_may_be_a_part(tenant: Tenant) -> None:
    for number in range(40):
        tenant.call(f"c{number}", T + timedelta(minutes=number))
    result = tenant.collect(rows_at_once=3)
    assert (result.read, result.stored, result.errors) == (40, 40, ())


def test_a_query_that_takes_too_long_is_asked_in_halves(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.logs.answers += [timed_out(), timed_out()]
    assert tenant.collect().stored == 1
    assert tenant.clock.slept == 0


def test_a_service_that_takes_too_long_even_for_a_minute_is_said_to_be_slow(tenant: Tenant) -> None:
    tenant.logs.answers += [timed_out()] * 20
    (error,) = tenant.collect().errors
    assert "Log Analytics takes longer than 180 s from 2026-11-16T12:00:00.000Z to " in str(error)
    assert len(tenant.logs.answers) == 10


def test_a_second_with_more_rows_than_the_service_gives_is_named_and_nothing_is_taken_of_it(tenant: Tenant) -> None:
    tenant.call("before", T - timedelta(hours=1))
    for number in range(9):
        tenant.call(f"c{number}", llm_arrives=1)
    tenant.logs.row_cap = 8
    result = tenant.collect()
    (error,) = result.errors
    assert re.search(r"only part of the rows from 2026-11-23T07:0(0:59|1:00)\.\d{3}Z to ", str(error))
    assert result.stored == 1
    tenant.logs.row_cap = 500_000
    assert tenant.collect(after=1).stored == 9


def test_an_empty_answer_takes_nothing_back(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.collect()
    tenant.logs.workspaces[WORKSPACE].clear()
    for name in (LLM, GATEWAY):
        tenant.logs.table(WORKSPACE, name)
    assert tenant.collect(after=1).errors == ()
    assert totals(tenant.engine) == (1, 100)


# Trouble ------------------------------------------------------------------------------------------------------------


def test_a_throttled_query_waits_as_long_as_it_is_told_to(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.logs.answers += [throttled(40), throttled(50)]
    assert tenant.collect().stored == 1
    assert tenant.clock.slept == 90


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_in_the_middle_keeps_what_came_before_and_the_next_collection_completes_it(
    tenant: Tenant, status: int
) -> None:
    for number in range(12):
        tenant.call(f"c{number}", NOW - timedelta(hours=12 - number))
    asked = tenant.logs.answer

    def failing_later(call: Any) -> Answer:
        return asked(call) if len(tenant.logs.queries) < 27 else refusal(status, "ServerError", "no")

    tenant.server.routes.clear()
    tenant.server.route("POST", "/v1/workspaces/([^/]+)/query", failing_later)
    failed = tenant.collect()
    assert 0 < failed.stored < 12
    assert len(failed.errors) == 1
    tenant.server.routes.clear()
    tenant.logs.register(tenant.server)
    assert failed.stored + tenant.collect(after=30).stored == 12
    assert totals(tenant.engine) == (12, 1200)


def test_an_answer_that_is_cut_off_is_asked_for_again(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.logs.answers += [Answer(body={"tables": []}, cut=7), Answer(body=b"<html>")]
    assert tenant.collect().stored == 1


def test_a_service_that_stays_away_is_an_error_and_loses_nothing(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.logs.answers += [Answer(body={"tables": []}, cut=7)] * TRIES
    assert [str(error) for error in tenant.collect().errors] == [
        "gateway: the connection broke in the middle of an answer: try again"
    ]
    assert tenant.collect().stored == 1


def test_no_prompt_no_key_and_no_token_gets_into_the_store_or_an_error(
    tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tenant.call("c")
    tenant.call("odd", PromptTokens=PROMPT)
    tenant.logs.answers += [refusal(500, "Error", PROMPT)]
    said = [str(tenant.collect().errors)]
    tenant.logs.answers += [refusal(403, "InsufficientAccessError", PROMPT)]
    said += [str(tenant.collect(after=1).errors), caplog.text]
    for table in metadata.sorted_tables:
        said += [str(row) for row in tenant.rows(sa.select(table))]
    assert "canary" not in "\n".join(said)
    assert not any("Messages" in query for query in tenant.logs.queries)
