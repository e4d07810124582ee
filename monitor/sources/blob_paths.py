"""The names of blobs that a source reads, and which of them have to be listed.

A pattern has wildcards, {labels}, and {year} {month} {day} {hour} where the names say when their blobs were written:
four and two digits, in UTC as Azure writes them. The last hours are then found by beginnings of names, and what lies
before them is not listed at all.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from monitor.errors import SettingsError
from monitor.sources.objects import expression

PLACES = {"year": "[0-9]{4}", "month": "[0-9]{2}", "day": "[0-9]{2}", "hour": "[0-9]{2}"}
MOST_DAYS = 62
"""To list so many days one by one takes no fewer requests than to list everything."""

_WILD = re.compile(r"[*?\[{]")
_NO_TIME = re.compile(r"[*?\[]|\{(?!(?:year|month|day)\})")


class Span(Struct, frozen=True):
    """From an instant up to another, in UTC."""

    start: datetime
    end: datetime

    def meets(self, other: "Span") -> bool:
        """Whether they have an instant in common."""
        return self.start < other.end and other.start < self.end


class Name(Struct, frozen=True, kw_only=True):
    """What a blob's name says: its labels, and the time it is filed under; None if it says none."""

    labels: dict[str, str]
    filed: Span | None


class Names:
    """The names that a pattern stands for; SettingsError if it cannot be meant."""

    def __init__(self, pattern: str, subject: str) -> None:
        self._regex = re.compile(expression(pattern, subject, PLACES))
        self._places = [place for place in PLACES if place in self._regex.groupindex]
        if self._places != list(PLACES)[: len(self._places)]:
            raise SettingsError(
                subject, f"{{{self._places[-1]}}} alone names no time", "write {year}, {month}, {day} and {hour}"
            )
        at = pattern.find("{year}") if self._places else 0
        self._folder, self._rest = _cut(pattern, pattern.rfind("/", 0, at) + 1)
        if "**" in self._folder or not self._places:
            self._folder, self._rest = "", pattern

    @property
    def timed(self) -> bool:
        """Whether names tell when their blobs were written."""
        return bool(self._places)

    def matched(self, name: str) -> Name | None:
        """Take a blob's name apart; None if the pattern does not stand for it."""
        match = self._regex.fullmatch(name)
        if match is None:
            return None
        said = match.groupdict()
        return Name(
            labels={label: value for label, value in said.items() if label not in PLACES},
            filed=_filed([int(said[place]) for place in self._places]),
        )

    def prefixes(self, window: Span | None, folders: Callable[[str], Iterable[str]]) -> Iterator[str]:
        """Yield what the names begin with: those filed within a window, or all.

        `folders` lists the folders right below a prefix.
        """
        beginnings = self._beginnings(window)
        for folder in _below("", self._folder.split("/")[:-1], folders):
            yield from (folder + beginning for beginning in beginnings)

    def _beginnings(self, window: Span | None) -> list[str]:
        """Beginnings of the pattern's rest, which names the days of a window as far as only literal text is between."""
        lead = _literal(self._rest, _NO_TIME)
        if window is None or window.end - window.start > timedelta(days=MOST_DAYS) or "{year}" not in lead:
            return [_literal(self._rest, _WILD)]
        first = window.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        days = [first + timedelta(days=number) for number in range((window.end - first) // timedelta(days=1) + 1)]
        return list(dict.fromkeys(_on(lead, one) for one in days if one < window.end))


def _on(text: str, day: datetime) -> str:
    """Write a day in the places of a text."""
    said = {"{year}": f"{day.year:04}", "{month}": f"{day.month:02}", "{day}": f"{day.day:02}"}
    return re.sub(r"\{\w+\}", lambda place: said[place[0]], text)


def _cut(text: str, at: int) -> tuple[str, str]:
    return text[:at], text[at:]


def _literal(pattern: str, until: "re.Pattern[str]") -> str:
    found = until.search(pattern)
    return pattern[: found.start()] if found else pattern


def _below(prefix: str, steps: list[str], folders: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Descend step by step into the folders that can match; steps without a wildcard are not asked for."""
    literal = [_WILD.search(step) is None for step in steps]
    if all(literal):
        yield prefix + "".join(f"{step}/" for step in steps)
        return
    wild = literal.index(False)
    prefix += "".join(f"{step}/" for step in steps[:wild])
    step = re.compile(expression(steps[wild], ""))
    for folder in folders(prefix + _literal(steps[wild], _WILD)):
        if step.fullmatch(folder[len(prefix) :].rstrip("/")):
            yield from _below(folder, steps[wild + 1 :], folders)


def _filed(numbers: list[int]) -> Span | None:
    """The year, month, day or hour of these numbers; None if there is none or it is no time."""
    if not numbers:
        return None
    year, month, day, hour = [*numbers, *(1, 1, 1, 0)[len(numbers) :]]
    try:
        start = datetime(year, month, day, hour, tzinfo=UTC)
        match len(numbers):
            case 1:
                end = start.replace(year=year + 1)
            case 2:
                end = (start + timedelta(days=31)).replace(day=1)
            case count:
                end = start + timedelta(days=1 if count == 3 else 0, hours=1 if count == 4 else 0)
    except (ValueError, OverflowError):
        return None
    return Span(start, end)
