"""API Management's generative AI gateway logs: joined rows of its tables as JSON lines, or records of its storage logs.

A joined row has the columns of ApiManagementGatewayLlmLog (model and tokens) and those of ApiManagementGatewayLogs
(status and backend) of one request; either half may be missing. A record of a diagnostic setting is `time`, `category`
(GatewayLlmLogs or GatewayLogs) and `properties`, an object or JSON in text. Names are read in any case; what a column
holds may be text. Prompts and answers (RequestMessages, ResponseMessages) are never looked at.

A request is known by its CorrelationId. Its record with SequenceNumber 0 says what it used; those above carry pieces of
messages and count nothing. The status is Azure's own answer where there is one (BackendResponseCode), else the
gateway's: a 429 of Azure is a throttle of the deployment, a refusal that the gateway made by itself never reached Azure
and is ignored. No tokens, or zero of both kinds, is what the gateway writes where it saw no usage: unmeasured.
"""

import re
from collections.abc import Mapping
from typing import Any

from monitor.domain import throttle
from monitor.domain.endpoints import endpoint
from monitor.domain.records import Ignored, Outcome, Rejected, UsageEvent
from monitor.sources.cells import instant_in, status_in, text_in, whole_in
from monitor.sources.completion import TOTAL_TOO_SMALL
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, decode_object, loads, storable

NAME = "apim-llm"
AUTHORITY = 25
FRAMING = "lines"

LLM_LOG, GATEWAY_LOG = "gatewayllmlogs", "gatewaylogs"

MESSAGES = Ignored("a piece of a message")
OTHER_CATEGORY = Ignored("not a gateway log of a model call")
TOKENS_ELSEWHERE = Ignored("answered: its tokens stand in GatewayLlmLogs")
REFUSED_BY_GATEWAY = Ignored("refused by the gateway itself")
CACHED = Ignored("answered from the gateway's cache")

MODEL_CALL = r"^[^?]*/(chat/completions|completions|embeddings|responses|messages|ocr)/?(\?|$)"
"""How the path of a call of a model ends; written so that Kusto's and Python's regular expressions agree."""

CLIENT_ERRORS = range(400, 499)
"""What a gateway answers when it refuses; 499 is a caller who left, whose request may have reached Azure."""

_MODEL_CALL = re.compile(MODEL_CALL, re.IGNORECASE)


def recognises(record: Mapping[str, Any]) -> bool:
    """The categories of a gateway's records, or a correlation id beside what only a model call or a backend has."""
    names = {name.lower() for name in record}
    if "category" in names and "time" in names:
        return str(record.get("category")).lower() in (LLM_LOG, GATEWAY_LOG)
    return {"timegenerated", "correlationid"} <= names and not names.isdisjoint(
        ("prompttokens", "completiontokens", "deploymentname", "backendresponsecode", "sequencenumber")
    )


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one line."""
    try:
        return outcome_of(decode_object(record))
    except UnreadableError as error:
        return Rejected(error.reason)


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Say what a row counts as, by its columns' names in any case; UnreadableError names a column that is not right."""
    fields = {name.lower(): value for name, value in row.items()}
    if "timegenerated" not in fields and "category" in fields:
        return _record(fields)
    outcome = _joined(fields)
    return storable(outcome) if isinstance(outcome, UsageEvent) else outcome


def _record(fields: Mapping[str, Any]) -> Outcome:
    """Read a record that a diagnostic setting wrote to storage or to an event hub: one half of a request."""
    category = str(fields["category"]).lower()
    if category not in (LLM_LOG, GATEWAY_LOG):
        return OTHER_CATEGORY
    said = _properties(fields.get("properties"))
    said = {"correlationid": fields.get("correlationid"), **said, "timegenerated": fields.get("time")}
    if category == LLM_LOG:
        outcome = _joined(said)
    elif not _MODEL_CALL.search(text_in(said, "url", limit=None) or ""):
        outcome = OTHER_CATEGORY
    else:
        outcome = _joined(said)
        if isinstance(outcome, UsageEvent) and (outcome.status or 0) < CLIENT_ERRORS.start:
            outcome = TOKENS_ELSEWHERE
    return storable(outcome) if isinstance(outcome, UsageEvent) else outcome


def _properties(written: Any) -> dict[str, Any]:
    if isinstance(written, str):
        try:
            written = loads(written)
        except UnreadableError as error:
            raise UnreadableError(f"properties: {error.reason}") from None
    if not isinstance(written, dict):
        raise UnreadableError("properties: not an object")
    return {name.lower(): value for name, value in written.items()}


def _joined(fields: Mapping[str, Any]) -> UsageEvent | Ignored:
    if whole_in(fields, "sequencenumber"):
        return MESSAGES
    minute, millisecond = instant_in(fields, "timegenerated")
    status = status_in(fields, "backendresponsecode")
    answered = status_in(fields, "responsecode")
    prompt_tokens, completion_tokens = _tokens(fields)
    if prompt_tokens is None and completion_tokens is None and status is None and answered in CLIENT_ERRORS:
        return REFUSED_BY_GATEWAY
    if (text_in(fields, "cache") or "").lower() == "hit":
        return CACHED
    status = answered if status is None else status
    backend, named = _address(fields), text_in(fields, "deploymentname")
    # A serverless endpoint's host is the deployment; what the log then calls so is what the caller asked for.
    serverless = bool(backend and endpoint(backend).region)
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=text_in(fields, "correlationid"),
        deployment=None if serverless else named,
        model=text_in(fields, "modelname"),
        requested_model=named,
        endpoint=backend,
        status=status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        retry_after_ms=_wait(fields, minute) if status == throttle.THROTTLED else None,
    )


def _tokens(fields: Mapping[str, Any]) -> tuple[int | None, int | None]:
    prompt_tokens, completion_tokens = whole_in(fields, "prompttokens"), whole_in(fields, "completiontokens")
    total = whole_in(fields, "totaltokens")
    if not prompt_tokens and not completion_tokens:
        return None, None
    if total and total < (prompt_tokens or 0) + (completion_tokens or 0):
        raise UnreadableError(TOTAL_TOO_SMALL)
    return prompt_tokens, completion_tokens


def _address(fields: Mapping[str, Any]) -> str | None:
    """Where the backend was asked, without the query: keys may stand there."""
    backend = text_in(fields, "backendurl", limit=None)
    if not backend:
        return None
    address = re.split(r"[?#]", backend, maxsplit=1)[0]
    return address[:512]


def _wait(fields: Mapping[str, Any], minute: int) -> int | None:
    asked = text_in(fields, "retryafter")
    return throttle.retry_after_ms("", {"retry-after": asked}, minute * 60_000) if asked else None
