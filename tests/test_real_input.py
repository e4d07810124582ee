"""Recorded input through the whole main job; the truths are counted here again, by other means."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor import reporting
from monitor.collect import collect
from monitor.config.settings import Settings
from monitor.domain.period import Period
from monitor.sources import files
from tests.replay import Call, azure_trace, mooncake_trace, response_log, under_quota
from tests.samples import NOW, totals

DAY = Period(first=date(2023, 11, 16), last=date(2023, 11, 16))


def collected(engine: sa.Engine, path: Path | str, **source: Any) -> Any:
    fields = {"name": "log", "kind": "files", "path": str(path), **source}
    settings = Settings(folder=Path(), sources=(files.Settings(**fields),))
    (result,) = collect(engine, settings, now=NOW)
    assert not result.errors
    assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
    totals(engine)
    return result


def rows(engine: sa.Engine, report: str, period: Period = DAY) -> list[dict[str, Any]]:
    answer = reporting.run(engine, Settings(folder=Path()), report, period=period, now=NOW)
    parsed: list[dict[str, Any]] = json.loads(reporting.render(answer, "json"))["rows"]
    return parsed


def replayed(folder: Path, calls: Iterator[Call]) -> list[Call]:
    kept = list(calls)
    target = folder / "search-prod" / "mistral-large-prod"
    target.mkdir(parents=True)
    (target / "trace.jsonl").write_bytes(b"".join(response_log(iter(kept))))
    return kept


def test_the_code_trace_gives_its_requests_tokens_and_peak_minute(
    shared_data: Path, engine: sa.Engine, tmp_path: Path
) -> None:
    calls = replayed(tmp_path, azure_trace(shared_data / "traces" / "AzureLLMInferenceTrace_code.csv.gz"))
    collected(engine, f"{tmp_path}/{{workspace}}/{{deployment}}/*.jsonl")
    minutes: Counter[str] = Counter()
    for call in calls:
        minutes[call.minute] += call.prompt_tokens + call.completion_tokens
    (peak_minute, peak), *_ = minutes.most_common()
    (row,) = rows(engine, "quota-headroom")
    assert row["requests"] == len(calls) == 8819
    assert (row["peak_tokens_per_minute"], row["peak_minute"]) == (peak, f"{peak_minute}:00Z")
    assert row["minutes_at_limit"] == sum(tokens >= 200_000 for tokens in minutes.values()) == 32
    assert row["peak_requests_per_minute"] == max(Counter(call.minute for call in calls).values()) < 1000
    assert row["token_headroom"] == pytest.approx(1 - peak / 200_000)
    (spend,) = rows(engine, "daily-spend")
    assert spend["prompt_tokens"] == sum(call.prompt_tokens for call in calls)
    assert spend["completion_tokens"] == sum(call.completion_tokens for call in calls)


def test_the_code_trace_under_its_quota_gives_the_throttle_events_of_a_plain_count(
    shared_data: Path, engine: sa.Engine, tmp_path: Path
) -> None:
    trace = azure_trace(shared_data / "traces" / "AzureLLMInferenceTrace_code.csv.gz")
    calls = replayed(tmp_path, under_quota(trace))
    collected(engine, f"{tmp_path}/{{workspace}}/{{deployment}}/*.jsonl")
    expected = throttle_events(calls)
    found = rows(engine, "throttle-events")
    assert [(row["started_at"], row["throttled_requests"], row["minutes"]) for row in found] == expected
    assert {row["cause"] for row in found} == {"tokens"}
    assert {row["longest_retry_after_s"] for row in found} == {12}
    assert sum(row["throttled_requests"] for row in found) == sum(call.refused for call in calls) > 0


def throttle_events(calls: list[Call]) -> list[tuple[str, int, int]]:
    """Start, refused requests and minutes with one, of minutes joined while at most one lies between them."""
    refused = Counter(datetime.fromisoformat(f"{call.minute}:00+00:00") for call in calls if call.refused)
    events: list[list[datetime]] = []
    for minute in sorted(refused):
        if events and (minute - events[-1][-1]).total_seconds() <= 120:
            events[-1].append(minute)
        else:
            events.append([minute])
    return [
        (event[0].isoformat().replace("+00:00", "Z"), sum(refused[minute] for minute in event), len(event))
        for event in events
    ]


def test_the_mooncake_trace_adds_up(shared_data: Path, engine: sa.Engine, tmp_path: Path) -> None:
    start = datetime(2023, 11, 16, tzinfo=UTC)
    path = shared_data / "traces" / "mooncake_synthetic_trace.noHash.jsonl.gz"
    calls = replayed(tmp_path, mooncake_trace(path, start))
    result = collected(engine, f"{tmp_path}/{{workspace}}/{{deployment}}/*.jsonl")
    assert result.stored == len(calls) == 3993
    (spend,) = rows(engine, "daily-spend")
    assert spend["prompt_tokens"] == sum(call.prompt_tokens for call in calls)


def test_every_recorded_body_is_a_request_and_absent_usage_is_unmeasured(
    shared_data: Path, engine: sa.Engine, tmp_path: Path
) -> None:
    recorded = [json.loads(line) for line in (shared_data / "responses" / "_index.jsonl").read_text().splitlines()]
    lines = []
    for number, one in enumerate(recorded):
        text = (shared_data / "responses" / one["file"]).read_bytes().decode()
        record = {"time": "2023-11-16T10:00:00Z", "status": one["status"], "request_id": f"r{number}", "response": text}
        lines.append(json.dumps({**record, "deployment": "all", "workspace": "w", "model": "m"}))
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    result = collected(engine, tmp_path / "all.jsonl")
    (row,) = rows(engine, "daily-spend")
    answered = [one for one in recorded if one["status"] < 400]
    usages = [one["expect"].get("usage") or {} for one in recorded]
    assert result.stored == row["requests"] == len(recorded) == 128
    assert row["unmeasured_requests"] == sum(not one["expect"].get("usage") for one in answered)
    assert row["prompt_tokens"] == sum(usage.get("prompt_tokens", usage.get("inputTokens", 0)) for usage in usages)
    assert row["completion_tokens"] == sum(
        usage.get("completion_tokens", usage.get("outputTokens", 0)) for usage in usages
    )


def test_bare_bodies_are_told_from_logs_by_themselves(shared_data: Path, engine: sa.Engine) -> None:
    result = collected(engine, shared_data / "responses" / "*-*")
    assert (result.stored, result.formats) == (128, {"chat-completion": 128})


@pytest.mark.parametrize(
    ("file", "format_", "stored", "completion_tokens"),
    [
        ("litellm-standard-logging-payload.jsonl", "litellm", 117, None),
        ("litellm-spendlogs.jsonl", "litellm-spend", 105, None),
        ("otlp-mistralai.jsonl", "otlp", 48, 3587),
        ("otlp-openai-v2.jsonl", "otlp", 33, 556),
        ("otlp-azure-ai-inference.jsonl", "otlp", 70, 4305),
    ],
)
def test_gateway_logs_are_recognised_and_calls_seen_twice_are_counted_once(
    shared_data: Path, engine: sa.Engine, file: str, format_: str, stored: int, completion_tokens: int | None
) -> None:
    result = collected(engine, shared_data / "gateway" / file)
    assert (result.stored, result.formats) == (stored, {format_: 1})
    if completion_tokens is not None:
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT sum(completion_tokens) FROM usage_day")) == completion_tokens


def test_diagnostics_count_requests_and_refusals_and_leave_tokens_unmeasured(
    shared_data: Path, engine: sa.Engine
) -> None:
    result = collected(engine, shared_data / "azure-diag" / "*.jsonl")
    assert (result.stored, result.formats) == (25, {"azure-diagnostics": 1})
    with engine.connect() as connection:
        sums = "sum(prompt_tokens), sum(unmeasured_requests), sum(failed_requests)"
        assert connection.execute(sa.text(f"SELECT {sums} FROM usage_day")).one() == (0, 24, 1)


def test_recorded_errors_keep_their_status_and_cause(shared_data: Path, engine: sa.Engine) -> None:
    collected(engine, shared_data / "errors" / "*.json", format="chat-completion")
    with engine.connect() as connection:
        counted = "sum(requests), sum(throttled_requests), sum(throttled_by_tokens), sum(throttled_by_capacity)"
        assert connection.execute(sa.text(f"SELECT {counted} FROM usage_day")).one() == (4, 3, 1, 1)


def test_pitfall_4_the_same_calls_in_two_logs_are_counted_from_the_one_that_is_believed(
    engine: sa.Engine, tmp_path: Path
) -> None:
    body = {"id": "cmpl-1", "model": "mistral-large-2407", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    own = {"time": "2023-11-16T10:00:00Z", "status": 200, "deployment": "d", "workspace": "w", "response": body}
    (tmp_path / "own.jsonl").write_text(json.dumps(own) + "\n")
    (tmp_path / "again.jsonl").write_text(json.dumps(own | {"time": "2023-11-16T10:00:01Z"}) + "\n")
    named: list[dict[str, Any]] = [
        {"name": "a-trace", "path": "again.jsonl", "priority": 50},
        {"name": "log", "path": "own.jsonl"},
    ]
    sources = tuple(files.Settings(kind="files", **{**one, "path": str(tmp_path / one["path"])}) for one in named)
    collect(engine, Settings(folder=Path(), sources=sources), now=NOW)
    (row,) = rows(engine, "daily-spend")
    assert (row["requests"], row["prompt_tokens"]) == (1, 10)
    assert isinstance(rows(engine, "sources"), list)
