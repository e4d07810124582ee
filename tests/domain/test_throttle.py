"""What refusals say: which limit, and how long to wait."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.records import Cause
from monitor.domain.throttle import MAX_WAIT_MS, classify, header_name, headers, retry_after_ms, says_throttled

AZURE = "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-06-01 have exceeded"
PEAK = (
    "The system is currently experiencing high demand and cannot process your request. Your request exceeds the "
    "maximum usage size allowed during peak load. Please retry after 20 seconds."
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Rate limit of 300000 per 60s exceeded for UserByModelByMinuteUncachedInputTokens. Please wait 23 seconds", 1),
        ("Rate limit of 300000 per 60s exceeded for UserByModelByMinuteOutputTokens.", 1),
        ("Rate limit of 10 per 60s exceeded for UserByModelByMinute. Please wait 3 seconds before retrying.", 2),
        ("Rate limit of 10 per 60s exceeded for UserByMinute.", 2),
        ("Rate limit of 150 per 86400s exceeded for UserByModelByDay.", 2),
        (f"{AZURE} token rate limit of your current AIServices S0 pricing tier. Please retry after 60 seconds.", 1),
        (f"{AZURE} call rate limit of your current OpenAI S0 pricing tier. Please retry after 9 seconds.", 2),
        ("Your requests to m for m in East US 2 have exceeded the token rate limit for your tier.", 1),
        ("Your requests to m for m in East US 2 have exceeded the request rate limit for your tier.", 2),
        ("Token limit is exceeded. Try again in 12 seconds.", 1),
        ("Requests rate limit exceeded", 2),
        ("Rate limit reached on tokens per min (TPM): Limit 10000, Used 9000", 1),
        ("Rate limit reached on requests per min (RPM): Limit 3, Used 3", 2),
        (PEAK, 3),
        ("Service tier capacity exceeded for this model.", 3),
        ("Rate limit is exceeded. Try again in 2 seconds.", 0),
        ("Rate limit exceeded", 0),
        ("Too many requests. Please retry.", 0),
        ("the limits are 200000 tokens per minute and 1000 requests per minute", 0),
        ("", 0),
    ],
)
def test_the_words_of_a_refusal_name_the_limit(text: str, cause: int) -> None:
    assert classify(429, text) is Cause(cause)
    assert classify(429, json.dumps({"error": {"code": "429", "message": text}})) is Cause(cause)


def test_only_a_429_was_throttled() -> None:
    assert classify(400, PEAK) is Cause.UNKNOWN
    assert classify(None, PEAK) is Cause.UNKNOWN


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-limit-tokens": "8000"}, Cause.TOKENS),
        ({"x-ratelimit-remaining-tokens": "-12", "x-ratelimit-limit-tokens": "8000"}, Cause.TOKENS),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-limit-tokens": "8000"}, Cause.TOKENS),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-limit-tokens": "-1"}, Cause.UNKNOWN),
        ({"x-ratelimit-remaining-requests": "0"}, Cause.REQUESTS),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-remaining-tokens": "1014"}, Cause.UNKNOWN),
        ({"x-ratelimit-remaining-tokens": "many"}, Cause.UNKNOWN),
        ({}, Cause.UNKNOWN),
    ],
)
def test_pitfall_21_headers_are_asked_when_the_words_say_nothing(said: dict[str, str], cause: Cause) -> None:
    assert classify(429, "Rate limit is exceeded.", said) is cause


def test_words_beat_headers() -> None:
    assert classify(429, PEAK, {"x-ratelimit-remaining-tokens": "0"}) is Cause.CAPACITY


AT_MS = 1_795_359_477_000
DATE = {"retry-after": "Sun, 22 Nov 2026 14:58:27 GMT"}


@pytest.mark.parametrize(
    ("said", "text", "wait"),
    [
        ({"retry-after-ms": "350", "retry-after": "1"}, "Please retry after 9 seconds", 350),
        ({"retry-after": "20"}, "Please retry after 9 seconds", 20_000),
        ({"retry-after": "1.5"}, "", 1500),
        ({"retry-after": "0"}, "", 0),
        (DATE, "", 30_000),
        ({"retry-after": "Sun, 22 Nov 2026 14:58:27 -0000"}, "", 30_000),
        ({"retry-after": "Sun, 22 Nov 2026 14:57:27 GMT"}, "", 0),
        ({"retry-after": "soon"}, "Please retry after 9 seconds", 9000),
        ({"retry-after": "-3"}, "", None),
        ({"retry-after": str(MAX_WAIT_MS)}, "", None),
        ({}, "Please retry after 86400 seconds.", 86_400_000),
        ({}, "Try again in 2 seconds.", 2000),
        ({}, "Please wait 23 seconds before retrying.", 23_000),
        ({}, "Please wait 1 second", 1000),
        ({}, "Please try again in 6ms.", 6),
        ({}, "Please retry after 2 minutes", 120_000),
        ({}, "Please retry after a while", None),
        ({}, "Please retry after 99999999999 seconds", None),
    ],
)
def test_the_wait_is_read_from_headers_then_from_the_text(said: dict[str, str], text: str, wait: int | None) -> None:
    assert retry_after_ms(text, said, AT_MS) == wait


def test_header_names_are_written_in_one_way() -> None:
    assert header_name("X-RateLimit-Remaining-Tokens") == "x-ratelimit-remaining-tokens"
    assert header_name("x_ratelimit_remaining_tokens") == "x-ratelimit-remaining-tokens"
    assert header_name("llm_provider-Retry-After") == "retry-after"


def test_header_values_may_be_text_numbers_or_lists() -> None:
    raw = {"Retry-After": [" 3 ", "4"], "X-RateLimit-Remaining-Tokens": 0, "x-ms-region": None, "empty": []}
    assert headers(raw) == {"retry-after": "3", "x-ratelimit-remaining-tokens": "0"}


@given(st.text(), st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text()))
def test_no_text_and_no_header_raises(text: str, said: dict[str, str]) -> None:
    wait = retry_after_ms(text, said, AT_MS)
    assert wait is None or 0 <= wait <= MAX_WAIT_MS
    classify(429, text, said)


@pytest.mark.parametrize(
    ("name", "cause", "wait", "throttled"),
    [
        ("azure-429-token-rate.json", Cause.TOKENS, 86_400_000, True),
        ("mistral-429-rate_limited-1300.json", Cause.UNKNOWN, None, True),
        ("mistral-429-service_tier_capacity.json", Cause.CAPACITY, None, True),
        ("azure-400-prompt-content_filter.json", Cause.UNKNOWN, None, False),
    ],
)
def test_recorded_errors_say_why_and_how_long(
    shared_data: Path, name: str, cause: Cause, wait: int | None, throttled: bool
) -> None:
    text = (shared_data / "errors" / name).read_text(encoding="utf-8")
    assert (classify(429, text), retry_after_ms(text), says_throttled(text)) == (cause, wait, throttled)
