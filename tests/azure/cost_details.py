"""Reports of cost details, generated as Cost Management does: asked for, polled, fetched with links of their own."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.azure.server import Answer, Call, Server, error

API = "2025-03-01"
PROVIDER = "/providers/Microsoft.CostManagement"
HEADER = (
    *("invoiceId", "billingAccountId", "billingProfileId", "servicePeriodEndDate", "servicePeriodStartDate", "date"),
    *("meterId", "meterName", "meterCategory", "meterSubCategory", "ProductName", "SubscriptionId", "publisherType"),
    *("publisherName", "resourceGroupName", "ResourceId", "resourceLocation", "quantity", "unitOfMeasure"),
    *("chargeType", "billingCurrency", "costInBillingCurrency", "costInUsd", "additionalInfo", "tags"),
)
"""Some of the columns of a Customer Agreement's report, in their order and their inconsistent case (azure.md, 1.6)."""
SIGNATURE = "canary-signature-51c2"


@dataclass
class Report:
    """One report that was asked for: its scope, its rows in files, and how often it is still to be polled in vain."""

    scope: str
    body: Any
    files: list[bytes]
    polls: int
    expired: bool
    valid_till: datetime


@dataclass(kw_only=True)
class CostDetails:
    """The reports of every scope of a tenant; give it a server and change its data while it serves.

    `rows`: the rows of each scope (its path in lower case), each a mapping by column of `header`, days as ISO dates in
    `date`; a report holds those of the period asked for, dates written MM/DD/YYYY as a Customer Agreement's are. A
    scope without rows in the period has NoDataFound; one that is not in `rows` is unknown. `files`: into how many files
    a report is divided; `compress`: gzip. `polls`: how often the answer is 202 before it is done. `retry_after`: the
    seconds that each 202 names. `first`: answers to give to the next requests to generate, before any is taken.
    `failing`: so many of the next reports end as Failed; `expired`: so many come with links that are no longer taken.
    `cut`: so many of the next fetches break off. `unsupported`: scopes of agreements that have no reports.
    `reports`: all that were asked for, in order.
    """

    server: Server
    rows: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    header: Sequence[str] = HEADER
    files: int = 1
    compress: bool = False
    polls: int = 1
    retry_after: int = 60
    first: list[Answer] = field(default_factory=list)
    failing: int = 0
    expired: int = 0
    cut: int = 0
    unsupported: set[str] = field(default_factory=set)
    now: Callable[[], datetime] = lambda: datetime(2026, 11, 23, 12, tzinfo=UTC)
    reports: list[Report] = field(default_factory=list)

    def __post_init__(self) -> None:
        scope = r"(?P<scope>/.*?)"
        self.server.route("POST", f"{scope}{PROVIDER}/generateCostDetailsReport", self._generate)
        self.server.route("GET", rf"{scope}{PROVIDER}/costDetailsOperationResults/(?P<number>\d+)", self._state)
        self.server.route("GET", r"/armreports/(?P<number>\d+)/(?P<file>\d+)", self._file)

    def _generate(self, call: Call) -> Answer:
        assert call.match
        if self.first:
            return self.first.pop(0)
        scope, body = call.match["scope"].lower(), call.json()
        if call.query.get("api-version") != API:
            return error(400, "InvalidApiVersionParameter", "The api-version is invalid.")
        if scope in self.unsupported:
            return error(400, "BadRequest", "Cost details are not supported for this agreement type.")
        if scope not in self.rows:
            return error(404, "SubscriptionNotFound", "The subscription could not be found.")
        start, end = (date.fromisoformat(body["timePeriod"][name]) for name in ("start", "end"))
        if start.replace(day=1) != end.replace(day=1) or end < start:
            return error(400, "BadRequest", "A report is of at most one month.")
        rows = [row for row in self.rows[scope] if start <= date.fromisoformat(row["date"]) <= end]
        self.reports.append(
            Report(scope, body, self.divided(rows), self.polls, self.expired > 0, self.now() + timedelta(hours=12))
        )
        self.expired = max(0, self.expired - 1)
        return self._answer(len(self.reports) - 1)

    def divided(self, rows: Sequence[dict[str, str]]) -> list[bytes]:
        if not rows:
            return []
        size = -(-len(rows) // self.files)
        return [self._csv(rows[start : start + size]) for start in range(0, len(rows), size)]

    def _csv(self, rows: Sequence[dict[str, str]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.header, restval="", extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "date": re.sub(r"(\d+)-(\d+)-(\d+)", r"\2/\3/\1", row["date"])})
        data = text.getvalue().encode("utf-8-sig")
        return gzip.compress(data) if self.compress else data

    def _state(self, call: Call) -> Answer:
        assert call.match
        return self._answer(int(call.match["number"]))

    def _answer(self, number: int) -> Answer:
        report = self.reports[number]
        operation = f"{report.scope}{PROVIDER}/costDetailsOperationResults/{number}"
        if report.polls > 0:
            report.polls -= 1
            place = f"{self.server.address}{operation}?api-version={API}"
            return Answer(status=202, headers={"Location": place, "Retry-After": str(self.retry_after)})
        body: dict[str, Any] = {"id": operation.lstrip("/"), "name": str(number)}
        if self.failing > 0:
            self.failing -= 1
            problem = {"code": "InternalServerError", "message": "Report generation failed."}
            return Answer(body={**body, "status": "Failed", "error": problem})
        if not report.files:
            return Answer(body={**body, "status": "NoDataFound"})
        valid_till = f"{report.valid_till:%Y-%m-%dT%H:%M:%S}.1973252Z"
        return Answer(body={**body, "status": "Completed", "manifest": self._manifest(number), "validTill": valid_till})

    def _manifest(self, number: int) -> dict[str, Any]:
        report = self.reports[number]
        link = f"{self.server.address}/armreports/{number}"
        blobs = [
            {"blobLink": f"{link}/{at}?sv=2020-05-31&sr=b&sig={SIGNATURE}", "byteCount": len(data)}
            for at, data in enumerate(report.files)
        ]
        return {
            "manifestVersion": API,
            "dataFormat": "Csv",
            "blobCount": len(blobs),
            "byteCount": sum(len(data) for data in report.files),
            "compressData": self.compress,
            "requestContext": {"requestScope": report.scope.lstrip("/"), "requestBody": report.body},
            "blobs": blobs,
        }

    def _file(self, call: Call) -> Answer:
        assert call.match
        report = self.reports[int(call.match["number"])]
        if report.expired or call.query.get("sig") != SIGNATURE or "authorization" in call.headers:
            return Answer(status=403, body=b"<Error><Code>AuthenticationFailed</Code></Error>")
        data = report.files[int(call.match["file"])]
        cut, self.cut = self.cut > 0, max(0, self.cut - 1)
        return Answer(
            body=data, cut=len(data) // 2 if cut else None, headers={"content-type": "application/octet-stream"}
        )
