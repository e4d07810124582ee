"""From the rows of an answer to decoded requests: API Management's own columns, or those that a column map names.

A row that cannot be read has a position for the quarantine that is the same whenever the row is read: its time in
milliseconds, and 20 bits of its contents, so that two bad rows of one millisecond are two. A row without an id is known
by its contents, and by how many rows of the same contents came before it in the answer: these have the same time, and
so stand in the same window however often it is asked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, structs
from xxhash import xxh3_64_intdigest

from monitor.domain import instant, throttle
from monitor.domain.endpoints import endpoint
from monitor.domain.records import Ignored, Outcome, Rejected, UsageEvent
from monitor.errors import SettingsError, UnknownNameError
from monitor.sources.azure.logs import Table
from monitor.sources.cells import instant_in, status_in, text_in, whole_in
from monitor.sources.formats import apim_llm
from monitor.sources.second_look import UnreadableError, storable

FIELDS = (
    "time",
    "id",
    "request_id",
    "status",
    "workspace",
    "deployment",
    "model",
    "requested_model",
    "endpoint",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "max_tokens",
    "retry_after",
    "error",
)
"""What a column map may name; `retry_after` is the header's value, `error` a refusal's text, which is not kept."""

Placed = tuple[int, Outcome]
"""A position for the quarantine, and what the row there was decoded to."""

ARRIVED = "IngestedAt"

CONTENT_BITS = 20
"""The lowest bits of a position, which tell the bad rows of one millisecond apart."""

SETTLING_MS = 10 * 60_000
"""How long half a request waits for its other half; API Management's logs come one to three minutes late."""


def check(subject: str, columns: Mapping[str, str]) -> None:
    """Refuse a column map with a field that does not exist, or without the time."""
    for field in columns:
        if field not in FIELDS:
            raise UnknownNameError(f"{subject}: columns", "field", field, list(FIELDS))
    if "time" not in columns:
        raise SettingsError(subject, "columns name no time", 'write one, like columns = { time = "TimeGenerated" }')


class Known(Struct, frozen=True, kw_only=True):
    """What rows arrived when: this reading began at `now`, the one before had come to `before`, in milliseconds."""

    now: int
    before: int = 0
    settling: int = SETTLING_MS


def gateway_rows(table: Table, known: Known) -> Iterator[Placed]:
    """Decode the built-in question's rows, but for half requests that arrived just now.

    Those are left for the next reading, when the other half is there: what is stored first decides where a request
    belongs, and half of it does not know. Ignored rows that were counted by the reading before are passed over.
    """
    for row in table.rows:
        arrived, delay = _arrived(row), known.settling if _half(row) else 0
        if delay and arrived >= known.now - delay:
            continue
        for position, outcome in _placed(row, "TimeGenerated", Counter()):
            if not isinstance(outcome, Ignored) or arrived >= known.before - delay:
                yield position, outcome


def custom_rows(table: Table, columns: Mapping[str, str], subject: str) -> Iterator[Placed]:
    """Decode the rows of the settings' own question; UnknownNameError for a column that its answer does not have."""
    for field, column in columns.items():
        if column not in table.columns:
            raise UnknownNameError(f"{subject}: columns: {field}", "column in the answer", column, list(table.columns))
    alike: Counter[int] = Counter()
    for row in table.rows:
        yield from _placed({field: row[column] for field, column in columns.items()}, "time", alike)


def _half(row: Mapping[str, Any]) -> bool:
    """Whether a row lacks its other half, and needs it: a refusal needs none once its deployment is known."""
    if _true(row.get("HasLlmLog")):
        return not _true(row.get("HasGatewayLog"))
    try:
        answered, backend = status_in(row, "ResponseCode"), status_in(row, "BackendResponseCode")
        address = text_in(row, "BackendUrl", limit=None)
    except UnreadableError:
        return False
    refused = (backend or answered or 0) >= apim_llm.CLIENT_ERRORS.start
    return not (refused and (backend is None or (address and endpoint(address).deployment)))


def _true(value: Any) -> bool:
    return value in (True, "true", "True", 1)


def _arrived(row: Mapping[str, Any]) -> int:
    try:
        return instant.to_milliseconds(instant_in(row, ARRIVED))
    except UnreadableError:
        return 0


def _placed(row: Mapping[str, Any], time: str, alike: "Counter[int]") -> Iterator[Placed]:
    content = _content(row)
    try:
        outcome = apim_llm.outcome_of(row) if time == "TimeGenerated" else _custom(row)
    except UnreadableError as error:
        outcome = Rejected(error.reason)
    number = alike[content]
    alike[content] += 1
    if isinstance(outcome, UsageEvent) and not outcome.identity:
        outcome = structs.replace(outcome, identity=f"row {content:016x} {number}")
    yield _position(row, time, content + number), outcome


def _content(row: Mapping[str, Any]) -> int:
    """What a row is known by where its outcome is not: its id if it has one, else all that it says."""
    named = row.get("CorrelationId")
    said = named if isinstance(named, str) and named else repr(sorted(row.items()))
    return xxh3_64_intdigest(said.encode("utf-8", "replace"))


def _position(row: Mapping[str, Any], time: str, content: int) -> int:
    try:
        at = instant.to_milliseconds(instant_in(row, time))
    except UnreadableError:
        at = 0
    return at << CONTENT_BITS | content & ((1 << CONTENT_BITS) - 1)


def time_at(position: int) -> datetime | None:
    """Return the time of the row at a position, in UTC; None if it had none that could be read."""
    milliseconds = position >> CONTENT_BITS
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds) if milliseconds else None


def _custom(row: Mapping[str, Any]) -> Outcome:
    minute, millisecond = instant_in(row, "time")
    status = status_in(row, "status")
    throttled = status == throttle.THROTTLED
    said, headers = text_in(row, "error", limit=None) or "", _headers(row)
    return storable(
        UsageEvent(
            minute=minute,
            millisecond=millisecond,
            identity=text_in(row, "id") or text_in(row, "request_id"),
            workspace=text_in(row, "workspace"),
            deployment=text_in(row, "deployment"),
            model=text_in(row, "model"),
            requested_model=text_in(row, "requested_model"),
            endpoint=(text_in(row, "endpoint") or "").partition("?")[0] or None,
            status=status,
            prompt_tokens=whole_in(row, "prompt_tokens"),
            completion_tokens=whole_in(row, "completion_tokens"),
            cached_tokens=whole_in(row, "cached_tokens"),
            max_tokens=whole_in(row, "max_tokens"),
            retry_after_ms=throttle.retry_after_ms(said, headers, minute * 60_000) if throttled else None,
            cause=throttle.classify(status, said, headers),
        )
    )


def _headers(row: Mapping[str, Any]) -> throttle.Headers:
    asked = row.get("retry_after")
    return throttle.headers({"retry-after": asked}) if asked is not None else {}
