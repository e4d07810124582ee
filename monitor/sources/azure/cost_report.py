"""Cost Management's reports of cost details: asked for, waited for, and fetched.

A report: 1 it is asked for; 2 Azure says where its state is to be read, and that is asked as often as Azure likes, but
not for ever; 3 when it is done its files are fetched with the links that come with it, which carry their own signature
and get no token of ours. Every request to Cost Management is drawn from the budget that all processes share.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from monitor.errors import MonitorError, UnreachableError
from monitor.sources.azure.budget import MINUTE
from monitor.sources.azure.cloud import LOOPBACK
from monitor.sources.azure.cost_client import CLIENT_TYPE, MalformedAnswerError
from monitor.sources.azure.cost_pace import (
    ACCEPTED,
    BAD_REQUEST,
    BROKEN,
    NO_CONTENT,
    OK,
    THROTTLED,
    Patience,
    Turns,
)
from monitor.sources.azure.cost_scope import Scope
from monitor.sources.azure.refusals import FORBIDDEN, NOT_FOUND, Need, code_of, meaning
from monitor.sources.azure.retry_after import asked_to_wait
from monitor.sources.azure.said import code_like

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.rest import HttpResponse

    from monitor.sources.session import Session

API = "2025-03-01"
RESOURCE = "/providers/Microsoft.CostManagement/generateCostDetailsReport"
REQUESTS_PER_MINUTE = 4
PATIENCE_S = 3600.0
"""How long a report is waited for; it is asked for anew the next time."""
UNPROCESSABLE = 422
NOT_HERE = (BAD_REQUEST, NOT_FOUND, UNPROCESSABLE)
TRIES = 3
COMPLETED, NO_DATA = "completed", "nodatafound"

logger = logging.getLogger(__name__)


class File(Struct, frozen=True):
    """One file of a report: its link is a secret."""

    link: str = field(name="blobLink")
    size: int | None = field(name="byteCount", default=None)


class _Manifest(Struct):
    blobs: tuple[File, ...] = ()
    compressed: bool = field(name="compressData", default=False)


class _State(Struct):
    status: str = ""
    manifest: _Manifest | None = None
    valid_till: str | None = field(name="validTill", default=None)
    error: dict[str, Any] | None = None


class Report(Struct, frozen=True, kw_only=True):
    """A report that is done, with no files where Azure knows nothing; its links are good up to `valid_till`."""

    files: tuple[File, ...] = ()
    compressed: bool = False
    valid_till: datetime | None = None


class NotOfferedError(UnreachableError):
    """Azure generates no cost details for this scope."""

    def __init__(self, subject: str, code: str) -> None:
        super().__init__(
            subject,
            f"Azure generates no cost details here ({code}): it does so for Enterprise and Customer Agreements only",
            'use kind = "cost-query" or an export with kind = "cost-export" instead',
        )


class FailedReportError(UnreachableError):
    """Azure tried to generate a report and could not."""


class ExpiredError(Exception):
    """The links of a report are no longer taken."""


class CostReports:
    """Asks for the reports of one scope; `subject` is what errors are about."""

    def __init__(self, session: "Session", scope: Scope, *, subject: str, need: Need) -> None:
        self._session, self._scope, self._subject, self._need = session, scope, subject, need
        self._turns = Turns(session, scope, REQUESTS_PER_MINUTE)
        self._files = _plain_client()

    def close(self) -> None:
        """Close the connections."""
        self._files.close()

    def start(self, body: Mapping[str, Any]) -> "HttpResponse":
        """Ask for a report and return what Azure says to that; NotOfferedError or another MonitorError."""
        address = self._session.azure.addresses.resource_manager
        return self._ask("POST", f"{address}{self._scope.path}{RESOURCE}?api-version={API}", body)

    def generate(self, body: Mapping[str, Any]) -> Report:
        """Return the report of a body, once it is done; NotOfferedError, FailedReportError or another MonitorError."""
        response = self.start(body)
        place, waited = "", 0.0
        while response.status_code == ACCEPTED:
            place = response.headers.get("Location") or place
            if not place:
                raise MalformedAnswerError(self._subject, "Azure does not say where the report will be")
            waited += self._wait(response.headers, waited)
            response = self._ask("GET", place)
        return self._report(response)

    def fetch(self, report: Report, file: File, to: Path) -> int:
        """Write one file of a report to a path and return its bytes; ExpiredError if its link is no longer taken."""
        host = urlsplit(file.link)
        suffix = self._session.azure.addresses.storage_suffix
        if host.hostname not in LOOPBACK and not (host.scheme == "https" and f"{host.hostname}".endswith(f".{suffix}")):
            raise MalformedAnswerError(self._subject, "the report lies outside of Azure Storage")
        if report.valid_till and self._session.clock.now() >= report.valid_till:
            raise ExpiredError
        for attempt in range(TRIES):
            if attempt:
                self._session.clock.sleep(2.0**attempt)
            size = self._written(file, to)
            if size is not None and (report.compressed or file.size in (None, size)):
                # What is compressed proves by itself that it is whole, and nothing documents which size is meant.
                return size
        raise MalformedAnswerError(self._subject, "a file of the report is not as long as Azure says, or breaks off")

    def _wait(self, headers: Mapping[str, str], waited: float) -> float:
        """Wait as long as an answer asks for, and return how long that was."""
        asked = asked_to_wait(headers, self._session.clock.now()).values()
        seconds = max(1.0, max(asked, default=float(MINUTE)))
        if waited + seconds > PATIENCE_S:
            what = f"the report of cost details is not ready after {waited / MINUTE:.0f} minutes"
            raise FailedReportError(self._subject, what, "collect later")
        logger.info("%s: waiting %.0f s for the report of cost details", self._subject, seconds)
        self._session.clock.sleep(seconds)
        return seconds

    def _ask(self, method: str, address: str, body: Mapping[str, Any] | None = None) -> "HttpResponse":
        """Return the answer to one request that Azure took, however often it has to be sent."""
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.core.rest import HttpRequest

        patience, session, failure = Patience(), self._session, None
        while True:
            if self._turns.draw():
                raise self._asked_too_often()
            request = HttpRequest(method, address, json=body, headers={"ClientType": CLIENT_TYPE})
            response = None
            try:
                with self._turns.taken():
                    response = session.arm.send_once(request)
            except ClientAuthenticationError as error:
                raise meaning(error, self._subject, self._need) from None
            except AzureError as error:
                failure = error
            if response is not None and response.status_code in (OK, ACCEPTED, NO_CONTENT):
                return response
            status, headers = (response.status_code, response.headers) if response is not None else (BROKEN, {})
            seconds = self._turns.wait_after(status, headers, patience)
            if seconds is None or patience.ends(seconds):
                raise self._told(response, failure)
            session.clock.sleep(seconds)

    def _told(self, response: "HttpResponse | None", failure: Exception | None) -> MonitorError:
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.mgmt.core.exceptions import ARMErrorFormat

        if response is None:
            return meaning(failure or AzureError("broken"), self._subject, self._need)
        if response.status_code == THROTTLED:
            return self._asked_too_often()
        error = HttpResponseError(response=response, error_format=ARMErrorFormat)
        code = code_of(error)
        if response.status_code in NOT_HERE and code != "SubscriptionNotFound":
            return NotOfferedError(self._subject, code or str(response.status_code))
        return meaning(error, self._subject, self._need)

    def _asked_too_often(self) -> MonitorError:
        return UnreachableError(self._subject, "Azure is asked for costs too often", "collect later")

    def _report(self, response: "HttpResponse") -> Report:
        if response.status_code == NO_CONTENT:
            return Report()
        try:
            said = msgspec.json.decode(response.content, type=_State)
        except msgspec.DecodeError:
            raise MalformedAnswerError(self._subject, "Azure's answer has not the form of a report") from None
        status = said.status.lower()
        if status == NO_DATA:
            return Report()
        if status != COMPLETED or said.manifest is None:
            named = (str((said.error or {}).get("code") or ""), said.status, "no status")
            code = next((one for one in named if code_like(one)), "no status")
            what = f"Azure could not generate the report of cost details ({code})"
            raise FailedReportError(self._subject, what, "collect later; exports are for what is too large for it")
        return Report(
            files=said.manifest.blobs, compressed=said.manifest.compressed, valid_till=_instant(said.valid_till)
        )

    def _written(self, file: File, to: Path) -> int | None:
        """Write what lies behind a link and return its bytes, None if it could not be had this time."""
        from azure.core.exceptions import AzureError
        from azure.core.rest import HttpRequest

        try:
            with self._files.send_request(HttpRequest("GET", file.link), stream=True) as response:
                if response.status_code in (FORBIDDEN, NOT_FOUND):
                    raise ExpiredError
                if response.status_code != OK:
                    return None
                with to.open("wb") as out:
                    return sum(out.write(chunk) for chunk in response.iter_raw())
        except AzureError:
            return None


def _plain_client() -> "PipelineClient[Any, Any]":
    """Return a client that signs nothing, follows no redirect and writes no address into a log."""
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import UserAgentPolicy

    from monitor.sources.azure.arm import AGENT

    return PipelineClient(base_url="", policies=[UserAgentPolicy(AGENT)])


def _instant(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
