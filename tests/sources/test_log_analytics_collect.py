"""From Log Analytics into both stores: every request once, with its tokens, at the deployment that it reached."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.store.tables import deployment, quarantine, usage_event, workspace
from tests.azure.log_analytics import LLM, PROMPT
from tests.azure.sessions import NOW, TOKEN
from tests.samples import settings, totals
from tests.sources.log_samples import WORKSPACE, T, Tenant, gateway


@pytest.fixture
def tenant(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    with gateway(engine) as made:
        yield made


# Once ---------------------------------------------------------------------------------------------------------------


def test_calls_are_stored_with_their_tokens_at_the_deployment_they_reached(tenant: Tenant) -> None:
    for number in range(5):
        tenant.call(f"c{number}", T + timedelta(seconds=number))
    result = tenant.collect()
    assert (result.read, result.stored, result.errors) == (5, 5, ())
    assert totals(tenant.engine) == (5, 500)
    named = sa.select(deployment.c.name, deployment.c.region, deployment.c.model)
    assert tenant.rows(named) == [("mistral-large-prod", "eastus2", "mistral-large-2407")]


def test_reading_again_yields_nothing_new(tenant: Tenant) -> None:
    tenant.call("answered")
    tenant.call("refused", ResponseCode=429, BackendResponseCode=None, BackendUrl="")
    tenant.call("odd", PromptTokens=-1)
    first, again = tenant.collect(), tenant.collect(after=1)
    assert (first.stored, first.ignored, first.quarantined) == (1, 1, 1)
    assert (again.stored, again.ignored, again.quarantined) == (0, 0, 0)
    assert totals(tenant.engine) == (1, 100)


def test_an_overlap_of_days_still_counts_every_request_once(tenant: Tenant) -> None:
    for number in range(20):
        tenant.call(f"c{number}", T + timedelta(minutes=number))
    assert tenant.collect().stored == 20
    again = tenant.collect(after=1, overlap_minutes=2 * 24 * 60)
    assert (again.read, again.duplicates, again.stored) == (20, 20, 0)
    assert totals(tenant.engine) == (20, 2000)


def test_pitfall_5_the_pieces_of_messages_of_a_call_are_never_added(tenant: Tenant) -> None:
    tenant.call("long")
    for number in range(3, 60):
        tenant.logs.table(WORKSPACE, LLM).add(
            TimeGenerated=T, CorrelationId="long", SequenceNumber=number, PromptTokens=100, ResponseMessages=PROMPT
        )
    assert tenant.collect().read == 1
    assert totals(tenant.engine) == (1, 100)


def test_rows_that_were_delivered_twice_count_once(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.call("c")
    result = tenant.collect()
    assert (result.stored, result.duplicates) == (1, 3)


# Throttles ----------------------------------------------------------------------------------------------------------


def test_a_refusal_of_azure_is_a_throttle_of_the_deployment(tenant: Tenant) -> None:
    headers = {"Retry-After": "17"}
    tenant.call("c", ResponseCode=429, BackendResponseCode=429, BackendResponseHeaders=headers)
    assert tenant.collect().stored == 1
    assert (tenant.sum("throttled_requests"), tenant.sum("unmeasured_requests")) == (1, 0)
    assert tenant.rows(sa.select(usage_event.c.retry_after_ms)) == [(17_000,)]


def test_a_refusal_that_the_gateway_rewrites_is_still_one_of_azure(tenant: Tenant) -> None:
    tenant.call("c", ResponseCode=503, BackendResponseCode=429)
    tenant.collect()
    assert tenant.sum("throttled_requests") == 1


@pytest.mark.parametrize("backend", [None, 0])
@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refusal_of_the_gateway_itself_never_reached_azure(tenant: Tenant, status: int, backend: int | None) -> None:
    tenant.call("c", ResponseCode=status, BackendResponseCode=backend, BackendUrl="")
    result = tenant.collect()
    assert result.ignored_reasons == {"refused by the gateway itself": 1}
    assert totals(tenant.engine) == (0, 0)


def test_a_backend_that_did_not_answer_is_a_failed_request(tenant: Tenant) -> None:
    tenant.call("c", ResponseCode=504, BackendResponseCode=0)
    tenant.collect()
    assert (tenant.sum("failed_requests"), tenant.sum("throttled_requests")) == (1, 0)


def test_an_answer_from_the_gateways_cache_was_not_billed(tenant: Tenant) -> None:
    tenant.call("c", BackendResponseCode=None, BackendUrl="", Cache="hit")
    assert tenant.collect().ignored_reasons == {"answered from the gateway's cache": 1}


def test_calls_of_other_apis_are_no_requests_to_a_model(tenant: Tenant) -> None:
    tenant.call("c", llm_arrives=None, Url="https://gateway.example/orders/17?x=/chat/completions")
    tenant.call("d", llm_arrives=None, Method="GET")
    assert tenant.collect(after=60).read == 0


def test_no_usage_is_unmeasured_and_not_zero(tenant: Tenant) -> None:
    tenant.call("zero", PromptTokens=0, CompletionTokens=0, TotalTokens=0)
    tenant.call("none", PromptTokens=None, CompletionTokens=None, TotalTokens=None)
    tenant.collect()
    assert tenant.sum("unmeasured_requests") == 2


# Odd rows -----------------------------------------------------------------------------------------------------------


def test_numbers_may_be_text(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.call("d", ResponseCode=429, BackendResponseCode=429)
    tenant.call("e", ResponseCode=429, BackendResponseCode=0, BackendUrl="")
    tenant.logs.as_text = True
    result = tenant.collect()
    assert (result.stored, result.ignored) == (2, 1)
    assert totals(tenant.engine) == (2, 100)


def test_a_row_that_cannot_be_read_is_set_aside_with_its_reason_and_place(tenant: Tenant) -> None:
    tenant.call("c", PromptTokens=-5)
    tenant.call("d", ResponseCode=7, BackendResponseCode=7)
    tenant.call("e", TotalTokens=3)
    assert tenant.collect().quarantined == 3
    found = tenant.rows(sa.select(quarantine.c.reason, quarantine.c.position).order_by(quarantine.c.reason))
    assert [reason for reason, _ in found] == [
        "backendresponsecode: not a status",
        "prompttokens: not a count",
        "usage: total is less than its parts",
    ]
    assert {position >> 20 for _, position in found} == {int(T.timestamp() * 1000)}
    assert tenant.collect(after=1, overlap_minutes=600).quarantined == 0


# Settings -----------------------------------------------------------------------------------------------------------


def test_a_workspace_said_in_the_settings_is_that_of_every_row(tenant: Tenant) -> None:
    tenant.call("c")
    tenant.collect(workspace="search-prod")
    assert tenant.rows(sa.select(workspace.c.name)) == [("search-prod",)]


def test_a_past_range_is_read_by_the_time_of_the_calls(tenant: Tenant) -> None:
    for day in range(1, 6):
        tenant.call(f"c{day}", datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC), llm_arrives=90, gateway_arrives=95)
    tenant.call("now")
    assert tenant.collect(first_days=1).stored == 1
    result = tenant.backfill(date(2026, 11, 2), date(2026, 11, 4))
    assert (result.read, result.stored) == (3, 3)
    assert tenant.backfill(date(2026, 11, 1), date(2026, 11, 4)).stored == 1
    assert tenant.collect(after=1).stored == 0
    assert totals(tenant.engine) == (5, 500)


def test_a_table_of_ones_own_is_read_by_a_query(tenant: Tenant) -> None:
    table = tenant.logs.table(WORKSPACE, "Calls_CL")
    for number in range(3):
        table.add(TimeGenerated=T, Id=f"c{number}", Code=200, In=7, Out=2.0, Where="x.eastus2.models.ai.azure.com?k=1")
    query = "Calls_CL | where TimeGenerated >= {from} and TimeGenerated < {to} // ours"
    columns = {"time": "TimeGenerated", "id": "Id", "status": "Code", "prompt_tokens": "In", "endpoint": "Where"}
    fields: dict[str, Any] = {"query": query, "columns": columns | {"completion_tokens": "Out"}}
    assert tenant.collect(**fields).stored == 3
    assert tenant.collect(after=1, **fields).stored == 0
    assert totals(tenant.engine) == (3, 21)
    assert tenant.rows(sa.select(deployment.c.name)) == [("x",)]


def test_rows_without_an_id_are_told_apart_by_what_they_say_and_how_often(tenant: Tenant) -> None:
    table = tenant.logs.table(WORKSPACE, "Calls_CL")
    for tokens in (7, 7, 8):
        table.add(TimeGenerated=T, In=tokens, Other="x")
    fields: dict[str, Any] = {"query": "Calls_CL;", "columns": {"time": "TimeGenerated", "prompt_tokens": "In"}}
    assert tenant.collect(**fields).stored == 3
    assert tenant.collect(after=1, overlap_minutes=600, **fields).duplicates == 3
    table.add(TimeGenerated=T, In=7, Other="y")
    assert tenant.collect(after=1, overlap_minutes=600, **fields).stored == 1


def test_a_custom_query_is_bound_in_time_where_it_does_not_say_so(tenant: Tenant) -> None:
    table = tenant.logs.table(WORKSPACE, "Calls_CL")
    for hour in range(0, 48, 6):
        table.add(TimeGenerated=NOW - timedelta(hours=hour, minutes=5), In=1)
    fields: dict[str, Any] = {"query": "Calls_CL", "columns": {"time": "TimeGenerated", "prompt_tokens": "In"}}
    assert tenant.collect(first_days=1, **fields).stored == 4


def test_the_same_logs_are_read_from_the_files_that_a_diagnostic_setting_writes(
    engine: sa.Engine, tmp_path: Path
) -> None:
    record: dict[str, Any] = {"time": "2026-11-22T23:59:59.9999999Z", "category": "GatewayLlmLogs", "resourceId": "/A"}
    lines = []
    for number in range(6):
        used = {"sequenceNumber": number % 3, "promptTokens": 100, "completionTokens": 10, "requestMessages": PROMPT}
        lines.append(json.dumps(record | {"correlationId": f"c{number // 3}", "properties": used}))
    (tmp_path / "PT1H.json").write_text("\n".join(lines) + "\n")
    (result,) = collect(engine, settings(tmp_path / "*.json"), now=NOW)
    assert (result.stored, result.ignored_reasons, result.formats) == (2, {"a piece of a message": 4}, {"apim-llm": 1})
    assert totals(engine) == (2, 200)
