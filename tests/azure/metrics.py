"""Azure Monitor's metrics of Foundry accounts, as far as they are known to behave (azure.md, 2.3).

Driven by points and accounts that tests add to. What the real one does, and so does this:

- a point is shown from `visible_at` on, by the clock `now`; points of one minute and series add up;
- `top` cuts series off at 10 unless more are asked for, without a word;
- a time span above 31 days is cut to its first 31, without a word but in the answer's `timespan`;
- an answer above 8 MB is refused with status 400, and so are splits that the metric does not have;
- names of dimensions come back in lower case, values as they are, `__Empty` where there is none;
- totals are numbers with a decimal point; minutes without a value are 0.0 (`fill`: "zero"), null ("null") or not there
  ("sparse");
- one metric may fail inside an answer with status 200 (`failing`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import unquote

from monitor.domain.period import MINUTES_A_DAY, instant_of, minute_number, rfc3339
from tests.azure.server import Answer, Call, Server, error

EMPTY = "__Empty"
TOKENS = {"modeldeploymentname", "modelname", "modelversion", "apiname", "region"}
DIMENSIONS = {
    "inputtokens": TOKENS,
    "outputtokens": TOKENS,
    "modelrequests": TOKENS | {"statuscode", "operationname", "streamtype"},
}
LONGEST = timedelta(days=31)
MOST_BYTES = 8 * 1024 * 1024
KEPT = timedelta(days=93)


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one deployment did in one minute (since 1970); `requests` by status. Shown a minute later, if not said."""

    account: str
    deployment: str = EMPTY
    model: str = EMPTY
    minute: int
    requests: Mapping[str, int] = field(default_factory=dict)
    input_tokens: int | Decimal | None = None
    output_tokens: int | Decimal | None = None
    visible_at: datetime | None = None

    @property
    def shown_from(self) -> datetime:
        return self.visible_at or instant_of(self.minute + 1) + timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A Cognitive Services account; only those of kind AIServices have models of other makers."""

    id: str
    kind: str = "AIServices"
    location: str = "eastus2"


class Metrics:
    """The metrics of some accounts; `register` them on a server and change them at will."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.accounts: list[Account] = []
        self.failing: dict[str, str] = {}
        self.fill: Literal["zero", "null", "sparse"] = "zero"
        self.most_bytes = MOST_BYTES
        self._points: dict[tuple[str, int], list[Point]] = defaultdict(list)

    def add(self, points: Iterable[Point]) -> None:
        """Let more happen."""
        for point in points:
            self._points[point.account.lower(), point.minute // MINUTES_A_DAY].append(point)

    def register(self, server: Server, *, lists_accounts: bool = True) -> None:
        """Answer on a server; without `lists_accounts` somebody else does that there."""
        server.route("GET", r"(/subscriptions/.+)/providers/microsoft\.insights/metrics", self._metrics)
        if lists_accounts:
            listing = r"(/subscriptions/.+?)/providers/microsoft\.cognitiveservices/accounts"
            server.route("GET", listing, self._list)

    def _list(self, call: Call) -> Answer:
        """List accounts, one a page: the first page may be empty and have a next one."""
        assert call.match
        scope = call.match[1].lower() + "/"
        some = [one for one in self.accounts if one.id.lower().startswith(scope)]
        at = int(call.query.get("$skip", 0))
        value = [
            {"id": one.id, "name": one.id.rpartition("/")[2], "kind": one.kind, "location": one.location}
            for one in some[at - 1 : at]
        ]
        body: dict[str, Any] = {"value": value}
        if at < len(some):
            body["nextLink"] = f"http://{call.headers['host']}{call.path}?api-version=x&$skip={at + 1}"
        return Answer(body=body)

    def _metrics(self, call: Call) -> Answer:
        assert call.match
        account = unquote(call.match[1]).lower()
        known = {one.id.lower(): one for one in self.accounts}
        if account not in known:
            return error(404, "ResourceNotFound", f"The Resource '{account}' was not found.")
        try:
            first, end = (datetime.fromisoformat(one) for one in call.query["timespan"].split("/"))
            splits = _splits(call.query.get("$filter", ""))
        except (KeyError, ValueError):
            return error(400, "BadRequest", "The time interval or the filter is not valid.")
        if first < self.now() - KEPT:
            return error(400, "BadRequest", "The start time is before the retention of metrics.")
        end = min(end, first + LONGEST)
        metrics = call.query["metricnames"].split(",")
        unknown = [one for one in splits for metric in metrics if one.lower() not in DIMENSIONS.get(metric.lower(), ())]
        if unknown:
            return error(400, "BadRequest", f"Metric does not support requested dimension {unknown[0]}.")
        top = int(call.query.get("top", 10))
        value = [self._metric(account, metric, splits, (first, end), top) for metric in metrics]
        if sum(60 * len(series["data"]) for one in value for series in one["timeseries"]) > self.most_bytes:
            return error(400, "BadRequest", "The response is larger than 8 MB.")
        body = {
            "cost": 1,
            "timespan": f"{rfc3339(first.astimezone(UTC))}/{rfc3339(end.astimezone(UTC))}",
            "interval": call.query["interval"],
            "value": value,
            "namespace": "Microsoft.CognitiveServices/accounts",
            "resourceregion": known[account].location,
        }
        return Answer(body=body)

    def _metric(
        self, account: str, metric: str, splits: list[str], span: tuple[datetime, datetime], top: int
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": f"{account}/providers/Microsoft.Insights/metrics/{metric}",
            "type": "Microsoft.Insights/metrics",
            "name": {"value": metric, "localizedValue": metric},
            "unit": "Count",
            "timeseries": [],
            "errorCode": self.failing.get(metric, "Success"),
        }
        if metric in self.failing:
            return found
        sums: dict[tuple[str, ...], dict[int, int | Decimal]] = defaultdict(lambda: defaultdict(int))
        first, end = (minute_number(one) for one in span)
        for point in self._visible(account, first, end):
            for dimensions, total in _values(metric, point):
                sums[tuple(dimensions[split.lower()] for split in splits)][point.minute] += total
        found["timeseries"] = [
            {
                "metadatavalues": [
                    {"name": {"value": split.lower(), "localizedValue": split.lower()}, "value": value}
                    for split, value in zip(splits, key, strict=True)
                ],
                "data": list(self._data(minutes, first, end)),
            }
            for key, minutes in sorted(sums.items())[:top]
        ]
        return found

    def _visible(self, account: str, first: int, end: int) -> Iterator[Point]:
        now = self.now()
        for day in range(first // MINUTES_A_DAY, end // MINUTES_A_DAY + 1):
            for point in self._points.get((account, day), ()):
                if first <= point.minute < end and point.shown_from <= now:
                    yield point

    def _data(self, minutes: Mapping[int, int | Decimal], first: int, end: int) -> Iterator[dict[str, Any]]:
        for minute in sorted(minutes) if self.fill == "sparse" else range(first, end):
            point: dict[str, Any] = {"timeStamp": _time(minute)}
            if minute in minutes or self.fill == "zero":
                point["total"] = float(minutes.get(minute, 0))
            yield point


@lru_cache(maxsize=100_000)
def _time(minute: int) -> str:
    return rfc3339(instant_of(minute))


def _splits(filter_: str) -> list[str]:
    """The dimensions that a filter splits by, such as "A eq '*' and B eq '*'"."""
    splits = []
    for part in filter(None, filter_.split(" and ")):
        name, operator, value = part.split(" ")
        if (operator, value) != ("eq", "'*'"):
            raise ValueError(part)
        splits.append(name)
    return splits


def _values(metric: str, point: Point) -> Iterator[tuple[dict[str, str], int | Decimal]]:
    dimensions = {"modeldeploymentname": point.deployment, "modelname": point.model}
    tokens = {"inputtokens": point.input_tokens, "outputtokens": point.output_tokens}.get(metric.lower())
    if tokens is not None:
        yield dimensions, tokens
    elif metric.lower() == "modelrequests":
        for status, requests in point.requests.items():
            yield {**dimensions, "statuscode": status}, requests
