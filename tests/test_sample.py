"""The sample: the same bytes every run, and as full of trouble as it claims to be."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor.config import load
from monitor.errors import SettingsError
from monitor.sample.folder import write_sample
from monitor.sample.traffic import PROFILES, TOKENS_PER_MINUTE, WEEK


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's folder."""
    target = tmp_path_factory.mktemp("sample")
    write_sample(target)
    return target


def records(sample: Path, deployment: str = "*") -> Iterator[Any]:
    for file in sorted(sample.glob(f"logs/*/{deployment}/*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        yield from map(json.loads, data.splitlines())


def bill(sample: Path) -> list[dict[str, str]]:
    with next(sample.glob("costs/*.csv")).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256(b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)).hexdigest()


def test_a_second_run_writes_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    write_sample(tmp_path)
    assert digest(tmp_path) == digest(sample)


def test_a_second_run_into_the_same_folder_touches_nothing(sample: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    write_sample(sample)
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*")} == before


def test_settings_that_are_not_a_samples_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text("[report]\n")
    with pytest.raises(SettingsError, match="holds settings of your own: name another folder"):
        write_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["monitor.toml"]


def test_edited_settings_of_a_sample_stay_edited(tmp_path: Path) -> None:
    file = write_sample(tmp_path)
    edited = file.read_text() + '\n[[rule]]\nkind = "quota-headroom"\n'
    file.write_text(edited)
    write_sample(tmp_path)
    assert file.read_text() == edited


def test_its_settings_describe_three_workspaces_and_five_models(sample: Path) -> None:
    settings = load(sample / "monitor.toml", {})
    assert len(settings.workspaces) == 3
    assert len({deployment.model for deployment in settings.deployments}) == 5
    assert {profile.deployment for profile in PROFILES} == {deployment.name for deployment in settings.deployments}


def test_its_paths_are_relative_so_that_the_folder_can_be_moved(sample: Path) -> None:
    assert str(sample) not in (sample / "monitor.toml").read_text()


def test_it_holds_between_ten_and_twenty_thousand_requests_of_one_week(sample: Path) -> None:
    assert 10_000 <= sum(1 for _ in records(sample)) <= 20_000
    assert {path.name[:10] for path in sample.glob("logs/*/*/*")} == {str(day) for day in WEEK}


def test_the_throttled_afternoon_exceeds_the_quota_and_is_refused_for_tokens(sample: Path) -> None:
    minutes: Counter[str] = Counter()
    refused = []
    for record in records(sample, "mistral-large-prod"):
        if record["status"] == 429:
            refused.append(record)
        elif isinstance(record["response"], dict) and "usage" in record["response"]:
            minutes[record["time"][:16]] += record["response"]["usage"]["total_tokens"]
    assert {record["time"][:10] for record in refused} == {"2026-11-04"}
    assert {record["time"][:13] for record in refused} == {"2026-11-04T14", "2026-11-04T15"}
    assert all("MinuteTokens" in record["response"]["error"]["message"] for record in refused)
    assert max(minutes.values()) > TOKENS_PER_MINUTE
    assert {record["time"][:16] for record in refused} <= {
        minute for minute, used in minutes.items() if used >= TOKENS_PER_MINUTE
    }


def test_one_stream_was_cut_before_its_usage(sample: Path) -> None:
    streams = [
        record["response"] for record in records(sample, "mistral-small-chat") if isinstance(record["response"], str)
    ]
    assert len(streams) > 100
    assert sum("[DONE]" not in stream and "usage" not in stream for stream in streams) == 1


def test_there_are_failures_and_filtered_answers(sample: Path) -> None:
    statuses = Counter(record.get("status") for record in records(sample))
    assert statuses[503] > 0
    assert statuses[400] > 0
    assert '"finish_reason": "content_filter"' in json.dumps(list(records(sample, "m*")))


def test_the_bill_fits_the_logs_but_for_calls_that_no_log_has_seen(sample: Path) -> None:
    logged = sum(
        record["response"]["usage"]["prompt_tokens"]
        for record in records(sample, "mistral-large-prod")
        if record["status"] == 200 and not record["time"].startswith(str(WEEK[-1]))
    )
    billed = sum(
        Decimal(row["Quantity"]) * 1000
        for row in bill(sample)
        if "5b0c3a4f9d2e4c6fa1b87d3e6f2a9c01" in row["ResourceId"] and "input" in row["MeterName"]
    )
    assert logged < billed < logged * Decimal("1.005")


def test_every_cost_is_quantity_times_price(sample: Path) -> None:
    rows = [row for row in bill(sample) if row["PublisherType"] == "Marketplace"]
    assert all(Decimal(row["Cost"]) == Decimal(row["Quantity"]) * Decimal(row["EffectivePrice"]) for row in rows)


def test_the_last_day_is_not_billed_yet_and_one_resource_is_nobodys(sample: Path) -> None:
    rows = bill(sample)
    assert {row["Date"] for row in rows} == {f"{day:%m/%d/%Y}" for day in WEEK[:-1]}
    claimed = {deployment.saas_resource for deployment in load(sample / "monitor.toml", {}).deployments}
    billed = {row["ResourceName"] for row in rows if row["PublisherType"] == "Marketplace"}
    assert len(billed - claimed) == 1
    assert claimed <= billed
