"""Azure's RequestResponse records: requests and statuses, no tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.records import Rejected, UsageEvent
from monitor.sources.formats.azure_diagnostics import NOT_A_MODEL_CALL, OTHER_CATEGORY, decode
from monitor.sources.reading import Reading

PROPERTIES = {"modelDeploymentName": "mistral-large", "modelName": "Mistral-Large-3", "responseLength": 1622}
RECORD: dict[str, Any] = {
    "time": "2026-01-15T10:45:59.9999999Z",
    "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/MYACCT",
    "operationName": "ChatCompletions_Create",
    "category": "RequestResponse",
    "resultSignature": "200",
    "correlationId": "c-1",
    "properties": PROPERTIES,
}


def decoded(**changes: Any) -> Any:
    return decode(json.dumps(RECORD | changes).encode(), Reading())


@pytest.mark.parametrize("properties", [PROPERTIES, json.dumps(PROPERTIES)])
def test_a_record_is_read_whole_and_its_time_is_cut(properties: Any) -> None:
    assert decoded(properties=properties) == UsageEvent(
        minute=29474565,
        millisecond=59_999,
        identity="c-1",
        workspace="myacct",
        deployment="mistral-large",
        model="Mistral-Large-3",
        status=200,
    )


@pytest.mark.parametrize(
    ("signature", "status"), [("429", 429), (429, 429), ("", None), (None, None), ("Failed", None)]
)
def test_the_result_signature_is_the_status(signature: Any, status: int | None) -> None:
    assert decoded(resultSignature=signature).status == status


def test_other_records_are_ignored_by_name() -> None:
    assert decoded(category="Audit") == OTHER_CATEGORY
    for operation in ("ListModels", "Models_List", "Responses_Get", "", None):
        assert decoded(operationName=operation) == NOT_A_MODEL_CALL
    for operation in ("Embeddings_Create", "Completions_Create", "chatcompletions_create"):
        assert isinstance(decoded(operationName=operation), UsageEvent)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": "now"}, "time: not an RFC 3339 time with a zone"),
        ({"properties": "{"}, "properties: not valid JSON"),
        ({"correlationId": 5}, "correlationId: expected str | null, got int"),
        ({"resourceId": "/" + "x" * 600}, "resourceId: longer than a name"),
    ],
)
def test_what_cannot_be_understood_is_quarantined(changes: dict[str, Any], reason: str) -> None:
    assert decoded(**changes) == Rejected(reason)


def test_recorded_records_are_requests_whose_tokens_are_not_known(shared_data: Path) -> None:
    lines = (shared_data / "azure-diag/openai_PT1H_first25.jsonl").read_bytes().splitlines()
    events = [decode(text, Reading()) for text in lines if text.strip()]
    assert all(isinstance(event, UsageEvent) and event.prompt_tokens is None for event in events)
    assert sorted(event.status for event in events if isinstance(event, UsageEvent)) == [200] * 24 + [400]  # type: ignore[type-var]
    assert len({event.identity for event in events if isinstance(event, UsageEvent)}) == 25
