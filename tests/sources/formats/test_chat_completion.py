"""Bare bodies: one a line, or a whole file."""

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import instant
from monitor.domain.records import Cause, Rejected, UsageEvent
from monitor.sources.formats.chat_completion import decode
from monitor.sources.reading import Reading

AT_MS = 1_795_359_477_909
READ = Reading(modified_ms=AT_MS)


def event(record: bytes, read: Reading = READ) -> UsageEvent:
    outcome = decode(record, read)
    assert isinstance(outcome, UsageEvent), outcome
    return outcome


def test_every_recorded_body_gives_its_usage(shared_data: Path) -> None:
    for text in (shared_data / "responses/_index.jsonl").read_text("utf-8").splitlines():
        entry: dict[str, Any] = json.loads(text)
        outcome = event((shared_data / "responses" / entry["file"]).read_bytes())
        usage = entry["expect"]["usage"] or {}
        counts = (
            usage.get("prompt_tokens", usage.get("inputTokens")),
            usage.get("completion_tokens", usage.get("outputTokens")),
        )
        assert (outcome.prompt_tokens, outcome.completion_tokens) == counts, entry["file"]
        assert (outcome.identity, outcome.model) == (entry["expect"]["id"], entry["expect"]["model"]), entry["file"]
        if entry["status"] in {200, 429}:
            assert outcome.status == entry["status"], entry["file"]


@pytest.mark.parametrize(
    ("name", "status", "cause", "wait"),
    [
        ("azure-400-prompt-content_filter.json", 400, Cause.UNKNOWN, None),
        ("azure-429-token-rate.json", 429, Cause.TOKENS, 86_400_000),
        ("mistral-429-rate_limited-1300.json", 429, Cause.UNKNOWN, None),
        ("mistral-429-service_tier_capacity.json", 429, Cause.CAPACITY, None),
    ],
)
def test_recorded_errors_say_their_status(
    shared_data: Path, name: str, status: int, cause: Cause, wait: int | None
) -> None:
    outcome = event((shared_data / "errors" / name).read_bytes())
    assert (outcome.status, outcome.cause, outcome.retry_after_ms) == (status, cause, wait)
    assert (outcome.prompt_tokens, instant.to_milliseconds((outcome.minute, outcome.millisecond))) == (None, AT_MS)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": "content_filter", "message": "filtered"}}, 400),
        ({"error": {"code": "RateLimitReached", "message": "Rate limit of 5 per 60s exceeded for UserByMinute."}}, 429),
        ({"error": {"code": 503, "message": "later"}}, 503),
        ({"error": {"status_code": 400, "code": "tool_use_failed"}}, 400),
        ({"statusCode": 429, "message": "Token limit is exceeded. Try again in 9 seconds."}, 429),
        ({"object": "error", "type": "rate_limited", "code": "1300", "message": "Rate limit exceeded"}, 429),
        ({"detail": "Not Found"}, None),
        ({"error": "boom"}, None),
        ({"error": {"code": True, "message": "x"}}, None),
        ({"choices": [], "id": "c-1", "error": None}, 200),
    ],
)
def test_the_status_is_what_the_body_says(body: dict[str, Any], status: int | None) -> None:
    assert event(json.dumps(body).encode()).status == status


def test_pitfall_24_the_time_is_that_of_the_completion_else_that_of_the_file() -> None:
    body = {"id": "c-1", "choices": [], "created": 1_795_359_000}
    assert event(json.dumps(body).encode()).minute == 1_795_359_000 // 60
    assert event(json.dumps(body | {"created": None}).encode()).minute == AT_MS // 60_000
    chunk = json.dumps({"id": "c-1", "choices": [], "created": 1_795_359_000})
    assert event(f"data: {chunk}\n\ndata: [DONE]\n\n".encode()).minute == 1_795_359_000 // 60


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "neither a JSON object nor an SSE transcript"),
        (b"<html></html>", "neither a JSON object nor an SSE transcript"),
        (b"[1]", "neither a JSON object nor an SSE transcript"),
        (b"{", "not valid JSON"),
        (b"{}", "neither an answer nor an error"),
        (b'{"level": "info", "message": "started"}', "neither an answer nor an error"),
        (b"data: \xff", "not valid UTF-8"),
        (b'{"choices": [], "id": 5}', "id: expected str | null, got int"),
        (b'{"choices": [], "id": "x", "created": "now"}', "created: not a number of seconds"),
        (b'{"choices": [], "id": "x", "created": 5}', "created: outside the years 2000 to 2100"),
    ],
)
def test_anything_else_is_quarantined(record: bytes, reason: str) -> None:
    assert decode(record, READ) == Rejected(reason)


def test_a_body_without_any_time_is_quarantined() -> None:
    assert decode(b'{"choices": [], "id": "x"}', Reading()) == Rejected("no time: neither in the body nor of the file")
