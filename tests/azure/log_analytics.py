"""Log Analytics as its query API answers: workspaces of tables, which tests and the simulated tenant fill with rows."""

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.azure.server import Answer, Call, Server

LLM, GATEWAY = "ApiManagementGatewayLlmLog", "ApiManagementGatewayLogs"
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
TYPES = {str: "string", int: "long", float: "real", bool: "bool", datetime: "datetime", dict: "dynamic"}
GATEWAY_COLUMNS = {
    "TimeGenerated": "datetime",
    "IngestedAt": "datetime",
    "HasLlmLog": "bool",
    "HasGatewayLog": "bool",
    "CorrelationId": "string",
    "DeploymentName": "string",
    "ModelName": "string",
    "PromptTokens": "int",
    "CompletionTokens": "int",
    "TotalTokens": "int",
    "ResponseCode": "int",
    "BackendResponseCode": "int",
    "BackendUrl": "string",
    "Cache": "string",
    "RetryAfter": "string",
}
Row = Mapping[str, Any]

PROMPT = "canary-prompt-77c1: what is our secret?"
HOST = "https://mistral-large-prod.eastus2.models.ai.azure.com"
ANSWERED: dict[str, Any] = {
    "DeploymentName": "mistral-large",
    "ModelName": "mistral-large-2407",
    "PromptTokens": 100,
    "CompletionTokens": 10,
    "TotalTokens": 110,
    "IsStreamCompletion": False,
}
"""The model log's row of a call."""
FORWARDED: dict[str, Any] = {
    "ApiId": "mistral",
    "Method": "POST",
    "Url": "https://gateway.example/mistral/v1/chat/completions?subscription-key=canary-key-51ab",
    "ResponseCode": 200,
    "BackendResponseCode": 200,
    "BackendUrl": f"{HOST}/v1/chat/completions?api-key=canary-key-51ab",
    "BackendResponseHeaders": None,
    "Cache": "none",
}
"""The gateway log's row of a call."""


class Table:
    """Rows as they were sent: columns by name, TimeGenerated an aware datetime.

    `_IngestedAt` is when a row arrives and can be found (by default two minutes after TimeGenerated). Rows are only
    ever appended, as in the real one; `add` keeps the indexes by which a window is found quickly.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._by_time: list[tuple[datetime, int]] = []
        self._by_arrival: list[tuple[datetime, int]] = []
        self._by_request: dict[str, list[int]] = defaultdict(list)

    def add(self, **row: Any) -> None:
        """Append a row."""
        number = len(self.rows)
        row.setdefault("_IngestedAt", row["TimeGenerated"] + timedelta(minutes=2))
        self.rows.append(row)
        insort(self._by_time, (row["TimeGenerated"], number))
        insort(self._by_arrival, (row["_IngestedAt"], number))
        self._by_request[row.get("CorrelationId", "")].append(number)

    def window(self, first: datetime, last: datetime, *, by_arrival: bool, now: datetime) -> Iterator[Row]:
        """The rows of [first, last) that have arrived."""
        index = self._by_arrival if by_arrival else self._by_time
        for _, number in index[bisect_left(index, (first, -1)) : bisect_left(index, (last, -1))]:
            if self.rows[number]["_IngestedAt"] <= now:
                yield self.rows[number]

    def of(self, request: str, now: datetime) -> list[Row]:
        """The rows of one CorrelationId that have arrived."""
        return [self.rows[one] for one in self._by_request.get(request, ()) if self.rows[one]["_IngestedAt"] <= now]


class LogAnalytics:
    """The query API of Log Analytics on a `Server`: POST /v1/workspaces/{guid}/query.

    It carries out the built-in question of monitor.sources.kql on raw rows of API Management's two tables: of the model
    log only SequenceNumber 0, the other half wherever in time it lies, nothing that has not arrived by `now()`. Of any
    other query it understands the table it begins with, {from} and {to} as its first two datetime literals (else the
    request's timespan), the columns of its last `project`, and `take`.

    `row_cap`: above so many rows the answer is cut there and carries a PartialError with status 200, as the real one's
    500,000 rows or 64 MB. `forbidden`: workspaces whose reader role the caller lacks. `answers`: what the next requests
    get instead, first in, first out. `as_text`: numbers, booleans and statuses as text, as version 1 sometimes writes.
    `queries`: every query that was carried out.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: FOREVER) -> None:
        self.now = now
        self.workspaces: dict[str, dict[str, Table]] = {}
        self.forbidden: set[str] = set()
        self.answers: list[Answer] = []
        self.queries: list[str] = []
        self.row_cap = 500_000
        self.as_text = False

    def register(self, server: Server) -> None:
        """Answer on a server."""
        server.route("POST", r"/v1/workspaces/([^/]+)/query", self.answer)

    def table(self, workspace: str, name: str) -> Table:
        """A table of a workspace, made at first sight."""
        return self.workspaces.setdefault(workspace.lower(), {}).setdefault(name, Table())

    def call(self, workspace: str, request: str, at: datetime, **changes: Any) -> None:
        """Log one call of a model as API Management does: a row of each table, and the messages in pieces.

        `changes` are columns of either table. `llm_arrives`, `gateway_arrives`: minutes after `at` (default 2 and 1),
        None: that table never has a row. A refusal (ResponseCode 400 and above) has no row in the model log.
        """
        llm_arrives, gateway_arrives = changes.pop("llm_arrives", 2), changes.pop("gateway_arrives", 1)
        common = {"TimeGenerated": at, "CorrelationId": request}
        llm = {name: changes.get(name, value) for name, value in ANSWERED.items()}
        gateway = {name: changes.get(name, value) for name, value in FORWARDED.items()}
        if gateway_arrives is not None:
            arrived = at + timedelta(minutes=gateway_arrives)
            self.table(workspace, GATEWAY).add(**common, **gateway, _IngestedAt=arrived)
        if llm_arrives is not None and gateway["ResponseCode"] < 400:
            arrived = at + timedelta(minutes=llm_arrives)
            self.table(workspace, LLM).add(**common, **llm, SequenceNumber=0, _IngestedAt=arrived)
            for number, messages in enumerate(("RequestMessages", "ResponseMessages"), 1):
                piece = {"SequenceNumber": number, messages: PROMPT, "DeploymentName": "", "PromptTokens": 0}
                self.table(workspace, LLM).add(**common, **piece, _IngestedAt=arrived)

    def answer(self, call: Call) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        assert call.match is not None
        workspace = call.match[1].lower()
        if not call.headers.get("authorization", "").startswith("Bearer "):
            return refusal(401, "InvalidTokenError", "The provided authentication is not valid for this resource")
        if workspace in self.forbidden:
            message = "The provided credentials have insufficient access to perform the requested operation"
            return refusal(403, "InsufficientAccessError", message)
        if workspace not in self.workspaces:
            return refusal(404, "PathNotFoundError", "The requested path does not exist")
        said = call.json()
        self.queries.append(said["query"])
        tables = self.workspaces[workspace]
        if "let asked_from" in said["query"]:
            return self._gateway(said["query"], tables)
        return self._other(said["query"], said.get("timespan"), tables)

    def _gateway(self, query: str, tables: Mapping[str, Table]) -> Answer:
        for name in (LLM, GATEWAY):
            if name not in tables:
                return unresolved(name)
        limits = {name: _instant(text) for name, text in re.findall(r"let (\w+) = datetime\(([^)]+)\);", query)}
        first, last = limits["asked_from"], limits["asked_to"]
        by_arrival, now = "LlmIngested >= asked_from" in query, self.now()
        touched = dict.fromkeys(
            row["CorrelationId"]
            for name in (LLM, GATEWAY)
            for row in tables[name].window(first, last, by_arrival=by_arrival, now=now)
            if limits["begun_after"] <= row["TimeGenerated"] < limits["begun_before"]
            and (name == GATEWAY or row["SequenceNumber"] == 0)
        )
        joined = [row for request in touched for row in _joined(tables, request, limits, now)]
        column = "IngestedAt" if by_arrival else "TimeGenerated"
        rows = [row for row in joined if first <= row[column] < last]
        return self._cut(query, GATEWAY_COLUMNS, rows)

    def _other(self, query: str, timespan: str | None, tables: Mapping[str, Table]) -> Answer:
        if "| were" in query:
            return _syntax_error()
        name = query.split(maxsplit=1)[0]
        if name not in tables:
            return unresolved(name)
        limits = re.findall(r"datetime\(([^)]+)\)", query)[:2] or (
            timespan or "2000-01-01T00:00:00Z/2100-01-01T00:00:00Z"
        ).split("/")
        rows = list(tables[name].window(_instant(limits[0]), _instant(limits[1]), by_arrival=False, now=self.now()))
        every = tables[name].rows
        known = {column: _type(row[column]) for row in every for column in row if not column.startswith("_")}
        projected = re.findall(r"\|\s*project\s+([^|\n]+)", query)
        columns = [column.strip() for column in projected[-1].split(",")] if projected else list(known)
        return self._cut(query, {column: known.get(column, "string") for column in columns}, rows)

    def _cut(self, query: str, columns: Mapping[str, str], rows: Iterable[Row]) -> Answer:
        allowed = int((re.findall(r"\|\s*take\s+(\d+)", query) or ["9999999"])[-1])
        kept = list(rows)[:allowed]
        cells = [[self._cell(row.get(column)) for column in columns] for row in kept[: self.row_cap]]
        named = [{"name": name, "type": type_} for name, type_ in columns.items()]
        body: dict[str, Any] = {"tables": [{"name": "PrimaryResult", "columns": named, "rows": cells}]}
        if len(kept) > self.row_cap:
            body["error"] = _partial(self.row_cap)
        return Answer(body=body)

    def _cell(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}7Z"
        if self.as_text and isinstance(value, int | float):
            return str(value)
        return value


def _joined(tables: Mapping[str, Table], request: str, limits: Mapping[str, datetime], now: datetime) -> Iterator[Row]:
    """Both halves of one request, each with each; what the two left outer joins of the question give."""

    def near(name: str) -> list[Row]:
        return [
            row
            for row in tables[name].of(request, now)
            if limits["begun_after"] <= row["TimeGenerated"] < limits["begun_before"]
        ]

    for llm in [row for row in near(LLM) if row["SequenceNumber"] == 0] or [{}]:
        for gateway in near(GATEWAY) or [{}]:
            call = re.search(r"^[^?]*/(chat/completions|completions|embeddings|ocr)/?(\?|$)", gateway.get("Url", ""))
            if llm or (call and gateway["Method"] == "POST"):
                yield _both(llm, gateway)


def _both(llm: Row, gateway: Row) -> Row:
    arrived = [half["_IngestedAt"] for half in (llm, gateway) if half]
    copied = {name: {**gateway, **llm}.get(name) for name in GATEWAY_COLUMNS}
    headers = gateway.get("BackendResponseHeaders") or {}
    return copied | {
        "IngestedAt": max(arrived),
        "HasLlmLog": bool(llm),
        "HasGatewayLog": bool(gateway),
        "BackendUrl": (gateway.get("BackendUrl") or "").partition("?")[0],
        "RetryAfter": headers.get("Retry-After", ""),
    }


def refusal(status: int, code: str, message: str, *inner: tuple[str, str], **headers: str) -> Answer:
    """An error as the query API writes it: `inner` are the codes and messages nested in it, outermost first."""
    body: dict[str, Any] = {"code": code, "message": message, "correlationId": "6b1ff8a6"}
    at = body
    for one, said in inner:
        at["innererror"] = {"code": one, "message": said}
        at = at["innererror"]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body={"error": body}, headers=named)


def throttled(seconds: int) -> Answer:
    """Too many requests: 200 in 30 seconds for one user."""
    return refusal(429, "ThrottledError", "Rate limit is exceeded", Retry_After=str(seconds))


def timed_out() -> Answer:
    """The query ran longer than the caller wanted to wait."""
    return refusal(504, "GatewayTimeout", "The query took too long", ("QueryTimeout", "timed out"))


def unresolved(name: str) -> Answer:
    """A table that the workspace does not have."""
    said = f"'where' operator: Failed to resolve table or column expression named '{name}'"
    return refusal(
        400,
        "BadArgumentError",
        "The request had some invalid properties",
        ("SemanticError", "A semantic error occurred."),
        ("SEM0100", said),
    )


def _syntax_error() -> Answer:
    return refusal(
        400,
        "BadArgumentError",
        "The request had some invalid properties",
        ("SyntaxError", "A recognition error occurred in the query."),
        ("SYN0002", "Query could not be parsed at 'were' on line [2,3]"),
    )


def _partial(cap: int) -> dict[str, Any]:
    said = f"The results of this query exceed the set limit of {cap} records, so not all records were returned"
    inner = {"code": "-2133196797", "message": said, "severity": 2, "severityName": "Error"}
    details = [{"code": "EngineError", "message": "Something went wrong", "innererror": inner}]
    return {"code": "PartialError", "message": "There were some errors when processing your query.", "details": details}


def _type(value: Any) -> str:
    return TYPES.get(type(value), "string")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
