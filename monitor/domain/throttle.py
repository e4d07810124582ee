"""Why a request was refused with status 429, and for how long, as far as the response says.

The wordings are those seen from Azure AI Foundry, Azure OpenAI, API Management, Mistral and LiteLLM; none of them is
documented. A named counter beats every other word; words of both kinds say nothing; headers are asked last, because
Azure also refuses requests while they show something left.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from functools import lru_cache
from typing import Any

from monitor.domain.records import Cause

THROTTLED = 429

Headers = Mapping[str, str]
"""Response headers, their names as `header_name` writes them."""

MAX_WAIT_MS = 366 * 86_400_000
"""A longer wait is no answer to a rate limit but a mistake; it is not kept."""

MAX_TEXT = 1024
"""How much of an error's text is read: what limit it was comes first."""

# All of them search text in lower case, and each alternative begins with a letter: the scanner then skips to those.
_COUNTER = re.compile(r"exceeded for (user\w+|\w+by\w+)")
_TOKENS = re.compile(r"tokens?(?:[ _-](?:usage[ _-])?(?:rate|limit|quota)| per)|tpm\b|too many tokens")
_REQUESTS = re.compile(
    r"requests?(?:[ _-](?:rate|limit|quota)| per)|calls?(?:[ _-](?:rate|limit|quota)| per)|rpm\b|concurrent"
)
_CAPACITY = ("capacity", "peak load", "high demand", "high load", "high traffic", "overloaded")
_LIMIT = re.compile(r"rate[ _-]?limit")
_WAIT = re.compile(
    r"(?:retry after|try again (?:in|after)|wait(?: for)?)\s+(\d{1,9}(?:\.\d{1,6})?)"
    r"\s*(milliseconds?|ms|seconds?|secs?|s|minutes?|m)\b",
    re.ASCII,
)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_NOTHING_LEFT = re.compile(r"0+|-\d+", re.ASCII)


@lru_cache(maxsize=1024)
def header_name(name: str) -> str:
    """Write a header's name in one way: lower case, hyphens, without LiteLLM's prefix for a provider's."""
    return name.lower().replace("_", "-").removeprefix("llm-provider-")


def headers(raw: Mapping[str, Any]) -> Headers:
    """Write logged headers in one way; a value may be text, a number or a list of them, of which the first counts."""
    written: dict[str, str] = {}
    for name, value in raw.items():
        one = value[0] if isinstance(value, list) and value else value
        if isinstance(one, str | int | float):
            written[header_name(name)] = str(one).strip()
    return written


def classify(status: int | None, text: str, said: Headers | None = None) -> Cause:
    """Say which limit refused the request, from the error's codes and texts (also the raw body) and the headers."""
    if status != THROTTLED:
        return Cause.UNKNOWN
    cause, _ = _words(text[:MAX_TEXT])
    return cause or _exhausted(said or {})


def retry_after_ms(text: str, said: Headers | None = None, at_ms: int = 0) -> int | None:
    """Return the wait asked for: `retry-after-ms`, `retry-after` (seconds, or a date after `at_ms`), or the text."""
    said = said or {}
    if "retry-after-ms" in said:
        wait = _milliseconds(said["retry-after-ms"], 1)
        if wait is not None:
            return wait
    if "retry-after" in said:
        wait = _milliseconds(said["retry-after"], 1000)
        if wait is None:
            wait = _until(said["retry-after"], at_ms)
        if wait is not None:
            return wait
    return _words(text[:MAX_TEXT])[1]


def says_throttled(text: str) -> bool:
    """Whether the text of an error without any status speaks of a rate limit."""
    return bool(_LIMIT.search(text.lower())) or classify(THROTTLED, text) is not Cause.UNKNOWN


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[Cause, int | None]:
    """Read cause and wait from a text; in a storm of refusals the same few come again and again."""
    text = text.lower()
    return _cause(text), _wait(text)


def _cause(text: str) -> Cause:
    counter = _COUNTER.search(text)
    if counter:
        return Cause.TOKENS if "token" in counter[1] else Cause.REQUESTS
    tokens, requests = _TOKENS.search(text), _REQUESTS.search(text)
    if (tokens is None) != (requests is None):
        return Cause.TOKENS if tokens else Cause.REQUESTS
    return Cause.CAPACITY if any(word in text for word in _CAPACITY) else Cause.UNKNOWN


def _wait(text: str) -> int | None:
    match = _WAIT.search(text)
    if not match:
        return None
    unit = match[2]
    if unit.startswith(("ms", "milli")):
        return _milliseconds(match[1], 1)
    return _milliseconds(match[1], 60_000 if unit.startswith("m") else 1000)


def _exhausted(said: Headers) -> Cause:
    for counted, cause in (("tokens", Cause.TOKENS), ("requests", Cause.REQUESTS)):
        remaining = said.get(f"x-ratelimit-remaining-{counted}", "")
        limit = said.get(f"x-ratelimit-limit-{counted}", "")
        # Foundry sends -1 for both where it counts nothing; a negative rest below a real limit is exhausted.
        if _NOTHING_LEFT.fullmatch(remaining) and not (remaining == limit == "-1"):
            return cause
    return Cause.UNKNOWN


def _milliseconds(value: str, unit: int) -> int | None:
    if not _NUMBER.fullmatch(value):
        return None
    wait = round(float(value) * unit)
    return wait if wait <= MAX_WAIT_MS else None


def _until(value: str, at_ms: int) -> int | None:
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        wait = round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000) - at_ms
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, wait) if wait <= MAX_WAIT_MS else None
