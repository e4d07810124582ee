"""Source kind `log-analytics`: requests that a gateway logged to a Log Analytics workspace, asked for window by window.

Reading: 1 begin where the last reading ended, less an overlap; 2 ask for a window (monitor.sources.kql); 3 an answer
that is not whole (a partial one, one as long as was allowed, a timeout) is thrown away and asked for in halves, down to
a second; after whole answers the windows grow again; 4 decode the rows, of which each is a request with an identity;
5 hand them on with the cursor, whose position is the end of the window in milliseconds, to be committed together.

What makes it complete: windows are over the time of arrival, so that a record which comes hours late falls into a
window that is still ahead; the overlap covers that the service's times of arrival are approximate. What makes it count
once: the CorrelationId, by which everything seen again in the overlap is a duplicate. A custom query decides by its
own text what a window is over; over TimeGenerated, what comes later than the overlap is lost until a `backfill`.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from msgspec import Struct, json, structs

from monitor.domain.stretch import Cursor, Piece
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources import kql, log_rows
from monitor.sources.azure.cloud import GUID
from monitor.sources.azure.logs import BadQueryError, Logs, Table, TooMuchError
from monitor.sources.cells import milliseconds
from monitor.sources.parse import Task, parse_outcomes
from monitor.sources.request import Cursors, Request
from monitor.sources.session import Session

KIND = "log-analytics"
YIELDS = "events"
POSITIONS = "time"
"""What the places of rows that could not be read say (monitor.sources.log_rows)."""

GATEWAY, CUSTOM = "apim-llm", "response-log"
"""As which format the rows are believed: a custom table is a response log by other means."""

MOST_ROWS = 500_000
"""What the service gives in one answer at most."""
SMALLEST_MS = 1000
GATEWAY_OVERLAP, CUSTOM_OVERLAP = 30, 180
"""Minutes: a record's time of arrival is approximate; its own time may be hours before it."""
A_MINUTE, A_DAY = 60_000, 86_400_000


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "log-analytics".

    `workspace_id`: the GUID of the Log Analytics workspace. Without a `query` the tables of API Management are read.
    `query`: Kusto query of one row per request, with {from} and {to} where its window begins and ends; without these
    the window is on TimeGenerated. `columns`: which of its columns is our field (`time` is required).
    `workspace`, `deployment`, `model`: what the rows do not say. `priority`: among sources that saw the same deployment
    on the same day the lowest is believed; default: by format. `first_days`: how far back the first reading goes.
    `overlap_minutes`: how much is asked for again (default 30, with a query 180). `slice_minutes`: of what one question
    is about at most. `rows_at_once`: how long an answer may be.
    """

    name: str
    kind: str
    workspace_id: str
    query: str | None = None
    columns: dict[str, str] = {}
    workspace: str | None = None
    deployment: str | None = None
    model: str | None = None
    priority: int | None = None
    first_days: int = 7
    overlap_minutes: int | None = None
    slice_minutes: int = 360
    rows_at_once: int = 50_000

    def __post_init__(self) -> None:
        """Refuse what could not be asked."""
        subject = f"source {self.name!r}"
        if not re.fullmatch(GUID, self.workspace_id, re.IGNORECASE):
            raise SettingsError(
                subject, "workspace_id is not a GUID", "copy it from the workspace's page in the portal"
            )
        if self.query is None and self.columns:
            raise SettingsError(subject, "columns are given without a query", "write the query, or leave them out")
        if self.query is not None:
            kql.check(subject, self.query)
            log_rows.check(subject, self.columns)
        _within(subject, "first_days", self.first_days, 1, 730)
        _within(subject, "overlap_minutes", self.overlap, 0, 2 * 24 * 60)
        _within(subject, "slice_minutes", self.slice_minutes, 1, 24 * 60)
        _within(subject, "rows_at_once", self.rows_at_once, 1, MOST_ROWS - 1)

    @property
    def overlap(self) -> int:
        """How many minutes before the last reading's end the next one begins."""
        by_default = GATEWAY_OVERLAP if self.query is None else CUSTOM_OVERLAP
        return by_default if self.overlap_minutes is None else self.overlap_minutes


def _within(subject: str, field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingsError(subject, f"{field} is {value}", f"write a whole number from {least} to {most:,}")


def read(settings: Settings, cursors: Cursors, request: Request, session: Session) -> Iterator[Piece | MonitorError]:
    """Yield everything new, or what a past period holds, window by window; the first error ends it."""
    try:
        logs = Logs(session, settings.workspace_id, settings.name)
    except MonitorError as error:
        yield error
        return
    try:
        cursor = _cursor(settings, cursors, request)
        yield from _Reading(settings, request, session, logs).pieces(cursor)
    except BadQueryError as error:
        yield _missing_table(settings, error)
    except MonitorError as error:
        yield error
    finally:
        logs.close()


def probe(settings: Settings, session: Session) -> Iterator[str]:
    """Ask for the last minutes, as a reading would."""
    logs = Logs(session, settings.workspace_id, settings.name)
    now = milliseconds(session.now)
    try:
        with suppress(TooMuchError):
            _Reading(settings, Request(), session, logs).ask(now - 5 * A_MINUTE, now)
    except BadQueryError as error:
        raise _missing_table(settings, error) from None
    finally:
        logs.close()
    yield "Log Analytics answers"


def _cursor(settings: Settings, cursors: Cursors, request: Request) -> Cursor:
    """The cursor of the source's one object: what is asked of which workspace."""
    what = "API Management" if settings.query is None else "query"
    name = f"{settings.workspace_id.lower()}/{what}"
    labels = {field: getattr(settings, field) for field in ("workspace", "deployment", "model")}
    said = {field: value for field, value in labels.items() if value} | request.labels
    found = next((one for one in cursors.of([name]) if one.object == name), None)
    cursor = found or Cursor(name=name, object=name, generation=0)
    written = json.encode(said, order="sorted").decode() if said else ""
    return structs.replace(cursor, labels=written, format=GATEWAY if settings.query is None else CUSTOM)


def _missing_table(settings: Settings, error: BadQueryError) -> MonitorError:
    """Say what to switch on where API Management's tables are not there; a custom query is the operator's to mend."""
    if settings.query is not None:
        return error
    table = kql.LLM_TABLE if kql.LLM_TABLE in error.message else kql.GATEWAY_TABLE
    if table not in error.message:
        return UnreachableError(settings.name, error.what, "update maas-monitor, or report this")
    category = "GatewayLlmLogs" if table == kql.LLM_TABLE else "GatewayLogs"
    what = f"the Log Analytics workspace has no table {table}"
    remedy = f"tick {category} in API Management's diagnostic setting, to resource-specific tables of this workspace"
    return UnreachableError(settings.name, what, remedy)


class _Reading:
    """One reading: its windows, in order; times are milliseconds since 1970."""

    def __init__(self, settings: Settings, request: Request, session: Session, logs: Logs) -> None:
        self.settings, self.request, self.logs = settings, request, logs
        self.now = milliseconds(session.now)
        self.settling = min(settings.overlap * A_MINUTE, log_rows.SETTLING_MS)
        self.by_arrival = request.period is None

    def pieces(self, cursor: Cursor) -> Iterator[Piece | MonitorError]:
        """Ask for window after window; a window whose answer is not whole is halved."""
        full = width = self.settings.slice_minutes * A_MINUTE
        at, end = self.window(cursor)
        before = cursor.position if self.by_arrival else 0
        known = log_rows.Known(now=self.now, before=before, settling=self.settling)
        while at < end:
            upto = min(at + width, end)
            try:
                table = self.ask(at, upto)
            except TooMuchError as error:
                # A second may hold too many rows, but no minute takes minutes to look through: then the service is ill.
                if upto - at <= (A_MINUTE if error.slow else SMALLEST_MS):
                    yield self.too_much(at, upto, error)
                    return
                width = max(SMALLEST_MS, (upto - at) // 2)
                continue
            piece = self.piece(cursor, upto, table, known)
            yield piece
            cursor, at, width = piece.after, upto, min(full, width * 2)

    def window(self, cursor: Cursor) -> tuple[int, int]:
        """From where to where this reading asks."""
        if self.request.period is not None:
            start, end = milliseconds(self.request.period.start), milliseconds(self.request.period.end)
            return start, min(end, self.now)
        if not cursor.position:
            return self.now - self.settings.first_days * A_DAY, self.now
        return cursor.position - self.settings.overlap * A_MINUTE, self.now

    def ask(self, at: int, upto: int) -> Table:
        """Ask for one window; TooMuchError if the answer is as long as was allowed, which may be a part."""
        smallest = upto - at <= SMALLEST_MS
        allowed = MOST_ROWS if smallest else self.settings.rows_at_once + 1
        first, last = _instant(at), _instant(upto)
        query = self.settings.query
        if query is None:
            table = self.logs.ask(kql.gateway_query(first, last, rows=allowed, by_arrival=self.by_arrival), None)
        else:
            text = kql.custom_query(query, first, last, rows=allowed)
            table = self.logs.ask(text, None if kql.bounds_itself(query) else (first, last))
        if len(table.rows) >= allowed:
            raise TooMuchError
        return table

    def piece(self, cursor: Cursor, upto: int, table: Table, known: log_rows.Known) -> Piece:
        """Decode one answer; the cursor behind it never goes back, though the overlap does."""
        settings = self.settings
        decoded = (
            log_rows.gateway_rows(table, known)
            if settings.query is None
            else log_rows.custom_rows(table, settings.columns, f"source {settings.name!r}")
        )
        task = Task(
            format=cursor.format,
            identity_scope=settings.name,
            object_key=cursor.key,
            start=cursor.position,
            minutes=self.request.minutes,
        )
        after = max(cursor.position, upto)
        parsed = parse_outcomes(task, decoded, end=after, size=table.size)
        return Piece(before=cursor, after=structs.replace(cursor, position=after), parsed=parsed)

    def too_much(self, at: int, upto: int, error: TooMuchError) -> MonitorError:
        """Say which window is as small as it gets and still too much."""
        what = f"Log Analytics {error} from {kql.written(_instant(at))} to {kql.written(_instant(upto))}"
        return UnreachableError(self.settings.name, what, "try again later, or filter the rows in a query of your own")


def _instant(moment: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
