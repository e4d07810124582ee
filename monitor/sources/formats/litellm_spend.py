"""Rows of LiteLLM's table LiteLLM_SpendLogs, one JSON object per line.

Times without a zone are UTC, which is what LiteLLM's database layer writes. Cache hits ("True", as text) were not
billed and are ignored. What format litellm says of estimated streams and of failures holds here too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from monitor.domain import instant, throttle
from monitor.domain.records import Ignored, Outcome, UsageEvent
from monitor.sources.completion import Count, Name, Usage
from monitor.sources.litellm import Counts, Error, bare_model, cause_of, ignored, status_of, tokens_of
from monitor.sources.reading import Reading
from monitor.sources.second_look import NOT_JSON, UnreadableError, convert, loads, outcome_of

NAME = "litellm-spend"
AUTHORITY = 40
FRAMING = "lines"

DATE_AND_TIME = len("2026-11-22 14:57:57")


class _Metadata(Struct, gc=False):
    usage_object: Usage | None = None
    error_information: Error | None = None
    status: str | None = None


class _Row(Struct, gc=False):
    end_time: str = msgspec.field(name="endTime")
    request_id: Name | None = None
    litellm_call_id: Name | None = None
    status: str | None = None
    model: Name | None = None
    model_group: Name | None = None
    api_base: Name | None = None
    cache_hit: bool | str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    metadata: _Metadata | str | None = None


_decoder = msgspec.json.Decoder(_Row)


def recognises(record: Mapping[str, Any]) -> bool:
    """A request_id beside start and end, and what the call was or cost."""
    return {"request_id", "startTime", "endTime"} <= record.keys() and ("call_type" in record or "spend" in record)


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one row."""
    return outcome_of(record, _decoder, _outcome)


def _outcome(row: _Row) -> UsageEvent | Ignored:
    metadata = _metadata(row.metadata)
    error = metadata.error_information or Error()
    not_counted = ignored(row.cache_hit, error)
    if not_counted is not None:
        return not_counted
    minute, millisecond = _instant(row.end_time)
    # A row may have no status of its own; the metadata of a failed call then still says what it ran into.
    status = status_of(row.status or metadata.status or ("failure" if error.error_code else "success"), error)
    counts = Counts(row.prompt_tokens, row.completion_tokens, row.total_tokens, metadata.usage_object)
    prompt_tokens, completion_tokens, cached_tokens = tokens_of(status, counts)
    throttled = status == throttle.THROTTLED
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=row.request_id or row.litellm_call_id or None,
        model=bare_model(row.model),
        requested_model=row.model_group or row.model or None,
        endpoint=row.api_base or None,
        status=status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        retry_after_ms=throttle.retry_after_ms(error.error_message or "") if throttled else None,
        cause=cause_of(status, error, {}),
    )


def _metadata(written: _Metadata | str | None) -> _Metadata:
    """Read the column, which is JSON in text as the database keeps it; text that is no JSON says nothing."""
    if not isinstance(written, str):
        return written or _Metadata()
    try:
        value = loads(written)
    except UnreadableError as error:
        if error.reason == NOT_JSON:
            return _Metadata()
        raise
    return convert(value, _Metadata) if isinstance(value, dict) else _Metadata()


def _instant(written: str) -> instant.Instant:
    has_zone = written[-1:] in {"Z", "z"} or any(sign in written[DATE_AND_TIME:] for sign in "+-")
    try:
        return instant.parse(written if has_zone else f"{written}Z")
    except ValueError as error:
        raise UnreadableError(f"endTime: {error}") from None
