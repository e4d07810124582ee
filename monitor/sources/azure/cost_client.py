"""Asks Cost Management, at the pace it allows, and hands back whole answers or none.

One request: 1 it is drawn from the budget that all processes share (monitor.sources.azure.budget); 2 it is sent; 3 if
Azure refuses it as one too many, everybody waits as long as the longest of its headers says, and it is asked again;
4 if Azure fails or the line breaks, it is asked again a little later. Neither is tried for ever. An answer of several
pages is complete only when its last page is there: before that it is nothing.
"""

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from json import dumps, loads
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from monitor.errors import MonitorError, UnreachableError
from monitor.sources.azure.cost_pace import BAD_REQUEST, BROKEN, NO_CONTENT, OK, THROTTLED, Patience, Turns
from monitor.sources.azure.cost_scope import Scope
from monitor.sources.azure.refusals import Need, meaning

if TYPE_CHECKING:
    from monitor.sources.session import Session

CLIENT_TYPE = "maas-monitor"
"""Who asks: without this header all callers of a tenant share one allowance (azure.md, 0.6)."""
MOST_PAGES = 1_000
CONNECT_S, READ_S = 30, 180

logger = logging.getLogger(__name__)


class RefusedQueryError(UnreachableError):
    """Azure does not take a query of this kind at this scope; another one may be taken."""


class MalformedAnswerError(UnreachableError):
    """What Azure answered is not an answer, or not the whole of it."""

    def __init__(self, subject: str, what: str) -> None:
        super().__init__(subject, f"{what}: nothing of it is kept", "try again later")


class Answer(Struct, frozen=True, kw_only=True):
    """Every page of an answer, decoded, decimals exact; none where Azure knows nothing. `size` in bytes."""

    pages: tuple[Mapping[str, Any], ...] = ()
    size: int = 0


class _Outcome(Struct, frozen=True, kw_only=True):
    """What came of one request; status 0: no whole answer came."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = {}
    error: Exception | None = None


class CostClient:
    """Asks for the costs of one scope; `subject` is what errors are about."""

    def __init__(self, session: "Session", scope: Scope, *, subject: str, need: Need, requests_per_minute: int) -> None:
        self._session, self._scope, self._subject, self._need = session, scope, subject, need
        self._turns = Turns(session, scope, requests_per_minute)
        self._client = _client(session)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, body: Mapping[str, Any]) -> Answer:
        """Return the whole answer to one query; RefusedQueryError, MalformedAnswerError or another MonitorError."""
        # The client library before 5.0 writes dates of a body in its own way; bytes it sends as they are, which makes
        # the body of every page the same.
        content = dumps(body).encode()
        pages: list[Mapping[str, Any]] = []
        link, seen, size = "", set[str](), 0
        while True:
            outcome = self._request(content, link)
            if outcome.status == NO_CONTENT:
                if link:
                    raise MalformedAnswerError(self._subject, "a page of Azure's answer is missing")
                return Answer()
            size += len(outcome.text.encode())
            pages.append(self._properties(outcome.text))
            link = pages[-1].get("nextLink") or ""
            if not link:
                return Answer(pages=tuple(pages), size=size)
            self._check(link, seen)

    def _check(self, link: object, seen: set[str]) -> None:
        """Refuse a link that a token must not be sent to, and one that leads nowhere."""
        here = self._session.azure.addresses.resource_manager
        if not isinstance(link, str) or _origin(link) != _origin(here):
            raise MalformedAnswerError(self._subject, "Azure's answer goes on at another host")
        if link in seen or len(seen) >= MOST_PAGES:
            raise MalformedAnswerError(self._subject, "Azure's answer does not end")
        seen.add(link)

    def _properties(self, text: str) -> Mapping[str, Any]:
        whole = _json(text)
        properties = whole.get("properties") if isinstance(whole, dict) else None
        if not isinstance(properties, dict):
            raise MalformedAnswerError(self._subject, "Azure's answer has not the form of one")
        return properties

    def _request(self, body: bytes, link: str) -> _Outcome:
        """Return the answer to one request, however often it has to be asked."""
        patience = Patience()
        while True:
            if too_long := self._turns.draw():
                raise self._told(_Outcome(status=THROTTLED), patience, too_long)
            with self._turns.taken():
                outcome = self._once(body, link)
            if outcome.status in (OK, NO_CONTENT):
                return outcome
            seconds = self._turns.wait_after(outcome.status, outcome.headers, patience)
            if seconds is None or patience.ends(seconds):
                raise self._told(outcome, patience, seconds or 0.0)
            logger.debug("%s: asked to wait %.0f s (status %d)", self._subject, seconds, outcome.status)
            self._session.clock.sleep(seconds)
            patience.waited += seconds

    def _told(self, outcome: _Outcome, patience: Patience, seconds: float) -> MonitorError:
        if outcome.status == THROTTLED:
            what = f"Azure is asked too often: after {patience.waited:.0f} s of waiting it wants {seconds:.0f} s more"
            return UnreachableError(self._subject, what, "collect later; all who query costs in this tenant count")
        if outcome.error is None:
            return MalformedAnswerError(self._subject, "Azure's answer broke off")
        error = meaning(outcome.error, self._subject, self._need)
        if outcome.status == BAD_REQUEST:
            return RefusedQueryError(error.subject, error.what, error.remedy)
        return error

    def _once(self, body: bytes, link: str) -> _Outcome:
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        try:
            outcome = self._next(body, link) if link else self._first(body)
        except ClientAuthenticationError as error:
            raise meaning(error, self._subject, self._need) from None
        except AzureError as error:
            return _failed(error)
        if outcome.status == OK and _json(outcome.text) is None:
            return _Outcome(status=BROKEN)
        return outcome

    def _first(self, body: bytes) -> _Outcome:
        """Ask by the client library; it decodes answers in a way that loses digits, so their text is what counts."""
        caught: list[_Outcome] = []
        try:
            self._client.query.usage(
                self._scope.path.lstrip("/"),
                body,
                headers={"ClientType": CLIENT_TYPE},
                raw_response_hook=lambda response: caught.append(_outcome(response.http_response)),
            )
        except ValueError:
            # A row that the library does not understand is not for it to refuse: the others may be good.
            logger.debug("%s: the client library cannot decode the answer", self._subject)
        return caught[-1] if caught else _Outcome(status=BROKEN)

    def _next(self, body: bytes, link: str) -> _Outcome:
        """Ask for the page of a nextLink: the SDK follows none, and Azure wants the same body there (azure.md, 0.4)."""
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        # Before 5.0 the client has no send_request of its own.
        send: Callable[..., Any] = getattr(self._client, "send_request", None) or self._client._client.send_request  # noqa: SLF001
        headers = {"ClientType": CLIENT_TYPE, "Content-Type": "application/json"}
        response = send(HttpRequest("POST", link, content=body, headers=headers))
        if response.status_code in (OK, NO_CONTENT):
            return _outcome(response)
        raise HttpResponseError(response=response, error_format=ARMErrorFormat)


def _client(session: "Session") -> Any:
    from azure.mgmt.costmanagement import CostManagementClient

    from monitor.sources.azure.arm import AGENT
    from monitor.sources.azure.credentials import Bearer

    return CostManagementClient(
        session.credential,
        base_url=session.azure.addresses.resource_manager,
        authentication_policy=Bearer(session.credential, session.azure.arm_scope),
        # Every request is drawn from the budget, so the library must not repeat one by itself.
        retry_total=0,
        # Resource Manager never sends anybody elsewhere, and nobody else gets our token.
        permit_redirects=False,
        user_agent=AGENT,
        connection_timeout=CONNECT_S,
        read_timeout=READ_S,
    )


def _outcome(response: Any) -> _Outcome:
    return _Outcome(status=response.status_code, text=response.text(), headers=dict(response.headers))


def _failed(error: Exception) -> _Outcome:
    """Return what an error of the Azure libraries says of the request: refused, failed, or cut off."""
    from azure.core.exceptions import HttpResponseError

    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or BROKEN
    if isinstance(error, HttpResponseError) and status < BAD_REQUEST:
        return _Outcome(status=BROKEN)
    return _Outcome(status=status, headers=dict(response.headers) if response is not None else {}, error=error)


def _json(text: str) -> Any:
    """Return decoded JSON, its decimals exact; None if it is none."""
    try:
        return loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _origin(address: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port
