"""Instants as logs write them, cut into (minute, millisecond), the way the store keeps them.

Digits beyond the millisecond are cut off, never rounded: rounding 23:59:59.9999999 up would move a request into the
next minute, day and bill. A leap second (:60) counts as the last millisecond of its minute. Years 2000 to 2100 are
taken.
"""

import re
from datetime import date
from decimal import Decimal

from monitor.domain.period import EPOCH, MINUTES_A_DAY

Instant = tuple[int, int]
"""Whole minutes since 1970 in UTC, and milliseconds from the start of that minute (0 to 59,999)."""

FIRST_MINUTE = (date(2000, 1, 1) - EPOCH).days * MINUTES_A_DAY
END_MINUTE = (date(2101, 1, 1) - EPOCH).days * MINUTES_A_DAY
A_MINUTE = 60_000
LEAP = A_MINUTE - 1

NOT_RFC3339 = "not an RFC 3339 time with a zone"
OUT_OF_RANGE = "outside the years 2000 to 2100"
NOT_A_NUMBER = "not a number of seconds"

_WHOLE = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
NANOSECOND_DIGITS = 9
_MAX_DIGITS = 40
_MAX_MINUTES = 100_000

# Logs repeat the same minutes in thousands of neighbouring lines.
_minutes: dict[str, int] = {}
_seconds = {f":{second:02}": second * 1000 for second in range(60)}


def parse(text: str) -> Instant:
    """Parse RFC 3339 with a zone and up to 9 fractional digits; a space or 't' may stand for 'T'. ValueError otherwise.

    The usual shapes, in UTC, are put together without a regular expression.
    """
    minute = _minutes.get(text[:16])
    second = _seconds.get(text[16:19])
    if minute is not None and second is not None:
        end = -1 if text[-1] == "Z" else -6 if text[-6:] == "+00:00" else 0
        digits = text[20:end] if end else "?"
        if digits.isdigit() and digits.isascii() and text[19] == "." and len(digits) <= NANOSECOND_DIGITS:
            return minute, second + int(digits[:3].ljust(3, "0"))
        if end and not text[19:end]:
            return minute, second
    return _parse_any(text)


def _parse_any(text: str) -> Instant:
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(NOT_RFC3339)
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        days = date.fromisoformat(day).toordinal() - EPOCH.toordinal()
    except ValueError:
        raise ValueError(NOT_RFC3339) from None
    since = days * MINUTES_A_DAY + int(hour) * 60 + int(minute)
    digits = (fraction or "")[:3]
    millisecond = LEAP if second == "60" else int(second) * 1000 + int(digits.ljust(3, "0"))
    offset = int(hours) * 60 + int(minutes) if sign else 0
    if len(_minutes) >= _MAX_MINUTES:
        _minutes.clear()
    _minutes[text[:16]] = _in_range(since)
    return _in_range(since - offset if sign == "+" else since + offset), millisecond


def _in_range(minute: int) -> int:
    if not FIRST_MINUTE <= minute < END_MINUTE:
        raise ValueError(OUT_OF_RANGE)
    return minute


def from_milliseconds(milliseconds: int) -> Instant:
    """Cut whole milliseconds since 1970; ValueError outside the years 2000 to 2100."""
    minute, millisecond = divmod(milliseconds, A_MINUTE)
    return _in_range(minute), millisecond


def from_seconds(seconds: float | Decimal) -> Instant:
    """Cut seconds since 1970: a whole number, a decimal, or the float that a JSON reader made of one; or ValueError.

    A float is taken at its shortest decimal form, which is what the log said.
    """
    if isinstance(seconds, bool):
        raise ValueError(NOT_A_NUMBER)  # noqa: TRY004 - every refusal here is a ValueError, for one handler
    if isinstance(seconds, int):
        return from_milliseconds(seconds * 1000)
    exact = Decimal(repr(seconds)) if isinstance(seconds, float) else seconds
    if not exact.is_finite():
        raise ValueError(NOT_A_NUMBER)
    # Compared before it is multiplied: 1e999999 would take all memory.
    if not FIRST_MINUTE * 60 <= exact < END_MINUTE * 60:
        raise ValueError(OUT_OF_RANGE)
    return from_milliseconds(int(exact * 1000))


def from_nanoseconds(nanoseconds: int | str) -> Instant:
    """Cut whole nanoseconds since 1970, given as number or as its digits (OTLP/JSON); ValueError otherwise."""
    if isinstance(nanoseconds, str):
        if not (nanoseconds.isascii() and nanoseconds.isdigit() and len(nanoseconds) <= _MAX_DIGITS):
            raise ValueError(NOT_A_NUMBER)
        nanoseconds = int(nanoseconds)
    return from_milliseconds(nanoseconds // 1_000_000)


def to_milliseconds(instant: Instant) -> int:
    """Join what the others cut: milliseconds since 1970."""
    minute, millisecond = instant
    return minute * A_MINUTE + millisecond
