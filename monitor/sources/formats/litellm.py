"""LiteLLM's StandardLoggingPayload, one JSON object per line, as its callbacks write it.

Cache hits were not billed and calls refused by LiteLLM's own limits were never sent: both are ignored. A failed call's
tokens are zeros that nobody reported. Where a stream carries no usage LiteLLM estimates it, and nothing in the payload
tells an estimate from a count (30 recorded streams compared, LiteLLM 1.106): such tokens are taken as they are. The
response log does not guess; a proxy that asks Azure for usage (`stream_options.include_usage`) need not.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from monitor.domain import instant, throttle
from monitor.domain.records import MAX_COUNT, Ignored, Outcome, UsageEvent
from monitor.sources.completion import Count, Name, Usage
from monitor.sources.litellm import Counts, Error, bare_model, cause_of, ignored, status_of, tokens_of
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, outcome_of

NAME = "litellm"
AUTHORITY = 30
FRAMING = "lines"


class _Metadata(Struct, gc=False):
    usage_object: Usage | None = None


class _Parameters(Struct, gc=False):
    max_tokens: Any = None


class _Hidden(Struct, gc=False):
    additional_headers: dict[str, Any] | None = None


class _Payload(Struct, gc=False):
    end_time: float | str = msgspec.field(name="endTime")
    status: str | None = None
    id: Name | None = None
    litellm_call_id: Name | None = None
    model: Name | None = None
    model_group: Name | None = None
    api_base: Name | None = None
    cache_hit: bool | str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    metadata: _Metadata | None = None
    model_parameters: _Parameters | None = None
    error_information: Error | None = None
    hidden_params: _Hidden | None = None


_decoder = msgspec.json.Decoder(_Payload)


def recognises(record: Mapping[str, Any]) -> bool:
    """Start, end and type of a call, without the request_id of the spend logs."""
    return {"startTime", "endTime", "call_type"} <= record.keys() and "request_id" not in record


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one payload."""
    return outcome_of(record, _decoder, _outcome)


def _outcome(payload: _Payload) -> UsageEvent | Ignored:
    error = payload.error_information or Error()
    not_counted = ignored(payload.cache_hit, error)
    if not_counted is not None:
        return not_counted
    at = _instant(payload.end_time)
    status = status_of(payload.status, error)
    reported = payload.metadata.usage_object if payload.metadata else None
    counts = Counts(payload.prompt_tokens, payload.completion_tokens, payload.total_tokens, reported)
    prompt_tokens, completion_tokens, cached_tokens = tokens_of(status, counts)
    throttled = status == throttle.THROTTLED
    said = throttle.headers((payload.hidden_params.additional_headers if payload.hidden_params else None) or {})
    wait = throttle.retry_after_ms(error.error_message or "", said, instant.to_milliseconds(at)) if throttled else None
    return UsageEvent(
        minute=at[0],
        millisecond=at[1],
        identity=payload.id or payload.litellm_call_id or None,
        model=bare_model(payload.model),
        requested_model=payload.model_group or payload.model or None,
        endpoint=payload.api_base or None,
        status=status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        max_tokens=_max_tokens(payload.model_parameters),
        retry_after_ms=wait,
        cause=cause_of(status, error, said),
    )


def _instant(end_time: float | str) -> instant.Instant:
    try:
        return instant.parse(end_time) if isinstance(end_time, str) else instant.from_seconds(end_time)
    except ValueError as error:
        raise UnreadableError(f"endTime: {error}") from None


def _max_tokens(parameters: _Parameters | None) -> int | None:
    """What the caller asked for is passed on unchecked by LiteLLM; only what can be a limit is one."""
    asked = parameters.max_tokens if parameters else None
    return asked if type(asked) is int and 0 <= asked <= MAX_COUNT else None
