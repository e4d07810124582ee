"""LiteLLM's two logs: what was billed counts, what LiteLLM answered or refused itself does not."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.records import Cause, Ignored, Rejected, UsageEvent
from monitor.sources.formats import litellm, litellm_spend
from monitor.sources.litellm import FROM_CACHE, NEVER_SENT
from monitor.sources.reading import Reading

READ = Reading()
PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-7c0",
    "litellm_call_id": "0b1e",
    "call_type": "acompletion",
    "status": "success",
    "stream": True,
    "custom_llm_provider": "azure_ai",
    "model": "azure_ai/mistral-large-2407",
    "model_group": "mistral-large",
    "api_base": "https://mistral-large-prod.eastus2.models.ai.azure.com",
    "prompt_tokens": 812,
    "completion_tokens": 143,
    "total_tokens": 955,
    "startTime": 1795359476.1,
    "endTime": 1795359477.909,
    "cache_hit": False,
    "error_information": None,
    "hidden_params": {"additional_headers": {"x_ratelimit_remaining_tokens": 199045}},
}
FAILED = {"status": "failure", "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
ROW: dict[str, Any] = {
    "request_id": "chatcmpl-7c0",
    "call_type": "acompletion",
    "status": "success",
    "model": "mistral-large-2407",
    "model_group": "",
    "api_base": "",
    "spend": 0.1,
    "prompt_tokens": 812,
    "completion_tokens": 143,
    "total_tokens": 955,
    "startTime": "2026-11-22 14:57:56+00:00",
    "endTime": "2026-11-22 14:57:57.909919+00:00",
    "cache_hit": "False",
    "metadata": json.dumps({"usage_object": {"prompt_tokens": 812, "completion_tokens": 143, "num_cached_tokens": 7}}),
}


def payload(**changes: Any) -> Any:
    return litellm.decode(json.dumps(PAYLOAD | changes).encode(), READ)


def row(**changes: Any) -> Any:
    return litellm_spend.decode(json.dumps(ROW | changes).encode(), READ)


def error(code: str = "429", **changes: Any) -> dict[str, Any]:
    return FAILED | {"error_information": {"error_code": code, "error_message": "Rate limit exceeded"} | changes}


def test_a_payload_is_read_whole() -> None:
    assert payload() == UsageEvent(
        minute=29922657,
        millisecond=57_909,
        identity="chatcmpl-7c0",
        model="mistral-large-2407",
        requested_model="mistral-large",
        endpoint="https://mistral-large-prod.eastus2.models.ai.azure.com",
        status=200,
        prompt_tokens=812,
        completion_tokens=143,
    )


def test_a_spend_row_is_read_whole() -> None:
    assert row() == UsageEvent(
        minute=29922657,
        millisecond=57_909,
        identity="chatcmpl-7c0",
        model="mistral-large-2407",
        requested_model="mistral-large-2407",
        status=200,
        prompt_tokens=812,
        completion_tokens=143,
        cached_tokens=7,
    )


def test_pitfall_7_a_cache_hit_was_not_billed() -> None:
    assert payload(cache_hit=True) == payload(cache_hit="True") == row(cache_hit="True") == FROM_CACHE
    for no_hit in (False, None, "False", "None", ""):
        assert isinstance(payload(cache_hit=no_hit), UsageEvent)


def test_what_the_gateway_refused_was_never_sent() -> None:
    assert payload(**error(error_rate_limit_category="litellm_rate_limit")) == NEVER_SENT
    assert payload(**error(error_class="BudgetExceededError")) == NEVER_SENT
    assert isinstance(payload(**error(error_rate_limit_category="vendor_rate_limit")), UsageEvent)


def test_the_tokens_of_a_failure_are_not_reported() -> None:
    refused = payload(**error())
    assert (refused.status, refused.prompt_tokens, refused.completion_tokens) == (429, None, None)
    assert payload(**error("")).status is None
    assert payload(**error("APIError")).status is None


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("tokens", Cause.TOKENS), ("requests", Cause.REQUESTS), ("budget", Cause.UNKNOWN), (None, Cause.UNKNOWN)],
)
def test_a_refusal_says_which_limit_it_was(kind: str | None, cause: Cause) -> None:
    refused = payload(
        **error(error_rate_limit_type=kind),
        hidden_params={"additional_headers": {"llm_provider-retry-after": "7"}},
    )
    assert (refused.cause, refused.retry_after_ms) == (cause, 7000)


def test_explicit_zeros_stay_and_zeros_of_nobody_do_not() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert payload(**zeros, metadata={"usage_object": zeros}).prompt_tokens == 0
    assert payload(**zeros, metadata={"usage_object": None}).prompt_tokens is None


def test_an_identity_is_the_completion_then_the_call() -> None:
    assert payload(id="").identity == "0b1e"
    assert row(request_id="", litellm_call_id="0b1e").identity == "0b1e"
    assert row(request_id="").identity is None


@pytest.mark.parametrize(
    "end",
    [
        "2026-11-22 14:57:57.909919",
        "2026-11-22T14:57:57.909",
        "2026-11-22T14:57:57.909Z",
        "2026-11-22T15:57:57.909+01:00",
    ],
)
def test_a_spend_rows_time_without_a_zone_is_utc(end: str) -> None:
    assert (row(endTime=end).minute, row(endTime=end).millisecond) == (29922657, 57_909)


def test_the_metadata_of_a_spend_row_may_be_an_object_or_no_json_at_all() -> None:
    failed = {"status": None, "metadata": {"error_information": {"error_code": "429"}, "status": "failure"}}
    assert row(**failed).status == 429
    assert row(metadata="{").prompt_tokens == 812


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"endTime": None}, "endTime: expected"),
        ({"endTime": 5.0}, "endTime: outside the years"),
        ({"endTime": "yesterday"}, "endTime: not an RFC 3339"),
        ({"prompt_tokens": -1}, "prompt_tokens: expected"),
        ({"total_tokens": 3}, "usage: total is less than its parts"),
        ({"model": 5}, "model: expected"),
        ({"error_information": []}, "error_information: expected"),
    ],
)
def test_impossible_payloads_are_quarantined(changes: dict[str, Any], reason: str) -> None:
    outcome = payload(**changes)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(reason)


def replayed(name: str, shared_data: Path, decode: Any) -> list[tuple[dict[str, Any], UsageEvent | Ignored]]:
    index = [json.loads(text) for text in (shared_data / "responses/_index.jsonl").read_text("utf-8").splitlines()]
    by_file = {entry["file"]: entry for entry in index}
    pairs = []
    for line in (shared_data / "gateway" / name).read_bytes().splitlines():
        file = json.loads(line)["api_base"].split("/shared/")[1].split("/")[0]
        pairs.append((by_file[file], decode(line, READ)))
    return pairs


@pytest.mark.parametrize("name", ["litellm-standard-logging-payload.jsonl", "litellm-spendlogs.jsonl"])
def test_recorded_calls_agree_with_what_was_answered(shared_data: Path, name: str) -> None:
    decode = litellm_spend.decode if "spend" in name else litellm.decode
    statuses: Counter[int | None] = Counter()
    for entry, outcome in replayed(name, shared_data, decode):
        assert isinstance(outcome, UsageEvent)
        statuses[outcome.status] += 1
        usage = entry["expect"]["usage"]
        if outcome.status == 200 and usage:
            assert (outcome.prompt_tokens, outcome.completion_tokens) == (
                usage["prompt_tokens"],
                usage["completion_tokens"],
            )
            assert outcome.identity == entry["expect"]["id"]
        if outcome.status != 200:
            assert (outcome.prompt_tokens, outcome.completion_tokens) == (None, None)
    failures = {500: 3, 404: 2, 400: 5, 401: 1, 429: 1} if "standard" in name else {}
    assert statuses == {200: 105} | failures
