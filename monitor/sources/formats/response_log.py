"""Our own response log: one JSON object per line, which a wrapper of five lines or a proxy can write.

Its fields are the contract's: time, status, workspace, deployment, model, endpoint, request_id, duration_ms, headers,
request, response. A request is known by the completion's id, else by request_id.

This is the hot path: a typed decoder builds nothing but the fields in use, at the speed of msgspec; what it refuses
gets a second look with the standard library, and only that one says why.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from monitor.domain import instant, throttle
from monitor.domain.records import Cause, Outcome, Rejected, UsageEvent
from monitor.sources import completion
from monitor.sources.completion import Completion, Count, Name
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, convert, loads_bytes, storable

NAME = "response-log"
AUTHORITY = 10
FRAMING = "lines"

THROTTLED = throttle.THROTTLED


class _Skipped(Struct, gc=False):
    """An object none of whose fields is read."""


class _Request(Struct, gc=False):
    max_tokens: Count | None = None
    model: Name | None = None
    stream: bool | None = None


class _Log(Struct, gc=False):
    time: str
    status: Annotated[int, Meta(ge=100, le=999)]
    workspace: Name | None = None
    deployment: Name | None = None
    model: Name | None = None
    endpoint: Name | None = None
    request_id: Name | None = None
    duration_ms: float | None = None
    headers: _Skipped | None = None
    request: _Request | None = None
    response: Completion | str | None = None


_NO_REQUEST = _Request()


class _Refusal(Struct, gc=False):
    """What only a request refused with status 429 is asked for."""

    headers: dict[str, Any] | None = None
    response: Raw = Raw(b"")


_decode = msgspec.json.Decoder(_Log).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def recognises(record: Mapping[str, Any]) -> bool:
    """A time and a status, and something that only a request has."""
    return (
        isinstance(record.get("time"), str)
        and isinstance(record.get("status"), int)
        and not record.keys().isdisjoint(("response", "request", "endpoint", "deployment", "request_id", "headers"))
    )


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one line."""
    try:
        log = _decode(record)
        # msgspec skips unused text without looking at it; a record that is not UTF-8 throughout is not JSON.
        if not record.isascii():
            record.decode("utf-8")
        if log.status == THROTTLED:
            refusal = _decode_refusal(record)
            return _refused(log, refusal.headers, bytes(refusal.response).decode("utf-8"))
        return _event(log)
    except (ValueError, RecursionError):
        return _second_look(record)


def _second_look(record: bytes) -> Outcome:
    try:
        value = loads_bytes(record)
        log = convert(value, _Log)
        if log.status == THROTTLED:
            return storable(_refused(log, value.get("headers"), json.dumps(value.get("response"))))
        return storable(_event(log))
    except UnreadableError as error:
        return Rejected(error.reason)


def _refused(log: _Log, headers: Mapping[str, Any] | None, text: str) -> UsageEvent:
    said = throttle.headers(headers or {})
    wait = throttle.retry_after_ms(text, said, instant.to_milliseconds(_instant(log)))
    return _event(log, wait, throttle.classify(THROTTLED, text, said))


def _event(log: _Log, retry_after_ms: int | None = None, cause: Cause = Cause.UNKNOWN) -> UsageEvent:
    minute, millisecond = _instant(log)
    body = log.response
    if not isinstance(body, Completion):
        body = completion.from_text(body) if body else completion.NOTHING
    prompt_tokens, completion_tokens, cached_tokens = completion.tokens(body.usage)
    request = log.request or _NO_REQUEST
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=body.id or log.request_id or None,
        workspace=log.workspace or None,
        deployment=log.deployment or None,
        model=log.model or body.model or None,
        requested_model=request.model or None,
        endpoint=log.endpoint or None,
        status=log.status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        max_tokens=request.max_tokens,
        retry_after_ms=retry_after_ms,
        cause=cause,
    )


def _instant(log: _Log) -> instant.Instant:
    try:
        return instant.parse(log.time)
    except ValueError as error:
        raise UnreadableError(f"time: {error}") from None
