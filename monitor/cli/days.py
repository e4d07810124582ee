"""Days as people type them, turned into a period."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeVar

import click
from msgspec import Struct

from monitor.domain.period import Period, month
from monitor.errors import SettingsError

FORMS = "write YYYY-MM-DD, today or yesterday"


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
        first = last = parse_day(given.day, today)
    elif given.since or given.to:
        last = parse_day(given.to, today) if given.to else today
        first = parse_day(given.since, today) if given.since else last.replace(day=1)
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
        return month(date.fromisoformat(f"{text}-01"), zone)
    except ValueError:
        raise SettingsError("--month", f"{text!r} is not a month", "write YYYY-MM") from None


def parse_day(text: str, today: date) -> date:
    """Return the day written YYYY-MM-DD, today or yesterday."""
    relative = {"today": today, "yesterday": today - timedelta(days=1)}
    if text.lower() in relative:
        return relative[text.lower()]
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SettingsError("day", f"{text!r} is not a day", FORMS) from None


def parse_instant(text: str) -> datetime:
    """Return the instant written as RFC 3339 with its zone, or as a day: then that day's end in UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError("--as-of", f"{text!r} is not a time", "write 2026-11-05 or 2026-11-05T12:00:00Z") from None
    if len(text) == len("2026-11-05"):
        return Period(first=instant.date(), last=instant.date()).end
    if instant.tzinfo is None:
        raise SettingsError("--as-of", "has no time zone", "end it with Z or an offset like +01:00")
    return instant
