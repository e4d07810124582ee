"""OTLP/JSON traces: a call counts once, whoever reports it."""

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.records import Ignored, Rejected, UsageEvent
from monitor.sources.formats.otlp import NO_SPANS, NOT_GEN_AI, REPEATS, WITHOUT_ID, decode
from monitor.sources.reading import Reading

READ = Reading()
LENIENT = Reading(count_without_response_id=True)


def span(*, drop: tuple[str, ...] = (), status: Any = None, **attributes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.request.model": {"stringValue": "mistral-large"},
        "gen_ai.response.model": {"stringValue": "mistral-large-2407"},
        "gen_ai.response.id": {"stringValue": "cmpl-1"},
        "gen_ai.response.finish_reasons": {"arrayValue": {"values": [{"stringValue": "stop"}]}},
        "gen_ai.request.max_tokens": {"intValue": "512"},
        "gen_ai.usage.input_tokens": {"intValue": "812"},
        "gen_ai.usage.output_tokens": {"intValue": 143},
        "gen_ai.usage.cache_read.input_tokens": {"intValue": "7"},
        "server.address": {"stringValue": "mistral-large-prod.eastus2.models.ai.azure.com:443"},
    } | {name.replace("__", "."): value for name, value in attributes.items()}
    listed = [{"key": name, "value": value} for name, value in values.items() if name not in drop]
    times = {"startTimeUnixNano": "1795359476000000000", "endTimeUnixNano": "1795359477909999999"}
    return {"traceId": "5B8E", "spanId": "EEE1", "name": "chat", **times, "status": status or {}, "attributes": listed}


def line(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]}).encode()


def one(*spans: dict[str, Any], read: Reading = READ) -> Any:
    return decode(line(*spans), read)


def test_a_span_is_read_whole() -> None:
    assert one(span()) == UsageEvent(
        minute=29922657,
        millisecond=57_909,
        identity="cmpl-1",
        model="mistral-large-2407",
        requested_model="mistral-large",
        endpoint="mistral-large-prod.eastus2.models.ai.azure.com:443",
        status=200,
        prompt_tokens=812,
        completion_tokens=143,
        cached_tokens=7,
        max_tokens=512,
    )


def test_the_older_names_of_the_counts_are_read() -> None:
    drop = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    old = {"gen_ai__usage__prompt_tokens": {"intValue": "5"}, "gen_ai__usage__completion_tokens": {"intValue": "0"}}
    read = one(span(drop=drop, **old))
    assert (read.prompt_tokens, read.completion_tokens) == (5, 0)
    absent = one(span(drop=drop))
    assert (absent.prompt_tokens, absent.completion_tokens) == (None, None)


def test_every_span_of_a_line_has_its_outcome() -> None:
    outcomes = one(span(), span(drop=("gen_ai.response.id",)), span(gen_ai__usage__input_tokens={"intValue": "-1"}))
    assert [type(outcome) for outcome in outcomes] == [UsageEvent, Ignored, Rejected]


def test_what_is_not_a_call_is_ignored_by_name() -> None:
    http = span()
    http["attributes"] = [{"key": "http.request.method", "value": {"stringValue": "POST"}}]
    assert one(http) == NOT_GEN_AI
    assert one(span(gen_ai__operation__name={"stringValue": "invoke_agent"})) == REPEATS
    assert one(span(gen_ai__operation__name={"stringValue": "embeddings"})).identity == "cmpl-1"
    assert isinstance(one(span(drop=("gen_ai.operation.name",))), UsageEvent)
    assert decode(b'{"resourceSpans": []}', READ) == decode(b'{"resourceMetrics": []}', READ) == NO_SPANS


def test_a_span_without_a_response_id_counts_only_where_the_source_says_so() -> None:
    bare = span(drop=("gen_ai.response.id",))
    assert one(bare) == WITHOUT_ID
    assert one(bare, read=LENIENT).identity == "5B8E/EEE1"
    bare.pop("spanId")
    assert isinstance(one(bare, read=LENIENT), Rejected)


@pytest.mark.parametrize(
    ("attributes", "status", "expected"),
    [
        ({"http__response__status_code": {"intValue": "429"}}, {"code": 2}, 429),
        ({"error__type": {"stringValue": "429"}}, {"code": 2}, 429),
        ({"error__type": {"stringValue": "RateLimitError"}}, {}, None),
        ({}, {"code": 2, "message": "boom"}, None),
        ({}, {"code": "STATUS_CODE_ERROR"}, None),
        ({}, {"code": 1}, 200),
        ({}, {}, 200),
    ],
)
def test_the_status_is_that_of_the_response_else_that_of_the_span(
    attributes: Any, status: Any, expected: int | None
) -> None:
    assert one(span(status=status, **attributes)).status == expected


@pytest.mark.parametrize(
    "value", [{"intValue": "x"}, {"intValue": "-1"}, {"doubleValue": 1.5}, {"stringValue": "5"}, {"boolValue": True}]
)
def test_an_impossible_count_is_quarantined(value: Any) -> None:
    assert one(span(gen_ai__usage__input_tokens=value)) == Rejected("gen_ai.usage.input_tokens: not a possible count")


@pytest.mark.parametrize("end", [None, "soon", 1.5, "1", [], True])
def test_an_impossible_time_is_quarantined(end: Any) -> None:
    outcome = one(span() | {"endTimeUnixNano": end})
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("endTimeUnixNano")


@pytest.mark.parametrize(
    "record", [{"resourceSpans": 5}, {"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}, {"resourceSpans": [[]]}]
)
def test_a_line_of_another_shape_is_quarantined(record: Any) -> None:
    assert isinstance(decode(json.dumps(record).encode(), READ), Rejected)


@pytest.mark.parametrize(
    ("name", "calls", "completion_tokens"),
    [
        ("otlp-mistralai.jsonl", 48, 3587),
        ("otlp-openai-v2.jsonl", 33, 556),
        ("otlp-azure-ai-inference.jsonl", 70, 4305),
    ],
)
def test_calls_seen_by_two_instrumentations_count_once(
    shared_data: Path, name: str, calls: int, completion_tokens: int
) -> None:
    events: dict[str | None, UsageEvent] = {}
    for text in (shared_data / "gateway" / name).read_bytes().splitlines():
        outcome = decode(text, READ)
        for each in outcome if isinstance(outcome, list) else [outcome]:
            assert not isinstance(each, Rejected)
            if isinstance(each, UsageEvent):
                events.setdefault(each.identity, each)
    assert (len(events), sum(event.completion_tokens or 0 for event in events.values())) == (calls, completion_tokens)
