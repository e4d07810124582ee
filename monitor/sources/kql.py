"""The questions put to Log Analytics, as text of the Kusto query language, for one window of time at a time.

The built-in question is about the two tables that API Management fills. Its parts:

1 `llm`: one row per request that the gateway recognised as a model call, SequenceNumber 0; the rows above it carry
  pieces of prompts and answers, whose columns are named nowhere here. 2 `gateway`: one row per request of any API.
  3 `touched`: the requests of which either table has a row in the window. 4 Both halves of each of these, wherever in
  time the other half lies: a left outer join would lose the refusals, which have no row in `llm`. 5 Those of which the
  half that came last lies in the window, so that windows side by side have no request in common. A half that stands
  alone in `gateway` is a model call if its URL is one's: that is said by the row alone, and so the same whenever it is
  asked, unlike "an API that some other request has used for a model".

A window is over `ingestion_time()` for what is new, over TimeGenerated for a past range. Only the first is complete:
a record can arrive two days after its TimeGenerated (Log Analytics resets anything older to the time of arrival), and a
window over TimeGenerated that has been read would never be looked at again. `ingestion_time()` is not exact to the
second and gives no order, so windows overlap and every request has an identity: completeness comes from the overlap,
counting once from the identity, and neither from the clocks.
"""

from datetime import UTC, datetime, timedelta

from monitor.errors import SettingsError
from monitor.sources.formats.apim_llm import MODEL_CALL

FROM, TO = "{from}", "{to}"

LATEST_ARRIVAL = timedelta(days=2)
"""How long before its arrival a record's TimeGenerated lies at most; Log Analytics resets what is older."""
AHEAD = timedelta(days=1)
"""How far after its arrival it lies at most."""
APART = timedelta(hours=1)
"""How far apart the two tables may say that one request began; both mean the same instant."""

LLM_TABLE, GATEWAY_TABLE = "ApiManagementGatewayLlmLog", "ApiManagementGatewayLogs"

_GATEWAY = """\
let asked_from = datetime({first});
let asked_to = datetime({last});
let begun_after = datetime({earliest});
let begun_before = datetime({latest});
let llm = {llm_table}
| where TimeGenerated >= begun_after and TimeGenerated < begun_before and SequenceNumber == 0
| project CorrelationId, LlmTime = TimeGenerated, LlmIngested = ingestion_time(), DeploymentName, ModelName,
    PromptTokens, CompletionTokens, TotalTokens;
let gateway = {gateway_table}
| where TimeGenerated >= begun_after and TimeGenerated < begun_before and isnotempty(CorrelationId)
| project CorrelationId, GatewayTime = TimeGenerated, GatewayIngested = ingestion_time(),
    IsModelCall = Method == "POST"
        and Url matches regex @"(?i){model_call}",
    ResponseCode, BackendResponseCode, BackendUrl = tostring(split(BackendUrl, "?")[0]), Cache,
    RetryAfter = coalesce(tostring(BackendResponseHeaders["Retry-After"]),
        tostring(BackendResponseHeaders["retry-after"]));
let touched = union
    (llm | where Llm{clock} >= asked_from and Llm{clock} < asked_to | project CorrelationId),
    (gateway | where Gateway{clock} >= asked_from and Gateway{clock} < asked_to | project CorrelationId)
| distinct CorrelationId;
touched
| join kind=leftouter llm on CorrelationId
| join kind=leftouter gateway on CorrelationId
| where isnotnull(LlmTime) or IsModelCall
| project TimeGenerated = coalesce(LlmTime, GatewayTime),
    IngestedAt = iff(isnull(LlmIngested) or GatewayIngested > LlmIngested, GatewayIngested, LlmIngested),
    HasLlmLog = isnotnull(LlmTime), HasGatewayLog = isnotnull(GatewayTime), CorrelationId, DeploymentName, ModelName,
    PromptTokens, CompletionTokens, TotalTokens, ResponseCode, BackendResponseCode, BackendUrl, Cache, RetryAfter
| where {column} >= asked_from and {column} < asked_to"""


def gateway_query(first: datetime, last: datetime, *, rows: int, by_arrival: bool) -> str:
    """Ask for the requests of which something arrived, or which began, in [first, last); at most so many rows."""
    before, after = (LATEST_ARRIVAL, AHEAD) if by_arrival else (APART, APART)
    said = _GATEWAY.format(
        first=written(first),
        last=written(last),
        earliest=written(first - before),
        latest=written(last + after),
        clock="Ingested" if by_arrival else "Time",
        column="IngestedAt" if by_arrival else "TimeGenerated",
        llm_table=LLM_TABLE,
        gateway_table=GATEWAY_TABLE,
        model_call=MODEL_CALL,
    )
    return _at_most(said, rows)


def custom_query(query: str, first: datetime, last: datetime, *, rows: int) -> str:
    """Ask the settings' own question about [first, last); at most so many rows."""
    return _at_most(query.replace(FROM, f"datetime({written(first)})").replace(TO, f"datetime({written(last)})"), rows)


def bounds_itself(query: str) -> bool:
    """Whether a query says where its window begins and ends; if not, the window is a bound on TimeGenerated."""
    return FROM in query


def check(subject: str, query: str) -> None:
    """Refuse a query that no window could be put into."""
    if not query.strip():
        raise SettingsError(subject, "query is empty", "leave it out for API Management's tables")
    if (FROM in query) != (TO in query):
        missing = TO if FROM in query else FROM
        raise SettingsError(subject, f"query has no {missing}", f"write both {FROM} and {TO}, or neither")


def written(moment: datetime) -> str:
    """Write an instant as Kusto reads it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _at_most(query: str, rows: int) -> str:
    # On a line of its own, because the last line of a query may end in a comment.
    return f"{query.rstrip().rstrip(';')}\n| take {rows}"
