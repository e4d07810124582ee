"""Days and numbers as cost exports write them.

Two things cannot be told from one cell: whether 03/04/2026 is in March or in April, and whether 1.234 is a bit more
than one or more than a thousand. Both are decided once per export, from all of its cells, before any row is read.
"""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from monitor.domain.money import parse
from monitor.domain.period import day_number

ABSENT = frozenset({"", "null", "none", "nan", "n/a"})
"""What stands in a cell that says nothing, in lower case."""

Point = Literal["point", "comma", "unproven"]

_ISO = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?$",
    re.IGNORECASE,
)
_COMPACT = re.compile(r"(\d{4})/?(\d{2})/?(\d{2})$")
_CLOCK = r"(?:[ T]+\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:\s*[AP]M)?\s*Z?)?$"
_TWO_ORDERS = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4}|\d{2})" + _CLOCK, re.IGNORECASE)
_DAY_FIRST = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d{2})" + _CLOCK, re.IGNORECASE)

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMMAS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})")
_POINTS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")
_BLANKS = str.maketrans("", "", " \u00a0\u202f")
_SIGNS = str.maketrans("", "", "$€£¥")


class Style(Struct, frozen=True, kw_only=True):
    """How an export writes what could be read in two ways; `day_first` is None where nothing proves it.

    Without proof the month comes first, as Azure writes it.
    """

    day_first: bool | None = None
    decimal: Point = "point"

    def joined(self, other: "Style") -> "Style":
        """Return what two parts of one export prove together."""
        day_first = other.day_first if self.day_first is None else self.day_first
        return Style(day_first=day_first, decimal=other.decimal if self.decimal == "unproven" else self.decimal)


def read_day(text: str, *, day_first: bool | None) -> int:
    """Return the UTC day (days since 1970-01-01) of a date or an instant; one without a zone is in UTC."""
    text = text.strip()
    if iso := _ISO.match(text):
        return _iso_day(iso)
    if compact := _COMPACT.match(text):
        return day_number(date(*map(int, compact.groups())))
    if either := _TWO_ORDERS.match(text):
        one, other, year = map(int, either.groups())
        return _day(year, other, one) if day_first else _day(year, one, other)
    if local := _DAY_FIRST.match(text):
        one, other, year = map(int, local.groups())
        return _day(year, other, one)
    raise ValueError("not a date")


def read_number(text: str, decimal: Point) -> Decimal:
    """Return the number, digit for digit; ValueError for what is none, or could be two."""
    text = text.strip().translate(_SIGNS).translate(_BLANKS)
    if decimal == "comma":
        return parse(_with_point(text))
    if decimal == "unproven" and _POINTS.fullmatch(text):
        raise ValueError("could be two numbers")
    if _PLAIN.fullmatch(text):
        return parse(text)
    if _COMMAS.fullmatch(text):
        return parse(text.replace(",", ""))
    raise ValueError("not a number")


def day_order(day: str, others: Iterable[str], first: str, last: str) -> bool | None:
    """Return whether one row proves that the day comes first (True) or the month (False); None if it proves neither.

    A part above 12 can only be a day, in the row's own date or in another one. Else, where the billing period (first
    and last day) is written in a form that needs no proof, the one reading of the date that lies in it is right.
    """
    for text in (day, *others, first, last):
        parts = _TWO_ORDERS.match(text.strip())
        if parts and int(parts[1]) > 12:
            return True
        if parts and int(parts[2]) > 12:
            return False
    if not first or not last or not needs_order(day) or needs_order(first) or needs_order(last):
        return None
    within = [order for order in (True, False) if _lies_in(day, first, last, day_first=order)]
    return within[0] if len(within) == 1 else None


def needs_order(text: str) -> bool:
    """Whether a date is of the form that could be read in two orders."""
    return _TWO_ORDERS.match(text.strip()) is not None


def decimal_mark(text: str) -> Point | None:
    """Return which decimal mark one number proves, None if it could be either."""
    text = text.strip().translate(_SIGNS).translate(_BLANKS)
    if "," in text and not _COMMAS.fullmatch(text):
        return "comma"
    if "." in text and not _POINTS.fullmatch(text):
        return "point"
    return None


def _iso_day(iso: re.Match[str]) -> int:
    day = date.fromisoformat(iso["day"])
    zone = iso["zone"] or "Z"
    if zone.upper() in {"Z", "UTC"}:
        return day_number(day)
    local = datetime.fromisoformat(f"{iso['day']}T{iso['time']}")
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        return day_number((local + offset if zone[0] == "-" else local - offset).date())
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999") from None


def _day(year: int, month: int, day: int) -> int:
    return day_number(date(year + 2000 if year < 100 else year, month, day))


def _lies_in(text: str, first: str, last: str, *, day_first: bool) -> bool:
    try:
        start, end = read_day(first, day_first=False), read_day(last, day_first=False)
        return start <= read_day(text, day_first=day_first) <= end
    except ValueError:
        return False


def _with_point(text: str) -> str:
    """Rewrite a number with a decimal comma; ValueError if its points cannot be thousands."""
    whole, comma, fraction = text.partition(",")
    if "." in fraction or "," in fraction or ("." in whole and not _POINTS.fullmatch(whole)):
        raise ValueError("not a number with a decimal comma")
    rewritten = whole.replace(".", "") + ("." if comma else "") + fraction
    if not _PLAIN.fullmatch(rewritten):
        raise ValueError("not a number")
    return rewritten
