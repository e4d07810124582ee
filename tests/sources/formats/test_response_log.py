"""Our own response log: contract.md, section 3, line by line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import instant
from monitor.domain.records import Cause, Rejected, UsageEvent
from monitor.sources.formats.response_log import decode
from monitor.sources.reading import Reading

READ = Reading()
BODY = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "model": "mistral-large-2407",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Bonjour"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 812, "completion_tokens": 143, "total_tokens": 955},
}
REFUSAL = {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}}


def line(**changes: Any) -> bytes:
    record = {"time": "2026-11-22T14:57:57.909Z", "status": 200, "response": BODY} | changes
    return json.dumps({name: value for name, value in record.items() if value is not ...}).encode()


def event(record: bytes) -> UsageEvent:
    outcome = decode(record, READ)
    assert isinstance(outcome, UsageEvent), outcome
    return outcome


def refusal(record: bytes) -> str:
    outcome = decode(record, READ)
    assert isinstance(outcome, Rejected), outcome
    return outcome.reason


def test_every_field_of_the_contract_is_read() -> None:
    full = line(
        workspace="search-prod",
        deployment="mistral-large-prod",
        model="mistral-large",
        endpoint="https://mistral-large-prod.eastus2.models.ai.azure.com",
        request_id="req-1",
        duration_ms=812.5,
        headers={"content-type": "application/json"},
        request={"model": "mistral-large-prod", "max_tokens": 512, "stream": False},
    )
    assert event(full) == UsageEvent(
        minute=29922657,
        millisecond=57_909,
        identity="cmpl-1",
        workspace="search-prod",
        deployment="mistral-large-prod",
        model="mistral-large",
        requested_model="mistral-large-prod",
        endpoint="https://mistral-large-prod.eastus2.models.ai.azure.com",
        status=200,
        prompt_tokens=812,
        completion_tokens=143,
        max_tokens=512,
    )


def test_time_and_status_are_enough() -> None:
    least = event(line(response=...))
    assert (least.identity, least.status, least.prompt_tokens, least.completion_tokens) == (None, 200, None, None)


def test_a_request_is_known_by_its_completion_then_by_its_request_id_then_by_nothing() -> None:
    assert event(line(request_id="req-1")).identity == "cmpl-1"
    assert event(line(request_id="req-1", response=BODY | {"id": ""})).identity == "req-1"
    assert event(line(request_id="", response=REFUSAL)).identity is None


def test_pitfall_24_the_model_of_the_body_stands_in_for_one_the_record_does_not_name() -> None:
    assert event(line()).model == "mistral-large-2407"
    assert event(line(response=BODY | {"model": ""})).model is None


def test_an_empty_text_is_absent() -> None:
    empty = event(line(workspace="", deployment="", model="", endpoint="", request={"model": ""}))
    assert (empty.workspace, empty.deployment, empty.endpoint, empty.requested_model) == (None,) * 4


def test_nulls_are_absent() -> None:
    names = (
        "workspace",
        "deployment",
        "model",
        "endpoint",
        "request_id",
        "duration_ms",
        "headers",
        "request",
        "response",
    )
    nulls: dict[str, Any] = dict.fromkeys(names)
    assert event(line(**nulls)).identity is None
    assert event(line(response=BODY | {"usage": None})).prompt_tokens is None


def test_unknown_fields_are_ignored() -> None:
    assert event(line(color="blue", response=BODY | {"usage": BODY["usage"] | {"p": [1]}})).prompt_tokens == 812  # type: ignore[operator]


@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_pitfall_7_a_failed_request_counts_tokens_only_if_its_body_reports_them(status: int) -> None:
    assert event(line(status=status)).prompt_tokens == 812
    assert event(line(status=status, response={"error": {"message": "no"}})).prompt_tokens is None


def test_a_200_that_carries_an_error_is_a_request_without_usage() -> None:
    odd = event(line(response={"error": {"code": "content_filter", "message": "filtered"}}))
    assert (odd.status, odd.prompt_tokens, odd.completion_tokens) == (200, None, None)


@pytest.mark.parametrize(
    "text", ["", "<html>Bad gateway</html>", "[]", "null", '{"id": "x", "usage": {"prompt_to', "42"]
)
def test_a_body_that_is_no_completion_is_a_request_without_usage(text: str) -> None:
    unmeasured = event(line(response=text, request_id="req-1"))
    assert (unmeasured.identity, unmeasured.prompt_tokens, unmeasured.completion_tokens) == ("req-1", None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": ...}, "object missing required field time"),
        ({"status": ...}, "object missing required field status"),
        ({"time": "2026-11-22T14:57:57"}, "time: not an RFC 3339 time with a zone"),
        ({"time": "1970-01-01T00:00:00Z"}, "time: outside the years 2000 to 2100"),
        ({"time": 1795359477}, "time: expected str, got int"),
        ({"time": ""}, "time: not an RFC 3339 time with a zone"),
        ({"status": "200"}, "status: expected int, got str"),
        ({"status": 200.0}, "status: expected int, got float"),
        ({"status": True}, "status: expected int, got bool"),
        ({"status": 20}, "status: expected int >= 100"),
        ({"status": 1000}, "status: expected int <= 999"),
        ({"workspace": 7}, "workspace: expected str | null, got int"),
        ({"deployment": ["a"]}, "deployment: expected str | null, got array"),
        ({"model": "m" * 513}, "model: expected str of length <= 512"),
        ({"endpoint": {}}, "endpoint: expected str | null, got object"),
        ({"request_id": False}, "request_id: expected str | null, got bool"),
        ({"duration_ms": "12"}, "duration_ms: expected float | null, got str"),
        ({"headers": "retry-after: 1"}, "headers: expected object | null, got str"),
        ({"request": []}, "request: expected object | null, got array"),
        ({"request": {"max_tokens": "512"}}, "request.max_tokens: expected int | null, got str"),
        ({"request": {"max_tokens": -1}}, "request.max_tokens: expected int >= 0"),
        ({"request": {"stream": "yes"}}, "request.stream: expected bool | null, got str"),
        ({"response": 42}, "response: expected str | object | null, got int"),
        ({"response": BODY | {"id": 42}}, "response.id: expected str | null, got int"),
        ({"response": BODY | {"usage": []}}, "response.usage: expected object | null, got array"),
    ],
)
def test_a_wrong_type_is_quarantined_with_the_field_that_has_it(changes: dict[str, Any], reason: str) -> None:
    assert refusal(line(**changes)).lower() == reason.lower()


@pytest.mark.parametrize("count", [-1, True, 1.0, 1.5, "7", 2**53 + 1, 10**30, [], {}])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "total_tokens", "num_cached_tokens"])
@pytest.mark.parametrize("as_text", [False, True])
def test_an_impossible_count_is_quarantined(count: Any, field: str, as_text: bool) -> None:
    body = BODY | {"usage": {"prompt_tokens": 1, "completion_tokens": 1, field: count}}
    assert f"usage.{field}: expected" in refusal(line(response=json.dumps(body) if as_text else body))


def test_a_total_below_its_parts_is_quarantined_and_one_above_is_not() -> None:
    for total in (954, 0):
        short = BODY | {"usage": {"prompt_tokens": 812, "completion_tokens": 143, "total_tokens": total}}
        assert refusal(line(response=short)) == "usage: total is less than its parts"
    assert refusal(line(response=BODY | {"usage": {"prompt_tokens": 8, "total_tokens": 7}}))
    more = BODY | {"usage": {"prompt_tokens": 812, "completion_tokens": 143, "total_tokens": 9999}}
    assert event(line(response=more)).completion_tokens == 143


def test_a_total_never_replaces_a_part() -> None:
    partial = event(line(response=BODY | {"usage": {"prompt_tokens": 812, "total_tokens": 955}}))
    assert (partial.prompt_tokens, partial.completion_tokens) == (812, None)


def test_zeros_and_the_largest_count_stay_what_they_are() -> None:
    zero = event(line(response=BODY | {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}))
    assert (zero.prompt_tokens, zero.completion_tokens) == (0, 0)
    assert event(line(response=BODY | {"usage": {"prompt_tokens": 2**53}})).prompt_tokens == 2**53


def test_a_refused_request_says_why_and_for_how_long() -> None:
    headers = {"Retry-After": "20", "x-ratelimit-limit-tokens": "8000", "x-ratelimit-remaining-tokens": 0}
    refused = event(line(status=429, response=REFUSAL, headers=headers))
    assert (refused.cause, refused.retry_after_ms) == (Cause.TOKENS, 20_000)
    spoken = event(line(status=429, response=json.dumps(REFUSAL)))
    assert (spoken.cause, spoken.retry_after_ms) == (Cause.UNKNOWN, 2000)
    plain = event(line(status=429, response="Token limit is exceeded. Try again in 3 seconds."))
    assert (plain.cause, plain.retry_after_ms) == (Cause.TOKENS, 3000)
    silent = event(line(status=429, response=..., headers={"retry-after": ["5"]}))
    assert (silent.cause, silent.retry_after_ms) == (Cause.UNKNOWN, 5000)


def test_pitfall_21_a_date_to_retry_after_is_seen_from_the_record() -> None:
    headers = {"retry-after": "Sun, 22 Nov 2026 14:58:27 GMT"}
    assert event(line(status=429, response=REFUSAL, headers=headers)).retry_after_ms == 29_091


def test_headers_of_other_answers_are_not_read() -> None:
    assert event(line(headers={"retry-after": "20", "x": {"deep": []}})).retry_after_ms is None


ODD = ["1e400", "NaN", "-Infinity", '"\\ud800"', '"\\u0000"', "9" * 5000, "-" + "9" * 5000]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("status", [200, 429])
def test_an_odd_value_in_a_field_nobody_reads_loses_nothing(odd: str, status: int) -> None:
    text = json.dumps({"time": "2026-11-22T14:57:57Z", "status": status, "response": BODY})
    outside = text.replace('{"time"', f'{{"odd": {odd}, "time"').encode()
    inside = text.replace('"Bonjour"', odd).encode()
    in_text = json.dumps(json.loads(text) | {"response": json.dumps(BODY).replace('"Bonjour"', odd)}).encode()
    for record in (outside, inside, in_text):
        assert event(record).prompt_tokens == 812


def test_text_that_no_store_keeps_is_refused_where_it_is_a_name() -> None:
    assert refusal(line(workspace="\ud800")) == "a name that is not text"
    assert refusal(line(response=BODY | {"id": "\udfff"})) == "a name that is not text"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"null", "expected object, got null"),
        (b"[]", "expected object, got array"),
        (line() + b"{}", "not valid JSON"),
        (line().replace(b'"Bonjour"', b'"\xff"'), "not valid UTF-8"),
        (line().replace(b'"Bonjour"', b'"\xed\xa0\x80"'), "not valid UTF-8"),
        (line().replace(b'"Bonjour"', b'"a\x01"'), "not valid JSON"),
        (line().replace(b'"Bonjour"', b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
        (line().decode().encode("utf-16"), "not valid UTF-8"),
        (line().decode().encode("utf-16-le"), "not valid JSON"),
    ],
)
def test_what_is_no_json_object_in_utf_8_is_quarantined(record: bytes, reason: str) -> None:
    assert refusal(record).lower() == reason.lower()


def test_a_byte_order_mark_and_spaces_around_are_harmless() -> None:
    assert event(b"\xef\xbb\xbf" + line()).prompt_tokens == 812
    assert event(b"  " + line() + b"\r").prompt_tokens == 812


def test_a_field_written_twice_counts_as_its_last() -> None:
    twice = line().replace(b'"status": 200', b'"status": "x", "status": 500')
    assert "status" in refusal(line().replace(b'"status": 200', b'"status": 500, "status": "x"'))
    assert event(twice).status == 500


def test_no_reason_quotes_the_record() -> None:
    for changes in (
        {"time": "secret"},
        {"model": "secret" * 200},
        {"response": {"usage": {"prompt_tokens": "secret"}}},
    ):
        assert "secret" not in refusal(line(**changes))


def recorded(shared_data: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (shared_data / "responses/_index.jsonl").read_text("utf-8").splitlines()]


def expected(entry: dict[str, Any]) -> tuple[Any, ...]:
    usage = entry["expect"]["usage"] or {}
    details = usage.get("prompt_tokens_details") or {}
    return (
        entry["expect"]["id"],
        entry["expect"]["model"],
        usage.get("prompt_tokens", usage.get("inputTokens")),
        usage.get("completion_tokens", usage.get("outputTokens")),
        details.get("cached_tokens", usage.get("num_cached_tokens")),
    )


def said(outcome: UsageEvent) -> tuple[Any, ...]:
    return (outcome.identity, outcome.model, outcome.prompt_tokens, outcome.completion_tokens, outcome.cached_tokens)


def test_every_recorded_body_gives_its_usage_as_object_and_as_text(shared_data: Path) -> None:
    entries = recorded(shared_data)
    for entry in entries:
        raw = (shared_data / "responses" / entry["file"]).read_bytes().decode("utf-8")
        bodies = [raw, raw.replace("\n", "\r\n")]
        if not entry["expect"]["sse"]:
            bodies.append(json.loads(raw))
        for body in bodies:
            outcome = event(line(status=entry["status"], response=body))
            assert (outcome.status, *said(outcome)) == (entry["status"], *expected(entry)), entry["file"]
    assert len(entries) == 128


VALID = line(headers={"retry-after": "1"}, request={"max_tokens": 5}, workspace="w")


@given(
    st.integers(0, len(VALID) - 1), st.binary(min_size=0, max_size=4), st.integers(0, 6), st.sampled_from([200, 429])
)
def test_no_mutation_of_a_valid_record_raises(at: int, inserted: bytes, removed: int, status: int) -> None:
    record = VALID.replace(b"200", str(status).encode())
    mutated = record[:at] + inserted + record[at + removed :]
    outcome = decode(mutated, READ)
    if isinstance(outcome, UsageEvent):
        assert instant.FIRST_MINUTE <= outcome.minute < instant.END_MINUTE
        mutated.decode("utf-8")
