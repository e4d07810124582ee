"""What holds for every format that is found, also for one added tomorrow."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.records import Ignored, Rejected, UsageEvent
from monitor.errors import UnknownNameError
from monitor.sources.formats import Format, detect, formats, named
from monitor.sources.reading import Reading

READ = Reading(modified_ms=1_795_359_477_000, count_without_response_id=True)
EVERY = pytest.mark.parametrize("format_", formats().values(), ids=list(formats()))

SPAN = {
    "endTimeUnixNano": "1795359477000000000",
    "traceId": "t",
    "spanId": "s",
    "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}}],
}
CALL = {"call_type": "completion", "prompt_tokens": 5, "status": "success", "startTime": 1795359476.5}
SAMPLES: dict[str, dict[str, Any]] = {
    "response-log": {
        "time": "2026-11-22T14:57:57Z",
        "status": 200,
        "request_id": "r",
        "duration_ms": 5,
        "headers": {"retry-after": "1"},
        "request": {"max_tokens": 5, "model": "m", "stream": False},
        "response": {"id": "c", "usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}},
    },
    "chat-completion": {"id": "c", "created": 1795359477, "choices": [{"text": "x"}], "usage": {"prompt_tokens": 5}},
    "litellm": CALL | {"id": "c", "endTime": 1795359477.0, "model": "m", "messages": "", "error_information": {}},
    "litellm-spend": CALL
    | {"request_id": "c", "startTime": "2026-11-22", "endTime": "2026-11-22 14:57:57", "spend": 1.0},
    "otlp": {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]},
    "apim-llm": {
        "TimeGenerated": "2026-11-22T14:57:57.1234567Z",
        "CorrelationId": "c",
        "DeploymentName": "mistral-large-prod",
        "ModelName": "mistral-large-2407",
        "PromptTokens": 5,
        "CompletionTokens": "1",
        "TotalTokens": 6,
        "ResponseCode": 200,
        "BackendResponseCode": 200,
        "BackendUrl": "https://mistral-large-prod.eastus2.models.ai.azure.com/v1/chat/completions",
    },
    "azure-diagnostics": {
        "time": "2026-11-22T14:57:57Z",
        "category": "RequestResponse",
        "operationName": "ChatCompletions_Create",
        "resultSignature": "200",
        "resourceId": "/a/b",
        "properties": "{}",
    },
}


def outcomes(format_: Format, record: bytes) -> list[UsageEvent | Ignored | Rejected]:
    outcome = format_.decode(record, READ)
    return outcome if isinstance(outcome, list) else [outcome]


@EVERY
def test_a_format_says_what_it_is(format_: Format) -> None:
    assert format_.NAME.lower().replace("_", "-") == format_.NAME
    assert format_.FRAMING in {"lines", "document"}
    assert (format_.__doc__ or "").split("\n", maxsplit=1)[0].endswith((".", ":", "line.", "it."))
    assert named(format_.NAME) is format_


def test_the_formats_of_the_contract_are_there_and_none_is_believed_like_another() -> None:
    assert set(SAMPLES) <= set(formats())
    authorities = [format_.AUTHORITY for format_ in formats().values()]
    assert authorities == sorted(set(authorities))


@EVERY
def test_a_format_recognises_its_own_records_and_no_others(format_: Format) -> None:
    assert [name for name, sample in SAMPLES.items() if format_.recognises(sample)] == [format_.NAME]
    assert not format_.recognises({})
    assert not format_.recognises({"level": "info", "message": "started"})


@EVERY
def test_a_format_reads_its_own_records(format_: Format) -> None:
    (event,) = outcomes(format_, json.dumps(SAMPLES[format_.NAME]).encode())
    assert isinstance(event, UsageEvent)
    assert (event.minute, event.status) == (29922657, 200)
    assert event.prompt_tokens == (None if format_.NAME == "azure-diagnostics" else 5)


@EVERY
@pytest.mark.parametrize("odd", ["1e400", "NaN", '"\\ud800"', "9" * 5000])
def test_an_odd_value_in_a_field_nobody_reads_loses_nothing(format_: Format, odd: str) -> None:
    record = json.dumps(SAMPLES[format_.NAME]).replace("{", f'{{"odd": {odd}, ', 1).encode()
    assert isinstance(outcomes(format_, record)[0], UsageEvent)


@EVERY
def test_bytes_that_are_not_utf_8_are_quarantined_wherever_they_stand(format_: Format) -> None:
    record = json.dumps(SAMPLES[format_.NAME]).encode().replace(b"{", b'{"odd": "\xff", ', 1)
    assert isinstance(outcomes(format_, record)[0], Rejected)


@EVERY
@given(record=st.binary(max_size=120))
def test_no_bytes_raise(format_: Format, record: bytes) -> None:
    outcomes(format_, record)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@EVERY
@given(data=st.data())
def test_no_change_to_a_valid_record_raises(format_: Format, data: st.DataObject) -> None:
    sample: Any = json.loads(json.dumps(SAMPLES[format_.NAME]))
    place, key = data.draw(st.sampled_from(list(_places(sample))))
    place[key] = data.draw(JSON)
    record = json.dumps(sample).encode()
    at = data.draw(st.integers(0, len(record)))
    for mutated in (record, record[:at], record[:at] + data.draw(st.binary(max_size=3)) + record[at:]):
        for outcome in outcomes(format_, mutated):
            if isinstance(outcome, UsageEvent):
                "".join(filter(None, (outcome.identity, outcome.model, outcome.deployment, outcome.workspace))).encode()
    if isinstance(sample, dict):
        format_.recognises(sample)


def _places(value: Any) -> Any:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@EVERY
def test_a_file_is_recognised_by_its_first_records(format_: Format) -> None:
    line = json.dumps(SAMPLES[format_.NAME]).encode()
    garbage = b'half-written"}\n\n{"level": "info"}\nnot json\n'
    for sample in (line, line + b"\n" + line[:20], b"\xef\xbb\xbf" + line, garbage + line + b"\r\n" + line, line[:-1]):
        assert detect(sample) is format_, sample
    assert detect(json.dumps(SAMPLES[format_.NAME], indent=2).encode()) is format_


def test_a_stream_of_events_is_recognised() -> None:
    data = json.dumps(SAMPLES["chat-completion"])
    assert detect(f"data: {data}\n\ndata: [DONE]\n\n".encode()) is named("chat-completion")


def test_a_first_line_longer_than_the_sample_is_recognised_by_its_beginning() -> None:
    long = SAMPLES["response-log"] | {"response": {"choices": ["x" * 100_000]}}
    assert detect(json.dumps(long).encode()[:65536]) is named("response-log")


def test_the_majority_decides_and_nothing_is_guessed() -> None:
    lines = [json.dumps(SAMPLES[name]) for name in ("chat-completion", "response-log", "response-log")]
    assert detect("\n".join(lines).encode()) is named("response-log")
    for nothing in (b"", b"\n\n", b"{}", b"[]", b"a,b\n1,2\n", b'{"level": "info"}', b"\xff" * 100, b"[" * 60_000):
        assert detect(nothing) is None


def test_recorded_files_are_recognised(shared_data: Path) -> None:
    kinds = {
        "litellm-standard": "litellm",
        "litellm-spend": "litellm-spend",
        "otlp": "otlp",
        "openai_PT1H": "azure-diagnostics",
    }
    found = list(shared_data.glob("gateway/*.jsonl")) + list(shared_data.glob("azure-diag/*.jsonl"))
    for path in found:
        expected = next(name for start, name in kinds.items() if path.name.startswith(start))
        recognised = detect(path.read_bytes()[:65536])
        assert recognised is not None
        assert expected == recognised.NAME
    bodies = [path for path in (shared_data / "responses").iterdir() if not path.name.startswith("_")]
    for path in bodies + list((shared_data / "errors").iterdir()):
        assert detect(path.read_bytes()[:65536]) is named("chat-completion"), path.name


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="response-log"):
        named("respons-log")
    for odd in ("", "..", "a/b", "__init__", "response_log.x"):
        with pytest.raises(UnknownNameError):
            named(odd)


def test_one_format_is_imported_without_the_others() -> None:
    code = (
        "import sys; from monitor.sources.formats import named; named('response-log');"
        "print(sorted(name for name in sys.modules if name.startswith('monitor.sources.formats.')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['monitor.sources.formats.response_log']"
