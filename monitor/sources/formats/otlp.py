"""OpenTelemetry traces as OTLP/JSON, one `resourceSpans` object per line, as the file exporter writes them.

A span counts once per `gen_ai.response.id`: two instrumentations of one call report the same id, and some add spans
without one, which are ignored unless the source's `count_without_response_id` is set. Both generations of attribute
names are read.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.domain import instant
from monitor.domain.records import MAX_COUNT, Ignored, Outcome, Rejected, UsageEvent
from monitor.sources.completion import MAX_NAME
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, decode_object, storable

NAME = "otlp"
AUTHORITY = 50
FRAMING = "lines"

COUNTED = frozenset({"chat", "text_completion", "embeddings", "generate_content"})
NOT_GEN_AI = Ignored("not a generative AI span")
REPEATS = Ignored("an operation that repeats its children's usage")
WITHOUT_ID = Ignored("span without gen_ai.response.id")
NO_SPANS = Ignored("no spans")

INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
CACHED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")

OK = 200
STATUS_ERROR = (2, "2", "STATUS_CODE_ERROR")

Attributes = Mapping[str, Any]


def recognises(record: Mapping[str, Any]) -> bool:
    """The one field that every line has."""
    return isinstance(record.get("resourceSpans"), list)


def decode(record: bytes, read: Reading) -> Outcome | list[Outcome]:
    """Decode one line, which may hold any number of spans."""
    try:
        found = list(_spans(decode_object(record)))
    except UnreadableError as error:
        return Rejected(error.reason)
    outcomes = [_decode_span(span, read) for span in found]
    if not outcomes:
        return NO_SPANS
    return outcomes if len(outcomes) > 1 else outcomes[0]


def _spans(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in _objects(line, "resourceSpans"):
        # Older exporters call a scope by its former name, instrumentation library.
        for scope in _objects(resource, "scopeSpans") + _objects(resource, "instrumentationLibrarySpans"):
            yield from _objects(scope, "spans")


def _objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    held = holder.get(name) or []
    if not isinstance(held, list) or not all(isinstance(one, dict) for one in held):
        raise UnreadableError(f"{name}: not a list of objects")
    return held


def _decode_span(span: Mapping[str, Any], read: Reading) -> Outcome:
    try:
        attributes = _attributes(span)
        if not any(name.startswith("gen_ai.") for name in attributes):
            return NOT_GEN_AI
        operation = attributes.get("gen_ai.operation.name")
        if operation and operation not in COUNTED:
            return REPEATS
        identity = _name(attributes, "gen_ai.response.id") or _own_identity(span, read)
        if identity is None:
            return WITHOUT_ID
        return storable(_event(span, attributes, identity))
    except UnreadableError as error:
        return Rejected(error.reason)


def _own_identity(span: Mapping[str, Any], read: Reading) -> str | None:
    if not read.count_without_response_id:
        return None
    trace, own = _name(span, "traceId"), _name(span, "spanId")
    if trace is None or own is None:
        raise UnreadableError("a span without traceId and spanId")
    return f"{trace}/{own}"


def _event(span: Mapping[str, Any], attributes: Attributes, identity: str) -> UsageEvent:
    minute, millisecond = _instant(span.get("endTimeUnixNano"))
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=identity,
        model=_name(attributes, "gen_ai.response.model") or _name(attributes, "gen_ai.request.model"),
        requested_model=_name(attributes, "gen_ai.request.model"),
        endpoint=_name(attributes, "server.address"),
        status=_status(span, attributes),
        prompt_tokens=_count(attributes, *INPUT),
        completion_tokens=_count(attributes, *OUTPUT),
        cached_tokens=_count(attributes, *CACHED),
        max_tokens=_count(attributes, "gen_ai.request.max_tokens"),
    )


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return the span's attributes by name: text, numbers and truth values; lists and maps are left out."""
    read: dict[str, Any] = {}
    for attribute in _objects(span, "attributes"):
        name, value = attribute.get("key"), attribute.get("value")
        if isinstance(name, str) and isinstance(value, dict):
            read[name] = _value(value)
    return read


def _value(value: Mapping[str, Any]) -> Any:
    if "intValue" in value:
        whole = value["intValue"]
        if type(whole) is int:
            return whole
        digits = isinstance(whole, str) and whole.removeprefix("-").isdigit() and whole.isascii() and len(whole) <= 20
        return int(whole) if digits else "not a number"
    said = next((value[kind] for kind in ("stringValue", "doubleValue", "boolValue") if kind in value), None)
    return said if isinstance(said, str | int | float) else None


def _name(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise UnreadableError(f"{name}: not a name")
    return value


def _count(attributes: Attributes, *names: str) -> int | None:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            if type(value) is not int or not 0 <= value <= MAX_COUNT:
                raise UnreadableError(f"{name}: not a possible count")
            return value
    return None


def _status(span: Mapping[str, Any], attributes: Attributes) -> int | None:
    """Return the HTTP status where the span or its error says it; 200 for a span without error, else None."""
    for name in ("http.response.status_code", "http.status_code", "error.type"):
        text = str(attributes.get(name, ""))
        if len(text) == 3 and text.isascii() and text.isdigit() and text[0] != "0":
            return int(text)
    status = span.get("status")
    failed = isinstance(status, dict) and status.get("code") in STATUS_ERROR
    return None if failed or attributes.get("error.type") else OK


def _instant(written: Any) -> instant.Instant:
    if type(written) is not int and not isinstance(written, str):
        raise UnreadableError("endTimeUnixNano: not a number")
    try:
        return instant.from_nanoseconds(written)
    except ValueError as error:
        raise UnreadableError(f"endTimeUnixNano: {error}") from None
