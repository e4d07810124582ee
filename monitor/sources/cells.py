"""What a cell of a table says: text, a count, a status or a time, however the service that sent it wrote that.

Log Analytics writes whole numbers as numbers or as text ("812"), real ones where a query computed them (812.0), times
with seven digits and sometimes without a zone (its times are UTC). None, '' and null are "not said".
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from monitor.domain import instant
from monitor.domain.records import MAX_COUNT
from monitor.sources.completion import MAX_NAME
from monitor.sources.second_look import MAX_DIGITS, UnreadableError

Cells = Mapping[str, Any]

FIRST_STATUS, LAST_STATUS = 100, 999
DATE_AND_TIME = len("2026-11-22T14:57:57")


def text_in(cells: Cells, name: str, *, limit: int | None = MAX_NAME) -> str | None:
    """Return a text, None if there is none; UnreadableError for anything else and for one longer than a name."""
    value = cells.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UnreadableError(f"{name}: not text")
    if limit is not None and len(value) > limit:
        raise UnreadableError(f"{name}: longer than a name")
    return value


def whole_in(cells: Cells, name: str) -> int | None:
    """Return a count, None if there is none; UnreadableError for a negative, broken or impossible one."""
    value = cells.get(name)
    if value is None or value == "":
        return None
    number = _whole(value)
    if number is None or not 0 <= number <= MAX_COUNT:
        raise UnreadableError(f"{name}: not a count")
    return number


def status_in(cells: Cells, name: str) -> int | None:
    """Return an HTTP status; 0 is what a gateway writes where nobody answered it, and stands for none."""
    number = whole_in(cells, name)
    if not number:
        return None
    if not FIRST_STATUS <= number <= LAST_STATUS:
        raise UnreadableError(f"{name}: not a status")
    return number


def instant_in(cells: Cells, name: str) -> instant.Instant:
    """Return a time; one without a zone is UTC. UnreadableError if there is none."""
    value = cells.get(name)
    try:
        if isinstance(value, datetime):
            return instant.from_milliseconds(milliseconds(value))
        if not isinstance(value, str):
            raise ValueError("missing" if value is None else "not a time")  # noqa: TRY004, TRY301 - told below
        return instant.parse(value if _has_zone(value) else f"{value}Z")
    except ValueError as error:
        raise UnreadableError(f"{name}: {error}") from None


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since 1970, cut off, never rounded."""
    whole = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 1000 + whole.microseconds // 1000


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or len(value) > MAX_DIGITS:
        return None
    digits = value.strip()
    if digits.isascii() and digits.isdigit():
        return int(digits)
    return _of_real(digits)


def _of_real(digits: str) -> int | None:
    """Return a whole number written as a real one, like "812.0"."""
    whole, point, fraction = digits.partition(".")
    wholly = point and whole.isascii() and whole.isdigit() and not fraction.strip("0")
    return int(whole) if wholly else None


def _has_zone(written: str) -> bool:
    return written[-1:] in {"Z", "z"} or any(sign in written[DATE_AND_TIME:] for sign in "+-")
