"""API Management's gateway logs: joined rows, and the records that its diagnostic setting writes to storage."""

import json
from typing import Any

import pytest

from monitor.domain.records import Cause, Ignored, Rejected, UsageEvent
from monitor.sources.formats import apim_llm
from monitor.sources.reading import Reading

ROW: dict[str, Any] = {
    "TimeGenerated": "2026-11-22T14:57:57.9999999Z",
    "CorrelationId": "7b1e",
    "DeploymentName": "mistral-large",
    "ModelName": "mistral-large-2407",
    "PromptTokens": 812,
    "CompletionTokens": 143,
    "TotalTokens": 955,
    "ResponseCode": 200,
    "BackendResponseCode": 200,
    "BackendUrl": "https://account.services.ai.azure.com/models/chat/completions?key=secret",
}
LLM: dict[str, Any] = {
    "time": "2026-11-22T14:57:57.9999999Z",
    "category": "GatewayLlmLogs",
    "operationName": "Microsoft.ApiManagement/GatewayLlmLogs",
    "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.APIMANAGEMENT/SERVICE/GW",
    "correlationId": "7b1e",
    "properties": {
        "sequenceNumber": 0,
        "deploymentName": "mistral-large",
        "modelName": "mistral-large-2407",
        "promptTokens": 812,
        "completionTokens": 143,
        "totalTokens": 955,
    },
}
GATEWAY: dict[str, Any] = {
    **LLM,
    "category": "GatewayLogs",
    "properties": {
        "method": "POST",
        "url": "https://gw.example/v1/chat/completions?subscription-key=secret",
        "responseCode": 429,
        "backendResponseCode": 429,
        "backendUrl": "https://large.eastus2.models.ai.azure.com/v1/chat/completions",
    },
}


def decoded(record: dict[str, Any], **changes: Any) -> Any:
    return apim_llm.decode(json.dumps(record | changes).encode(), Reading())


def raw(record: dict[str, Any], **changes: Any) -> Any:
    return decoded(record, properties=record["properties"] | changes)


def test_a_joined_row_is_a_request_with_its_tokens_and_its_backend_without_the_query() -> None:
    assert decoded(ROW) == UsageEvent(
        minute=29922657,
        millisecond=57_999,
        identity="7b1e",
        deployment="mistral-large",
        model="mistral-large-2407",
        requested_model="mistral-large",
        endpoint="https://account.services.ai.azure.com/models/chat/completions",
        status=200,
        prompt_tokens=812,
        completion_tokens=143,
    )


def test_the_host_of_a_serverless_endpoint_is_the_deployment() -> None:
    event = decoded(ROW, BackendUrl="https://large.eastus2.models.ai.azure.com/v1/chat/completions")
    assert (event.deployment, event.requested_model) == (None, "mistral-large")


@pytest.mark.parametrize(
    ("answered", "backend", "status"),
    [(200, 200, 200), (429, 429, 429), (503, 429, 429), (200, None, 200), (500, 0, 500)],
)
def test_what_azure_answered_beats_what_the_gateway_made_of_it(answered: int, backend: Any, status: int) -> None:
    assert decoded(ROW, ResponseCode=answered, BackendResponseCode=backend).status == status


@pytest.mark.parametrize("status", [401, 403, 404, 429, 498])
@pytest.mark.parametrize("backend", [None, 0, "", "0"])
def test_a_refusal_without_a_backends_answer_is_the_gateways_own(status: int, backend: Any) -> None:
    outcome = decoded(
        ROW, ResponseCode=status, BackendResponseCode=backend, PromptTokens=None, CompletionTokens=0, TotalTokens=0
    )
    assert outcome == Ignored("refused by the gateway itself")


def test_a_caller_who_left_is_no_refusal() -> None:
    event = decoded(ROW, ResponseCode=499, BackendResponseCode=0, PromptTokens=None, CompletionTokens=None)
    assert event.status == 499


def test_a_refusal_that_reports_tokens_is_counted() -> None:
    assert decoded(ROW, ResponseCode=429, BackendResponseCode=None).prompt_tokens == 812


def test_a_throttle_says_how_long_to_wait_and_no_cause() -> None:
    event = decoded(ROW, ResponseCode=429, BackendResponseCode=429, RetryAfter="17")
    assert (event.retry_after_ms, event.cause) == (17_000, Cause.UNKNOWN)
    event = decoded(ROW, ResponseCode=429, BackendResponseCode=429, RetryAfter="Sun, 22 Nov 2026 14:58:30 GMT")
    assert event.retry_after_ms == 90_000


@pytest.mark.parametrize("none", [0, "0", None, ""])
def test_no_usage_is_not_zero(none: Any) -> None:
    event = decoded(ROW, PromptTokens=none, CompletionTokens=none, TotalTokens=none)
    assert (event.prompt_tokens, event.completion_tokens) == (None, None)


def test_one_kind_of_tokens_alone_is_kept_as_it_is() -> None:
    event = decoded(ROW, CompletionTokens=0, TotalTokens=812)
    assert (event.prompt_tokens, event.completion_tokens) == (812, 0)


@pytest.mark.parametrize("written", ["812", "812.0", 812.0, "812.", " 812 "])
def test_a_count_may_be_text_or_real(written: Any) -> None:
    assert decoded(ROW, PromptTokens=written).prompt_tokens == 812


@pytest.mark.parametrize("written", [-1, "-1", 1.5, "1.5", "x", True, [], {}, 2**53 + 1, "9" * 5000, "nan", "1e3"])
def test_an_impossible_count_is_refused(written: Any) -> None:
    assert decoded(ROW, PromptTokens=written) == Rejected("prompttokens: not a count")


@pytest.mark.parametrize("written", ["2026-11-22T14:57:57.9999999", "2026-11-22T15:57:57.9999999+01:00"])
def test_a_time_without_a_zone_is_utc(written: str) -> None:
    assert decoded(ROW, TimeGenerated=written) == decoded(ROW)


@pytest.mark.parametrize("written", [None, "", "yesterday", 5, "1999-01-01T00:00:00Z"])
def test_a_row_without_a_time_is_refused(written: Any) -> None:
    assert isinstance(decoded(ROW, TimeGenerated=written), Rejected)


def test_a_row_without_a_model_is_kept() -> None:
    assert decoded(ROW, ModelName="", DeploymentName=None).model is None


def test_the_tokens_of_a_record_in_storage_are_those_of_a_joined_row() -> None:
    event = decoded(LLM)
    assert (event.minute, event.identity, event.prompt_tokens, event.status) == (29922657, "7b1e", 812, None)
    assert decoded(LLM, properties=json.dumps(LLM["properties"])) == event
    assert decoded(LLM, correlationId=None, properties=LLM["properties"] | {"CorrelationId": "7b1e"}) == event


def test_pitfall_5_pieces_of_messages_are_ignored() -> None:
    assert raw(LLM, sequenceNumber=3, requestMessages="what is our secret?") == Ignored("a piece of a message")


def test_a_record_of_the_gateway_counts_only_where_it_refused() -> None:
    assert decoded(GATEWAY).status == 429
    answered = {"responseCode": 200, "backendResponseCode": 200}
    assert raw(GATEWAY, **answered) == Ignored("answered: its tokens stand in GatewayLlmLogs")
    assert raw(GATEWAY, backendResponseCode=0) == Ignored("refused by the gateway itself")
    assert isinstance(raw(GATEWAY, url="https://gw.example/orders?x=/chat/completions"), Ignored)


@pytest.mark.parametrize("properties", [None, 5, "", "{", "[]"])
def test_a_record_without_properties_is_refused(properties: Any) -> None:
    assert isinstance(decoded(LLM, properties=properties), Rejected)


def test_records_of_other_categories_are_ignored() -> None:
    assert isinstance(decoded(LLM, category="DeveloperPortalAuditLogs"), Ignored)
    assert not apim_llm.recognises(LLM | {"category": "RequestResponse"})
    assert apim_llm.recognises(LLM)
