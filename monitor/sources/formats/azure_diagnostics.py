"""Azure's diagnostic records of category RequestResponse (PT1H.json): requests and throttles, never tokens.

They carry status and bytes of every request to a Foundry or Azure OpenAI account, so that its tokens are unmeasured.
The workspace is the account, the last part of the resource id; the deployment stands in the properties, which may be
JSON in text.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from monitor.domain import instant
from monitor.domain.records import Ignored, Outcome, UsageEvent
from monitor.sources.completion import Name
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, convert, loads, outcome_of

NAME = "azure-diagnostics"
AUTHORITY = 90
FRAMING = "lines"

CATEGORY = "RequestResponse"
OTHER_CATEGORY = Ignored("not a RequestResponse record")
NOT_A_MODEL_CALL = Ignored("not a call of a model")

CALLS = ("completion", "embedding", "responses_create", "messages_create")
NO_CALLS = ("_list", "_get", "_delete", "_update", "_cancel")


class _Properties(Struct, gc=False):
    deployment: Name | None = msgspec.field(default=None, name="modelDeploymentName")
    model: Name | None = msgspec.field(default=None, name="modelName")


class _Record(Struct, gc=False):
    time: str
    category: str
    operation: str | None = msgspec.field(default=None, name="operationName")
    status: str | int | None = msgspec.field(default=None, name="resultSignature")
    correlation_id: Name | None = msgspec.field(default=None, name="correlationId")
    resource_id: str | None = msgspec.field(default=None, name="resourceId")
    properties: _Properties | str | None = None


_decoder = msgspec.json.Decoder(_Record)


def recognises(record: Mapping[str, Any]) -> bool:
    """The envelope that every diagnostic record of Azure has."""
    return {"time", "category", "operationName"} <= record.keys() and "resourceId" in record


def decode(record: bytes, read: Reading) -> Outcome:
    """Decode one record."""
    return outcome_of(record, _decoder, _outcome)


def _outcome(record: _Record) -> UsageEvent | Ignored:
    if record.category != CATEGORY:
        return OTHER_CATEGORY
    operation = (record.operation or "").lower()
    if not any(call in operation for call in CALLS) or operation.endswith(NO_CALLS):
        return NOT_A_MODEL_CALL
    try:
        minute, millisecond = instant.parse(record.time)
    except ValueError as error:
        raise UnreadableError(f"time: {error}") from None
    properties = _properties(record.properties)
    account = (record.resource_id or "").rstrip("/").rpartition("/")[2].lower()
    if len(account) > 512:
        raise UnreadableError("resourceId: longer than a name")
    return UsageEvent(
        minute=minute,
        millisecond=millisecond,
        identity=record.correlation_id or None,
        workspace=account or None,
        deployment=properties.deployment or None,
        model=properties.model or None,
        status=_status(record.status),
    )


def _properties(written: _Properties | str | None) -> _Properties:
    if not isinstance(written, str):
        return written or _Properties()
    if not written:
        return _Properties()
    try:
        value = loads(written)
    except UnreadableError as error:
        raise UnreadableError(f"properties: {error.reason}") from None
    return convert(value, _Properties)


def _status(signature: str | int | None) -> int | None:
    text = str(signature)
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() and text[0] != "0" else None
