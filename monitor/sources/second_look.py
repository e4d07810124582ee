"""The second look at a record that the typed decoder refused, and the reasons given for what stays refused.

The standard library takes what msgspec does not (NaN, 1e400, half a surrogate pair), so that an odd but harmless field
loses no record. A reason names fields and types; it never quotes the record.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from monitor.domain.records import Ignored, Outcome, Rejected, UsageEvent

NOT_JSON = "not valid JSON"
NOT_UTF8 = "not valid UTF-8"
TOO_DEEP = "nested too deeply"
NOT_TEXT = "a name that is not text"

MAX_DIGITS = 100

T = TypeVar("T")


class UnreadableError(ValueError):
    """A record is not what it should be; `reason` says in what."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def loads(text: str) -> Any:
    """Decode JSON; UnreadableError for anything else."""
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_int=_whole_number)
    except RecursionError:
        raise UnreadableError(TOO_DEEP) from None
    except ValueError:
        raise UnreadableError(NOT_JSON) from None


def loads_bytes(record: bytes) -> Any:
    """Decode JSON in UTF-8, which the standard library would not insist on; UnreadableError for anything else."""
    try:
        return loads(record.decode("utf-8"))
    except UnicodeDecodeError:
        raise UnreadableError(NOT_UTF8) from None


def decode(record: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a record as the decoder's type, with a second look; UnreadableError says what is wrong."""
    try:
        value = decoder.decode(record)
        # msgspec skips unused text without looking at it; a record that is not UTF-8 throughout is not JSON.
        if not record.isascii():
            record.decode("utf-8")
    except (ValueError, RecursionError):
        return convert(loads_bytes(record), decoder.type)
    return value


_objects = msgspec.json.Decoder(dict[str, Any])


def decode_object(record: bytes) -> dict[str, Any]:
    """Decode a JSON object without checking its fields; UnreadableError for anything else."""
    return decode(record, _objects)


def _whole_number(digits: str) -> int:
    # Python refuses to read more than 4,300 digits; whatever they say, it is above every limit of ours.
    return int(digits) if len(digits) <= MAX_DIGITS else int(digits[0] + "9" * (MAX_DIGITS - 1))


def convert(value: Any, type_: type[T]) -> T:
    """Check a decoded value against a Struct; UnreadableError names the field."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise UnreadableError(reason(error)) from None


_WHAT_AND_WHERE = re.compile(r"(.*?)(?: - at `\$?\.?(.*)`)?", re.DOTALL)


def reason(error: msgspec.ValidationError) -> str:
    """Say what a typed decoder found wrong: names and types of our own Structs."""
    match = _WHAT_AND_WHERE.fullmatch(str(error))
    assert match is not None
    what = match[1].replace("`", "")
    return f"{match[2]}: {what[:1].lower()}{what[1:]}" if match[2] else what


def storable(event: UsageEvent) -> Outcome:
    """Return the event, or why its names cannot be kept: a NUL or half a surrogate pair is text to no store."""
    names = (event.identity, event.workspace, event.deployment, event.model, event.requested_model, event.endpoint)
    together = "".join(filter(None, names))
    try:
        together.encode("utf-8")
    except UnicodeEncodeError:
        return Rejected(NOT_TEXT)
    return Rejected(NOT_TEXT) if "\0" in together else event


def outcome_of(
    record: bytes, decoder: msgspec.json.Decoder[T], interpret: Callable[[T], UsageEvent | Ignored]
) -> Outcome:
    """Decode a record and say what it counts as; it is rejected with a reason where it cannot be understood."""
    try:
        outcome = interpret(decode(record, decoder))
    except UnreadableError as error:
        return Rejected(error.reason)
    return storable(outcome) if isinstance(outcome, UsageEvent) else outcome
