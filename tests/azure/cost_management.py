"""Cost Management's query as Azure serves it, over rows that a test or a simulated tenant keeps.

It evaluates the body it is sent: timePeriod, filter, groupings, aggregations and granularity. It pages by a nextLink
that wants the same body again, shuffles its columns, answers 204 where it knows nothing, hides Marketplace charges from
management groups, and refuses whoever passes a limit with the headers and the body that Azure uses.
"""

import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from threading import Lock
from typing import Any

from tests.azure.server import Answer, Call, Server, error

QUERY = r"(?P<scope>/.+?)/providers/Microsoft\.CostManagement/query"
RATE = "x-ms-ratelimit-microsoft.costmanagement"
TENANT_LIMITS = ((12, 10), (60, 60), (600, 3600))
"""Units in seconds; a unit is a month of data."""
DIMENSIONS = {
    "resourceid": "resource_id",
    "meter": "meter",
    "unitofmeasure": "unit",
    "publishertype": "publisher_type",
    "servicename": "service_name",
    "metercategory": "service_name",
    "resourcegroupname": "resource_group",
    "subscriptionid": "subscription",
    "chargetype": "charge_type",
}
MEASURES = {"cost": "cost", "pretaxcost": "cost", "usagequantity": "quantity"}


@dataclass(kw_only=True)
class CostRow:
    """What one meter of one resource cost on one UTC day; a day may have several of one meter."""

    day: date
    subscription: str
    resource_group: str
    resource_id: str
    meter: str
    cost: Decimal
    quantity: Decimal = Decimal(0)
    unit: str = "1K"
    currency: str = "USD"
    publisher_type: str = "Marketplace"
    service_name: str = "SaaS"
    charge_type: str = "Usage"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One query as it came in, refused or not."""

    at: datetime
    scope: str
    body: dict[str, Any]
    units: int
    page: int
    refused: bool
    client_type: str


@dataclass(kw_only=True)
class CostManagement:
    """Cost Management behind a server; change any field while it runs.

    `rows`: what was billed. `groups`: which subscriptions lie in a management group or a billing scope (its whole path,
    in lower case). `now`: the time by which limits are kept; without `limited` nobody is refused, but passing a limit
    still counts in `violations`. `page_size`: rows of a page. `most_groupings`: 3, or 2 as documented.
    `resource_ids_everywhere`: whether ResourceId can be grouped at scopes above a subscription. `stray_day`: add a
    row of the day after the asked ones. `empty`: how it says that it knows nothing: 204 or 200 without rows.
    `silent_cut`: so many rows and no nextLink. `last_day_only`: of several days only the last. `instead`: answers given
    first, one for each request, None for the usual one. `changing`: changes any answer before it is sent.
    """

    server: Server
    rows: list[CostRow] = field(default_factory=list)
    groups: dict[str, set[str]] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    limited: bool = True
    per_scope: int = 4
    page_size: int = 1000
    most_groupings: int = 3
    resource_ids_everywhere: bool = False
    stray_day: bool = False
    shuffled: bool = True
    empty: int = 204
    silent_cut: int | None = None
    last_day_only: bool = False
    instead: deque[Answer | None] = field(default_factory=deque)
    changing: Callable[[Answer], Answer] | None = None
    asked: list[Asked] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    elsewhere: list[tuple[datetime, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._random = random.Random(7)
        self.server.route("POST", QUERY, self._query)

    def in_portal(self, units: int) -> None:
        """Somebody clicks in Cost Analysis, which draws on the tenant's units."""
        self.elsewhere.append((self.now(), units))

    def _query(self, call: Call) -> Answer:
        assert call.match is not None
        scope = call.match["scope"].lower()
        with self._lock:
            body = call.json()
            units, page = _months(body), _offset(call, body)
            refusal = self._over_limits(scope, units)
            client = call.headers.get("clienttype", "")
            here = {"scope": scope, "body": body, "units": units, "page": max(page, 0), "client_type": client}
            self.asked.append(Asked(at=self.now(), refused=refusal is not None, **here))
            if refusal is not None:
                return refusal
            answer = self.instead.popleft() if self.instead else None
            answer = answer or self._answer(call, scope, body, page)
            return self.changing(answer) if self.changing else answer

    # Limits ----------------------------------------------------------------------------------------------------------

    def _over_limits(self, scope: str, units: int) -> Answer | None:
        now, headers = self.now(), {}
        recent = [one for one in self.asked if not one.refused and one.at > now - timedelta(hours=1)]
        ours = [(one.at, one.units) for one in recent]
        of_scope = [(one.at, 1) for one in recent if one.scope == scope]
        alone = _wait(of_scope, now, self.per_scope, 60, 1)
        if alone:
            headers[f"{RATE}-entity-retry-after"] = str(alone)
        for limit, seconds in TENANT_LIMITS:
            if wait := _wait(ours, now, limit, seconds, units):
                self.violations.append(f"{now}: more than {limit} units in {seconds} s")
            wait = max(wait, _wait(sorted(ours + self.elsewhere), now, limit, seconds, units))
            if wait:
                known = int(headers.get(f"{RATE}-qpu-retry-after", 0))
                headers[f"{RATE}-qpu-retry-after"] = str(max(wait, known))
        if alone:
            self.violations.append(f"{now}: more than {self.per_scope} requests in 60 s of {scope}")
        return too_many(headers) if headers and self.limited else None

    def _remaining(self, scope: str, units: int) -> dict[str, str]:
        now = self.now()
        left = {
            seconds: limit - sum(one.units for one in self.asked if one.at > now - timedelta(seconds=seconds))
            for limit, seconds in TENANT_LIMITS
        }
        mine = self.per_scope - sum(one.scope == scope and one.at > now - timedelta(seconds=60) for one in self.asked)
        return {
            f"{RATE}-qpu-consumed": str(units),
            f"{RATE}-qpu-remaining": f"QueriesPerHour:{left[3600]},QueriesPerMin:{left[60]},QueriesPer10Sec:{left[10]}",
            "x-ms-ratelimit-remaining-microsoft.costmanagement-entity-requests": f"DefaultQuota:{mine}",
        }

    # Answers ---------------------------------------------------------------------------------------------------------

    def _answer(self, call: Call, scope: str, body: Mapping[str, Any], page: int) -> Answer:
        if page < 0:
            return error(400, "BadRequest", "The skiptoken does not belong to this query.")
        try:
            columns, rows = self._evaluated(scope, body)
        except ValueError as wrong:
            return error(400, "BadRequest", str(wrong))
        headers = self._remaining(scope, _months(body))
        if not rows and self.empty == 204:
            return Answer(status=204, body=b"", headers=headers)
        if self.silent_cut is not None:
            rows, link = rows[: self.silent_cut], None
        else:
            rows, link = self._page(call, body, rows, page)
        order = list(range(len(columns)))
        if self.shuffled:
            self._random.shuffle(order)
        properties = {
            "nextLink": link,
            "columns": [{"name": columns[at][0], "type": columns[at][1]} for at in order],
            "rows": [[row[at] for at in order] for row in rows],
        }
        whole = {"id": scope.lstrip("/"), "name": "query", "type": "Microsoft.CostManagement/query"}
        return Answer(body=whole | {"properties": properties}, headers=headers)

    def _page(
        self, call: Call, body: Mapping[str, Any], rows: list[list[Any]], page: int
    ) -> tuple[list[list[Any]], str | None]:
        end = page + self.page_size
        if end >= len(rows):
            return rows[page:end], None
        token = urlsafe_b64encode(f"{_digest(body)}:{end}".encode()).decode()
        version = call.query.get("api-version", "")
        return rows[page:end], f"{self.server.address}{call.path}?api-version={version}&$skiptoken={token}"

    def _evaluated(self, scope: str, body: Mapping[str, Any]) -> tuple[list[tuple[str, str]], list[list[Any]]]:
        first, last = _period(body)
        dataset = body["dataset"]
        daily = dataset.get("granularity") == "Daily"
        if daily and (last - first).days > 30:
            raise ValueError("The time period for pulling daily data cannot exceed 31 days.")
        names = self._groupings(scope, dataset.get("grouping", []))
        measures = [one["name"] for one in dataset["aggregation"].values()]
        if not measures or any(name.lower() not in MEASURES for name in measures):
            raise ValueError("Invalid query definition, unknown aggregation.")
        if self.last_day_only and first < last:
            first = last
        if self.stray_day:
            last += timedelta(days=1)
        here = [row for row in self.rows if first <= row.day <= last and self._lies_in(row, scope)]
        kept = [row for row in here if _passes(row, dataset.get("filter"))]
        return _columns(measures, names, daily), _summed(kept, measures, names, daily)

    def _groupings(self, scope: str, grouping: Iterable[Mapping[str, str]]) -> list[str]:
        names = [one["name"] for one in grouping]
        if len(names) > self.most_groupings:
            raise ValueError(f"Invalid query definition, a query can have up to {self.most_groupings} groupings.")
        for name in names:
            if name.lower() not in DIMENSIONS:
                raise ValueError(f"Invalid query definition, unknown dimension {name}.")
        broad = not scope.startswith("/subscriptions/")
        if broad and not self.resource_ids_everywhere and "resourceid" in map(str.lower, names):
            raise ValueError("Invalid query definition, ResourceId is not valid for this scope.")
        return names

    def _lies_in(self, row: CostRow, scope: str) -> bool:
        if scope.startswith("/providers/microsoft.management/") and row.publisher_type == "Marketplace":
            return False
        if scope in self.groups:
            return row.subscription.lower() in {one.lower() for one in self.groups[scope]}
        parts = scope.strip("/").split("/")
        if parts[0] != "subscriptions" or parts[1] != row.subscription.lower():
            return False
        return len(parts) == 2 or parts[3] == row.resource_group.lower()


def too_many(headers: Mapping[str, str]) -> Answer:
    """The refusal of whoever asks too often; the headers say for how long."""
    refusal = error(429, "429", "Too many requests. Please retry.")
    return Answer(status=429, body=refusal.body, headers=headers)


def _wait(drawn: list[tuple[datetime, int]], now: datetime, limit: int, seconds: int, units: int) -> int:
    """Return after how many whole seconds so many units go, 0 for now."""
    window = timedelta(seconds=seconds)
    within = [(at, size) for at, size in drawn if at > now - window]
    excess = sum(size for _, size in within) + units - limit
    for at, size in within:
        if excess <= 0:
            break
        excess -= size
        if excess <= 0:
            return max(1, -int((now - at - window).total_seconds() // 1))
    return 0


def _period(body: Mapping[str, Any]) -> tuple[date, date]:
    if (body["timeframe"] == "Custom") != ("timePeriod" in body):
        raise ValueError("The time period has to be given with the timeframe Custom, and with no other.")
    asked = body["timePeriod"]
    first, last = (datetime.fromisoformat(asked[side]).date() for side in ("from", "to"))
    if last < first:
        raise ValueError("The time period ends before it begins.")
    return first, last


def _months(body: Mapping[str, Any]) -> int:
    try:
        first, last = _period(body)
    except (ValueError, KeyError, TypeError):
        return 1
    return (last.year - first.year) * 12 + last.month - first.month + 1


def _digest(body: Mapping[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _offset(call: Call, body: Mapping[str, Any]) -> int:
    """Return which row the page begins with, -1 if the link is another query's."""
    token = call.query.get("$skiptoken")
    if token is None:
        return 0
    digest, _, offset = urlsafe_b64decode(token).decode().partition(":")
    return int(offset) if digest == _digest(body) else -1


def _passes(row: CostRow, condition: Mapping[str, Any] | None) -> bool:
    if not condition:
        return True
    for word, together in (("and", all), ("or", any)):
        if word in condition:
            if len(condition[word]) < 2:
                raise ValueError(f"Invalid query definition, '{word}' needs two conditions.")
            return together(_passes(row, one) for one in condition[word])
    said = condition["dimensions"]
    if said["name"].lower() not in DIMENSIONS or said["operator"] != "In" or not said["values"]:
        raise ValueError("Invalid query definition, the filter is not valid.")
    value: str = getattr(row, DIMENSIONS[said["name"].lower()])
    return value.lower() in {one.lower() for one in said["values"]}


def _columns(measures: Iterable[str], names: Iterable[str], daily: bool) -> list[tuple[str, str]]:
    columns = [(name, "Number") for name in measures]
    if daily:
        columns.append(("UsageDate", "Number"))
    return [*columns, *((name, "String") for name in names), ("Currency", "String")]


def _summed(rows: Iterable[CostRow], measures: list[str], names: list[str], daily: bool) -> list[list[Any]]:
    sums: dict[tuple[Any, ...], list[Decimal]] = {}
    for row in rows:
        days = (int(row.day.strftime("%Y%m%d")),) if daily else ()
        key = (*days, *(getattr(row, DIMENSIONS[name.lower()]) for name in names), row.currency)
        added = sums.setdefault(key, [Decimal(0)] * len(measures))
        for at, name in enumerate(measures):
            added[at] += getattr(row, MEASURES[name.lower()])
    return [[*added, *key] for key, added in sorted(sums.items(), key=lambda item: item[0])]
