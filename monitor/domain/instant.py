"""Instants as logs write them, cut into (minute, millisecond), the way the store keeps them.

Digits beyond the millisecond are cut off, never rounded: rounding 23:59:59.9999999 up would move a request into the
next minute, day and bill. A leap second (:60) counts as the last millisecond of its minute. Years 2000 to 2100 are
taken.
"""

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

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

_SECONDS = {f":{second:02}": second * 1000 for second in range(60)}
_FRACTIONS = {"": 0} | {
    f".{value:0{width}}": value * 10 ** (3 - width) for width in (1, 2, 3) for value in range(10**width)
}
_MINUTE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)", re.ASCII)
_WHOLE = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):([0-5]\d|60)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_MAX_DIGITS = 40


def parse(text: str) -> Instant:
    """Parse RFC 3339 with a zone and up to 9 fractional digits; a space or 't' may stand for 'T'. ValueError otherwise.

    The usual shape, in UTC with at most 9 digits, is put together from three look-ups.
    """
    if text[-1:] == "Z":
        second = _SECONDS.get(text[16:19])
        fraction = _FRACTIONS.get(text[19:-1][:4])
        if second is not None and fraction is not None:
            finer = text[23:-1]
            if not finer or (finer.isdigit() and finer.isascii() and len(finer) <= 6):
                return _minute(text[:16]), second + fraction
    return _parse_any(text)


def _parse_any(text: str) -> Instant:
    """Parse what RFC 3339 allows beyond the usual shape: offsets, lower case, leap seconds."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(NOT_RFC3339)
    prefix, second, fraction, sign, hours, minutes = match.groups()
    millisecond = LEAP if second == "60" else int(second) * 1000 + int((fraction or "0").ljust(3, "0")[:3])
    minute = _minute(prefix)
    if sign is not None:
        offset = int(hours) * 60 + int(minutes)
        minute = _in_range(minute + (offset if sign == "-" else -offset))
    return minute, millisecond


@lru_cache(maxsize=4096)
def _minute(prefix: str) -> int:
    """Count the minutes up to YYYY-MM-DDTHH:MM; logs repeat it in thousands of neighbouring lines."""
    match = _MINUTE.fullmatch(prefix)
    if match is None:
        raise ValueError(NOT_RFC3339)
    year, month, day, hour, minute = map(int, match.groups())
    if hour > 23 or minute > 59:
        raise ValueError(NOT_RFC3339)
    try:
        days = (date(year, month, day) - EPOCH).days
    except ValueError:
        raise ValueError(NOT_RFC3339) from None
    return _in_range(days * MINUTES_A_DAY + hour * 60 + minute)


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
