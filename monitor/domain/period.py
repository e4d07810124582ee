"""Time: UTC inside, aware, half-open.

A day is `days since 1970-01-01` (int) where it is a key and `datetime.date` where people see it; a minute is `minutes
since 1970-01-01T00:00Z`. A report day may lie in another zone: it starts and ends at that zone's midnights, so days
are 23 to 25 hours long around daylight-saving changes and still add up to the range.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1)
MINUTES_A_DAY = 1440


@dataclass(frozen=True, kw_only=True)
class Period:
    """Whole days of one zone: `first` and `last` inclusive as people say them, `start` and `end` half-open in UTC."""

    first: date
    last: date
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"the period ends ({self.last}) before it starts ({self.first})")

    @property
    def start(self) -> datetime:
        """The first instant of the period, in UTC."""
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first instant after the period, in UTC."""
        return midnight(self.last + timedelta(days=1), self.zone)

    def days(self) -> Iterator[date]:
        """Every day of the period, in order."""
        for offset in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=offset)

    def is_month(self) -> bool:
        """Whether the period is exactly one calendar month."""
        return self.first.day == 1 and self.last == month(self.first).last


def midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day in a zone, in UTC; where a change skips midnight, the instant the day begins."""
    local = datetime.combine(day, time(), zone)
    return local.astimezone(UTC)


def month(day: date, zone: tzinfo = UTC) -> Period:
    """The calendar month that holds `day`."""
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Period(first=first, last=following - timedelta(days=1), zone=zone)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """The date of a day number."""
    return EPOCH + timedelta(days=number)


def minute_number(instant: datetime) -> int:
    """Whole minutes since 1970-01-01T00:00Z."""
    return int(instant.timestamp() // 60)


def instant_of(minute: int) -> datetime:
    """The first instant of a minute, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


def nanoseconds(instant: datetime) -> int:
    """Return an aware instant as nanoseconds since 1970, of which Python tells whole microseconds apart."""
    return (instant - midnight(EPOCH, UTC)) // timedelta(microseconds=1) * 1000


def instant_of_nanoseconds(count: int) -> datetime:
    """Return the instant of so many nanoseconds since 1970, in whole microseconds."""
    return midnight(EPOCH, UTC) + timedelta(microseconds=count // 1000)


def rfc3339(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC, without fractions when it has none."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def zone_named(name: str) -> tzinfo:
    """Return the IANA zone of that name; ZoneInfoNotFoundError or ValueError if there is none."""
    return UTC if name.upper() in {"UTC", "Z"} else ZoneInfo(name)
