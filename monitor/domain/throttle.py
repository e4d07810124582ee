"""Why a request was refused with status 429, and for how long, as far as the response says.

The wordings are those seen from Azure AI Foundry, Azure OpenAI, API Management, Mistral and LiteLLM; none of them is
documented. A named counter beats every other word; words of both kinds say nothing; headers are asked last, because
Azure also refuses requests while they show something left.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from monitor.domain.records import Cause

THROTTLED = 429

Headers = Mapping[str, str]
"""Response headers, their names as `header_name` writes them."""

MAX_WAIT_MS = 366 * 86_400_000
"""A longer wait is no answer to a rate limit but a mistake; it is not kept."""

_COUNTER = re.compile(r"exceeded for (User\w+|\w+By\w+)", re.IGNORECASE)
_TOKENS = re.compile(
    r"tokens?[ _-](?:rate[ _-])?(?:limit|quota)|tokens?[ _-](?:usage[ _-])?rate|tokens per|\btpm\b|too many tokens",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"(?:requests?|calls?)[ _-](?:rate[ _-])?(?:limit|quota)|(?:requests?|calls?)[ _-]rate"
    r"|(?:requests?|calls?) per|\brpm\b|concurrent",
    re.IGNORECASE,
)
_CAPACITY = re.compile(r"capacity|peak[ -]load|high (?:demand|load|traffic)|overloaded", re.IGNORECASE)
_LIMIT = re.compile(r"rate[ _-]?limit", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:retry after|try again (?:in|after)|wait(?: for)?)\s+(\d{1,9}(?:\.\d{1,6})?)"
    r"\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|m)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)


def header_name(name: str) -> str:
    """Write a header's name in one way: lower case, hyphens, without LiteLLM's prefix for a provider's."""
    return name.lower().replace("_", "-").removeprefix("llm-provider-")


def classify(status: int | None, text: str, headers: Headers | None = None) -> Cause:
    """Say which limit refused the request, from the error's codes and texts (also the raw body) and the headers."""
    if status != THROTTLED:
        return Cause.UNKNOWN
    counter = _COUNTER.search(text)
    if counter:
        return Cause.TOKENS if "token" in counter[1].lower() else Cause.REQUESTS
    tokens, requests = _TOKENS.search(text), _REQUESTS.search(text)
    if (tokens is None) != (requests is None):
        return Cause.TOKENS if tokens else Cause.REQUESTS
    if _CAPACITY.search(text):
        return Cause.CAPACITY
    return _exhausted(headers or {})


def says_throttled(text: str) -> bool:
    """Whether the text of an error without any status speaks of a rate limit."""
    return bool(_LIMIT.search(text)) or classify(THROTTLED, text) is not Cause.UNKNOWN


def _exhausted(headers: Headers) -> Cause:
    for counted, cause in (("tokens", Cause.TOKENS), ("requests", Cause.REQUESTS)):
        remaining = headers.get(f"x-ratelimit-remaining-{counted}", "").strip()
        limit = headers.get(f"x-ratelimit-limit-{counted}", "").strip()
        # Foundry sends -1 for both where it counts nothing; a negative rest below a real limit is exhausted.
        if re.fullmatch(r"0+|-\d+", remaining) and not (remaining == limit == "-1"):
            return cause
    return Cause.UNKNOWN


def retry_after_ms(text: str, headers: Headers | None = None, at_ms: int = 0) -> int | None:
    """Return the wait asked for: `retry-after-ms`, `retry-after` (seconds, or a date after `at_ms`), or the text."""
    said = headers or {}
    for value, unit in ((said.get("retry-after-ms", ""), 1), (said.get("retry-after", ""), 1000)):
        wait = _milliseconds(value.strip(), unit)
        if wait is not None:
            return wait
    date = _until(said.get("retry-after", ""), at_ms)
    return date if date is not None else _wait_in(text)


def _milliseconds(value: str, unit: int) -> int | None:
    if not _NUMBER.fullmatch(value):
        return None
    wait = round(float(value) * unit)
    return wait if wait <= MAX_WAIT_MS else None


def _until(value: str, at_ms: int) -> int | None:
    try:
        date = parsedate_to_datetime(value)
        wait = round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000) - at_ms
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, wait) if wait <= MAX_WAIT_MS else None


def _wait_in(text: str) -> int | None:
    match = _WAIT.search(text)
    if not match:
        return None
    unit = match[2].lower()
    if unit.startswith(("ms", "milli")):
        return _milliseconds(match[1], 1)
    return _milliseconds(match[1], 60_000 if unit.startswith("m") else 1000)
