"""What one answer of Azure Monitor says of an account's models: token and request series, made into minutes.

An answer that may have been cut short is none (`Cut`): as many series as were asked for at most, another time span or
another interval than was asked for. A value that is null or left out is not known; 0 is said.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import Struct, ValidationError, convert, field

from monitor.domain.metered import Said, Unusable
from monitor.domain.period import instant_of, minute_number, rfc3339
from monitor.domain.records import MAX_COUNT

TOP = 1_000
"""Series asked for at most; Azure's own default, 10, cuts the rest off without a word."""

INTERVAL = "PT1M"
INPUT, OUTPUT, REQUESTS = "InputTokens", "OutputTokens", "ModelRequests"
DEPLOYMENT, MODEL, STATUS = "ModelDeploymentName", "ModelName", "StatusCode"
EMPTY = "__Empty"
"""Azure's word for a dimension that a request came without."""

FAILED, THROTTLED = 400, 429


class Cut(Exception):  # noqa: N818 - it never leaves the sources of metrics, which ask again for less.
    """An answer that does not hold all that was asked for, or was refused as too much: why."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Malformed(Exception):  # noqa: N818 - see Cut.
    """An answer without the metrics that were asked for: why."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class _Name(Struct):
    value: str


class _Dimension(Struct):
    name: _Name
    value: str | None = None


class _Point(Struct):
    at: str = field(name="timeStamp")
    total: Any = None


class _Series(Struct):
    dimensions: list[_Dimension] = field(name="metadatavalues", default_factory=list)
    data: list[_Point] = field(default_factory=list)

    def named(self, dimension: str) -> str | None:
        """Return the value of a dimension, whose name Azure gives back in lower case; None where it is not known."""
        for one in self.dimensions:
            if one.name.value.lower() == dimension.lower():
                return None if one.value in (None, "", EMPTY) else one.value
        return None


class _Metric(Struct):
    name: _Name
    series: list[_Series] = field(name="timeseries", default_factory=list)
    error: str = field(name="errorCode", default="Success")


class _Answer(Struct):
    span: str = field(name="timespan")
    metrics: list[_Metric] = field(name="value")
    interval: str = ""
    region: str = field(name="resourceregion", default="")


class Answer(Struct, frozen=True, kw_only=True):
    """What was said: by deployment and model as Azure names them (None: not said), then by minute.

    `said` says whether there was any series at all; `outside` counts values of other minutes than those asked for.
    """

    region: str
    said: bool
    minutes: dict[tuple[str | None, str | None], dict[int, Said]]
    outside: int
    rejected: list[Unusable]


def span(first: int, end: int) -> str:
    """Write minutes (since 1970, half-open) as Azure Monitor takes them."""
    return f"{rfc3339(instant_of(first))}/{rfc3339(instant_of(end))}"


def parse(payload: Any, metrics: Sequence[str], first: int, end: int, account: str) -> Answer:
    """Take an answer apart; Cut if it may not be whole, Malformed if it is none."""
    try:
        answer = convert(payload, _Answer, strict=False)
    except ValidationError:
        raise Malformed("is not one of metrics") from None
    _whole(answer, metrics, first, end)
    reading = _Reading(account, first, end)
    for metric in answer.metrics:
        for series in metric.series:
            reading.read(metric.name.value, series)
    return Answer(
        region=answer.region.replace(" ", "").lower(),
        said=any(metric.series for metric in answer.metrics),
        minutes={key: dict(minutes) for key, minutes in reading.minutes.items()},
        outside=reading.outside,
        rejected=reading.rejected,
    )


def joined(answers: Iterable[Answer]) -> Answer:
    """Put answers about the same minutes of one account together; each of them speaks of other metrics."""
    some = list(answers)
    minutes: dict[tuple[str | None, str | None], dict[int, Said]] = defaultdict(dict)
    for answer in some:
        for key, said in answer.minutes.items():
            for minute, one in said.items():
                minutes[key][minute] = minutes[key].get(minute, Said()).plus(one)
    return Answer(
        region=next((answer.region for answer in some if answer.region), ""),
        said=any(answer.said for answer in some),
        minutes=dict(minutes),
        outside=sum(answer.outside for answer in some),
        rejected=[one for answer in some for one in answer.rejected],
    )


def _whole(answer: _Answer, metrics: Sequence[str], first: int, end: int) -> None:
    """Refuse an answer that lacks something; the reasons quote only Azure's own short words."""
    for metric in answer.metrics:
        if metric.error not in ("", "Success"):
            raise Malformed(f"has no {metric.name.value[:40]!r} ({metric.error[:40]})")
    missing = {one.lower() for one in metrics} - {metric.name.value.lower() for metric in answer.metrics}
    if missing:
        raise Malformed(f"lacks {', '.join(one for one in metrics if one.lower() in missing)}")
    if sum(len(metric.series) for metric in answer.metrics) >= TOP:
        raise Cut(f"has {TOP:,} series or more")
    if answer.interval != INTERVAL or _minutes(answer.span) != (first, end):
        raise Cut("is about other minutes than were asked for")


def _minutes(said: str) -> tuple[int, int] | None:
    first, _, end = said.partition("/")
    try:
        return minute_number(datetime.fromisoformat(first)), minute_number(datetime.fromisoformat(end))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _minute(at: str) -> int | None:
    """The minute of a bucket's time; the same ones come in every series."""
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    return minute_number(instant) if instant.tzinfo else None


class _Reading:
    """Adds up the series of one answer."""

    def __init__(self, account: str, first: int, end: int) -> None:
        self._account, self._first, self._end = account, first, end
        self.minutes: Mapping[tuple[str | None, str | None], dict[int, Said]] = defaultdict(dict)
        self.outside, self.rejected = 0, list[Unusable]()

    def read(self, metric: str, series: _Series) -> None:
        """Add one series to the minutes of its deployment."""
        into = self.minutes[series.named(DEPLOYMENT), series.named(MODEL)]
        status = series.named(STATUS)
        for minute, total in self._totals(metric, series):
            into[minute] = into.get(minute, Said()).plus(_said(metric, status, total))

    def _totals(self, metric: str, series: _Series) -> Iterator[tuple[int, int]]:
        for point in series.data:
            if point.total is None:
                continue
            minute, total = _minute(point.at), whole(point.total)
            if minute is None or total is None:
                self._refuse(metric, series, minute, "is at no time" if minute is None else "is no whole number")
            elif self._first <= minute < self._end:
                yield minute, total
            elif total:
                self.outside += 1

    def _refuse(self, metric: str, series: _Series, minute: int | None, reason: str) -> None:
        names = [series.named(dimension) or "" for dimension in (DEPLOYMENT, MODEL, STATUS)]
        where = "/".join((self._account, metric, *names)).rstrip("/")
        self.rejected.append(Unusable(object=where, minute=minute or self._first, reason=f"a metric's value {reason}"))


def whole(total: Any) -> int | None:
    """Return a count that Azure writes as a number, often with a decimal point; None if it is none."""
    if isinstance(total, bool) or not isinstance(total, int | Decimal):
        return None
    # In this order: NaN cannot be compared, and a huge exponent must not become an integer.
    if not Decimal(total).is_finite() or not 0 <= total <= MAX_COUNT or total != int(total):
        return None
    return int(total)


def _said(metric: str, status: str | None, total: int) -> Said:
    if metric.lower() == INPUT.lower():
        return Said(prompt_tokens=total)
    if metric.lower() == OUTPUT.lower():
        return Said(completion_tokens=total)
    code = int(status) if status and status.isascii() and status.isdigit() else 0
    throttled = total if code == THROTTLED else 0
    return Said(requests=(total, total - throttled if code >= FAILED else 0, throttled))
