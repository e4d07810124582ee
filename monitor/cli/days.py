"""Days as people type them, turned into a period."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeVar

import click
from msgspec import Struct

from monitor.domain.period import Period, month
from monitor.errors import SettingsError

FORMS = "write YYYY-MM-DD, today or yesterday"
FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Nothing was billed before; and days near the ends of the calendar cannot be moved into every time zone."""

Callback = TypeVar("Callback", bound=Callable[..., object])


def day_options(command: Callback) -> Callback:
    """Give a command --from, --to, --day and --month."""
    for option in (
        click.option("--month", metavar="YYYY-MM", help="One calendar month."),
        click.option("--day", metavar="DAY", help="One day: YYYY-MM-DD, today or yesterday."),
        click.option("--to", "to", metavar="DAY", help="Last day, inclusive; default today."),
        click.option("--from", "since", metavar="DAY", help="First day, inclusive; default the first of that month."),
    ):
        command = option(command)
    return command


class Given(Struct, frozen=True, kw_only=True):
    """What was typed for --from, --to, --day and --month."""

    since: str | None = None
    to: str | None = None
    day: str | None = None
    month: str | None = None


def asked(given: Given, *, now: datetime, zone: tzinfo) -> Period | None:
    """Return the period that was asked for, in days of the zone; None if none was.

    --from alone reaches to today, --to alone begins with its month. SettingsError if it cannot be meant.
    """
    if sum(map(bool, (given.since or given.to, given.day, given.month))) > 1:
        raise SettingsError("period", "was given twice", "use one of --from/--to, --day and --month")
    today = now.astimezone(zone).date()
    if given.month:
        return named_month(given.month, zone)
    if given.day:
        first = last = parse_day(given.day, today, "--day")
    elif given.since or given.to:
        last = parse_day(given.to, today, "--to") if given.to else today
        first = parse_day(given.since, today, "--from") if given.since else last.replace(day=1)
    else:
        return None
    if last < first:
        raise SettingsError("period", f"ends ({last}) before it starts ({first})", "swap --from and --to")
    return Period(first=first, last=last, zone=zone)


def default(now: datetime, zone: tzinfo) -> Period:
    """The month that holds now: what every report shows when no days are given."""
    return month(now.astimezone(zone).date(), zone)


def named_month(text: str, zone: tzinfo) -> Period:
    """Return the month written YYYY-MM."""
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise SettingsError("--month", f"{text!r} is not a month", "write YYYY-MM") from None
    return month(_plausible(first, text, "--month"), zone)


def parse_day(text: str, today: date, option: str) -> date:
    """Return the day written YYYY-MM-DD, today or yesterday; SettingsError names the option it was given for."""
    relative = {"today": today, "yesterday": today - timedelta(days=1)}
    if text.lower() in relative:
        return relative[text.lower()]
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise SettingsError(option, f"{text!r} is not a day", FORMS) from None
    return _plausible(day, text, option)


def parse_instant(text: str) -> datetime:
    """Return the instant written as RFC 3339 with its zone, or as a day: then that day's end in UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError("--as-of", f"{text!r} is not a time", "write 2026-11-05 or 2026-11-05T12:00:00Z") from None
    _plausible(instant.date(), text, "--as-of")
    if len(text) == len("2026-11-05"):
        return Period(first=instant.date(), last=instant.date()).end
    if instant.tzinfo is None:
        raise SettingsError("--as-of", "has no time zone", "end it with Z or an offset like +01:00")
    return instant


def _plausible(day: date, text: str, option: str) -> date:
    """Return the day; SettingsError if its year can only be a slip of the keyboard."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise SettingsError(option, f"{text!r} is out of range", f"write a year from {FIRST_YEAR} to {LAST_YEAR}")
    return day
