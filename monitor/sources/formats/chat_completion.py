"""Bare bodies of responses: one JSON body a line, or a file that is one JSON body or one SSE transcript.

The time is the completion's `created`, in Unix seconds by the server's clock, else that of the file. There is no
status: a body with an answer had 200; that of an error is what the error says, 429 for a rate limit, 400 for a content
filter, else unknown.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from monitor.domain import instant, throttle
from monitor.domain.records import Cause, Outcome, Rejected, UsageEvent
from monitor.sources import completion
from monitor.sources.completion import Completion
from monitor.sources.reading import Reading
from monitor.sources.second_look import (
    NOT_UTF8,
    UnreadableError,
    convert,
    decode_object,
    loads,
    storable,
)

NAME = "chat-completion"
AUTHORITY = 20
FRAMING = "document"

OK = 200
BAD_REQUEST = 400

ANSWERS = ("choices", "output", "outputs", "data", "embeddings", "usage")
"""What an answer is known by.

Completions, Bedrock's two forms, embeddings, or the usage left where texts were taken out.
"""

STATUSES = ("status", "status_code", "statusCode", "code")


class _Body(Struct):
    """A body, or what the chunks of a stream add up to; `error` is the JSON text of what went wrong."""

    completion: Completion
    created: Any = None
    status: int | None = None
    error: str = ""


def recognises(record: Mapping[str, Any]) -> bool:
    """An answer or an error without anything of a log around it."""
    if "time" in record or "startTime" in record or "resourceSpans" in record:
        return False
    answered = any(isinstance(record.get(name), list | dict) for name in ANSWERS)
    return (answered and not record.keys().isdisjoint(("id", "usage", "model", "outputs"))) or _is_error(record)


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one body."""
    try:
        return storable(_event(_body(record), read))
    except UnreadableError as error:
        return Rejected(error.reason)


def _body(record: bytes) -> _Body:
    if record.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _json_body(decode_object(record))
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableError(NOT_UTF8) from None
    if not completion.is_transcript(text):
        raise UnreadableError("neither a JSON object nor an SSE transcript")
    return _stream_body(text)


def _json_body(value: dict[str, Any]) -> _Body:
    if not recognises(value):
        raise UnreadableError("neither an answer nor an error")
    body = _Body(completion=convert(value, Completion), created=value.get("created"), status=OK)
    if _is_error(value):
        body.error = json.dumps(value["error"] if value.get("error") else value)
        body.status = _status(value, body.error)
    return body


def _stream_body(text: str) -> _Body:
    body = _Body(completion=completion.from_transcript(text))
    for data in completion.chunks(text):
        chunk = _object(data)
        body.created = body.created or chunk.get("created")
        if "choices" in chunk:
            body.status = OK
        elif _is_error(chunk) and body.status is None:
            body.error = json.dumps(chunk)
            body.status = _status(chunk, body.error)
    return body


def _object(data: str) -> dict[str, Any]:
    try:
        value = loads(data)
    except UnreadableError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_error(record: Mapping[str, Any]) -> bool:
    if record.get("error") or record.get("object") == "error" or "statusCode" in record:
        return True
    return "detail" in record or ("message" in record and not record.keys().isdisjoint(("type", "code")))


def _status(record: Mapping[str, Any], text: str) -> int | None:
    error = record.get("error")
    for place in (error if isinstance(error, dict) else {}, record):
        for name in STATUSES:
            status = _http_status(place.get(name))
            if status:
                return status
    if throttle.says_throttled(text):
        return throttle.THROTTLED
    return BAD_REQUEST if "content_filter" in text else None


def _http_status(value: Any) -> int | None:
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() and "100" <= text <= "599" else None


def _event(body: _Body, read: Reading) -> UsageEvent:
    minute, millisecond = _instant(body.created, read)
    prompt_tokens, completion_tokens, cached_tokens = completion.tokens(body.completion.usage)
    throttled = body.status == throttle.THROTTLED
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=body.completion.id or None,
        model=body.completion.model or None,
        status=body.status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        retry_after_ms=throttle.retry_after_ms(body.error) if throttled else None,
        cause=throttle.classify(body.status, body.error) if throttled else Cause.UNKNOWN,
    )


def _instant(created: Any, read: Reading) -> instant.Instant:
    if not created and not read.modified_ms:
        raise UnreadableError("no time: neither in the body nor of the file")
    if created and not isinstance(created, int | float):
        raise UnreadableError("created: not a number of seconds")
    try:
        return instant.from_seconds(created) if created else instant.from_milliseconds(read.modified_ms)
    except ValueError as error:
        raise UnreadableError(f"created: {error}") from None
