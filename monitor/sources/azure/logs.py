"""Log Analytics, asked through Microsoft's client: one question at a time, patiently, and only whole answers count.

The client itself would wait by the machine's clock and give up early, so its retries are off and the waiting is here.
It takes an authentication policy of ours, by which plain http is signed on this machine and nowhere else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, Struct, json

from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.azure.refusals import NOT_FOUND, SERVER, THROTTLED, Need, meaning
from monitor.sources.azure.retry_after import asked_to_wait
from monitor.sources.azure.said import said
from monitor.sources.session import Session

if TYPE_CHECKING:
    from azure.monitor.query import LogsQueryClient

ROLE = "Log Analytics Reader"
EXTRA = "pip install 'maas-monitor[azure]'"

SERVER_SECONDS = 180
"""How long the service may work on one question; its own limit is 600."""
TRIES = 6
LONGEST_WAIT = 900.0
"""Whoever is told to wait longer, in seconds, leaves it to the next collection."""
OK, BAD_REQUEST, TOO_LARGE, TIMED_OUT = 200, 400, 413, 504
MAX_MESSAGE = 200
BROKEN = "the answer of Log Analytics is broken"

Timespan = tuple[datetime, datetime]


class Table(Struct, frozen=True):
    """One whole answer: rows by column, and how many bytes it came in."""

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    size: int


class _Column(Struct):
    name: str


class _Rows(Struct):
    columns: list[_Column]
    rows: list[list[Any]]


class _Answer(Struct):
    """A body with status 200: an error beside the tables means that they are a part."""

    tables: list[_Rows] = []
    error: Any = None


class TooMuchError(Exception):
    """The service gave only part of what was asked for, or ran out of time (`slow`): ask for less at once."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow
        super().__init__(f"takes longer than {SERVER_SECONDS} s" if slow else "gives only part of the rows")


class BadQueryError(SettingsError):
    """The service does not understand the question; `message` is its own, about the query and never about data."""

    def __init__(self, subject: str, message: str) -> None:
        self.message = message
        super().__init__(subject, f"Log Analytics refuses the query ({message})", "correct it in the settings")


class Logs:
    """Asks one Log Analytics workspace."""

    def __init__(self, session: Session, workspace_id: str, subject: str) -> None:
        self._session, self._workspace, self._subject = session, workspace_id, subject
        self._need = Need(role=ROLE, scope=f"the Log Analytics workspace {workspace_id}")
        self._client = _client(session, subject)

    def ask(self, query: str, timespan: Timespan | None) -> Table:
        """Return the whole answer; TooMuchError where it would be a part, a MonitorError where there is none."""
        from azure.core.exceptions import AzureError

        for tried in range(1, TRIES + 1):
            try:
                return self._ask(query, timespan)
            except AzureError as error:
                wait = _wait(error, tried, self._session.clock.now())
                if wait is None or tried == TRIES:
                    raise self._meaning(error) from None
                self._session.clock.sleep(wait)
        raise AssertionError("unreachable")  # pragma: no cover

    def _ask(self, query: str, timespan: Timespan | None) -> Table:
        from azure.core.exceptions import AzureError, HttpResponseError

        kept: list[bytes] = []
        try:
            self._client.query_workspace(
                self._workspace,
                query,
                timespan=timespan,
                server_timeout=SERVER_SECONDS,
                read_timeout=SERVER_SECONDS + 30,
                cls=lambda response, _decoded, _headers: _keep(kept, response.http_response.body()),
            )
        except HttpResponseError as error:
            if error.status_code in (TIMED_OUT, TOO_LARGE):
                raise TooMuchError(slow=error.status_code == TIMED_OUT) from None
            # The client makes an empty answer of a token that could not be had.
            before = error.__context__
            raise before if error.response is None and isinstance(before, AzureError) else error from None
        except ValueError:
            # An empty body with status 200 is more than the client expects.
            raise UnreachableError(self._subject, BROKEN, "try again later") from None
        return self._table(kept[0])

    def _table(self, body: bytes) -> Table:
        """Read the answer's first table.

        The client would build three objects for every cell, and cut the last digit off times: half of all the work.
        """
        try:
            answer = json.decode(body, type=_Answer)
        except DecodeError:
            raise UnreachableError(self._subject, BROKEN, "try again later") from None
        if answer.error:
            raise TooMuchError
        if not answer.tables:
            raise UnreachableError(self._subject, "Log Analytics answers without a table", "try again later")
        table = answer.tables[0]
        columns = tuple(column.name for column in table.columns)
        rows = [dict(zip(columns, row, strict=False)) for row in table.rows]
        return Table(columns=columns, rows=rows, size=len(body))

    def _meaning(self, error: Exception) -> MonitorError:
        from azure.core.exceptions import HttpResponseError

        status = error.status_code if isinstance(error, HttpResponseError) else None
        if status == OK:
            return UnreachableError(self._subject, BROKEN, "try again later")
        if status == BAD_REQUEST:
            return BadQueryError(self._subject, _reason(error))
        if status == NOT_FOUND:
            what = f"Azure knows no Log Analytics workspace {self._workspace}"
            return UnreachableError(self._subject, what, "correct workspace_id: the GUID on the workspace's page")
        return meaning(error, self._subject, self._need)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(session: Session, subject: str) -> "LogsQueryClient":
    try:
        from azure.monitor.query import LogsQueryClient
    except ImportError:
        raise UnreachableError(subject, "azure-monitor-query is not installed", EXTRA) from None
    # These import the Azure libraries, which a command that asks nothing must not wait for.
    from monitor.sources.azure.arm import AGENT
    from monitor.sources.azure.credentials import Bearer

    azure = session.azure
    return LogsQueryClient(
        session.credential,
        endpoint=azure.addresses.log_analytics,
        authentication_policy=Bearer(session.credential, azure.log_analytics_scope),
        user_agent=AGENT,
        retry_total=0,
        # Log Analytics never sends anybody elsewhere, and nobody else gets our token or our question.
        permit_redirects=False,
    )


def _keep(kept: list[bytes], body: bytes) -> dict[str, Any]:
    """Keep the body, and leave the client nothing to work on."""
    kept.append(body)
    return {}


def _wait(error: Exception, tried: int, now: datetime) -> float | None:
    """Return how long to wait before asking again, None if that would not help."""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, ClientAuthenticationError):
        return None
    backoff = 2.0**tried
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return backoff
    # The client hides an answer that was cut off or is no JSON behind the status it began with.
    if not isinstance(error, HttpResponseError) or not _passes(error.status_code or OK):
        return None
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    wait = max([backoff, *asked_to_wait(headers, now).values()])
    return wait if wait <= LONGEST_WAIT else None


def _passes(status: int) -> bool:
    return status in (OK, THROTTLED) or status >= SERVER


def _reason(error: Exception) -> str:
    """Return the innermost message of a refusal on one line: it is about the query's text, never about rows."""
    messages = said(error).messages
    return " ".join(messages[-1].split())[:MAX_MESSAGE] if messages else "no reason given"
