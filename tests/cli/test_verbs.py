"""The verbs on real files and a real store: what they print, write and return."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from monitor.sample.folder import write_sample
from tests.cli.conftest import Run

RECORD = {
    "time": "2026-11-05T10:00:00Z",
    "status": 200,
    "response": {
        "id": "cmpl-1",
        "object": "chat.completion",
        "model": "mistral-large-2407",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    },
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, written once."""
    target = tmp_path_factory.mktemp("written")
    write_sample(target)
    return target


@pytest.fixture
def sample(written: Path, here: Path) -> Path:
    """The sample's files as the working directory, nothing collected yet."""
    copytree(written, here, dirs_exist_ok=True)
    return here


def log(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records))
    return path


def counts(text: str) -> dict[str, dict[str, int]]:
    return {source["source"]: source for source in json.loads(text)["sources"]}


# init ---------------------------------------------------------------------------------------------------------------


def test_init_writes_settings_that_collect_from_empty_folders(run: Run, here: Path) -> None:
    assert run("init").exit_code == 0
    result = run("collect", "--format", "json")
    assert result.exit_code == 0
    assert {name: source["read"] for name, source in counts(result.stdout).items()} == {
        "gateway": 0,
        "exported-costs": 0,
    }


def test_init_makes_the_folder_it_is_given(run: Run, here: Path) -> None:
    assert run("init", "deep/er").exit_code == 0
    assert (here / "deep" / "er" / "monitor.toml").read_text().startswith("# Settings of maas-monitor.")


def test_init_never_overwrites(run: Run, here: Path) -> None:
    (here / "monitor.toml").write_text("mine")
    result = run("init")
    assert result.exit_code == 2
    assert result.stderr == "maas-monitor: monitor.toml: is already there: edit it, or name another folder\n"
    assert (here / "monitor.toml").read_text() == "mine"


# collect, backfill, import ------------------------------------------------------------------------------------------


def test_collect_accounts_for_every_record_and_repeats_nothing(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "search" / "large" / "a.jsonl", RECORD, RECORD, "not JSON")
    first = counts(run("collect", "--format", "json").stdout)["gateway"]
    assert [first[name] for name in ("read", "stored", "duplicates", "ignored", "quarantined")] == [3, 1, 1, 0, 1]
    assert counts(run("collect", "--format", "json").stdout)["gateway"]["read"] == 0


def test_collect_reads_only_the_sources_named(run: Run, here: Path) -> None:
    run("init")
    assert list(counts(run("collect", "gateway", "--format", "json").stdout)) == ["gateway"]


def test_collect_names_the_nearest_source(run: Run, here: Path) -> None:
    run("init")
    result = run("collect", "gatway")
    assert result.exit_code == 2
    assert result.stderr == "maas-monitor: collect: no source named 'gatway': did you mean 'gateway'?\n"


def test_strict_is_status_4_where_records_were_quarantined(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "search" / "large" / "a.jsonl", RECORD, "not JSON")
    assert run("collect", "--strict").exit_code == 4
    assert run("collect", "--strict").exit_code == 0


def test_collect_says_where_quarantined_records_can_be_seen(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "search" / "large" / "a.jsonl", RECORD, "not JSON")
    assert "gateway: 1 could not be read: see maas-monitor quarantine list" in run("collect").stdout


def test_a_kind_of_a_later_version_is_refused_when_collected_and_stops_no_other(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.config.LATER_KINDS", ("tea-leaves",))
    run("init")
    with (here / "monitor.toml").open("a") as file:
        file.write('\n[[source]]\nname = "costs"\nkind = "tea-leaves"\nscope = "x"\n')
    log(here / "logs" / "search" / "large" / "a.jsonl", RECORD)
    result = run("collect", "--format", "json")
    assert result.exit_code == 2
    assert "kind 'tea-leaves' is not available in this version" in result.stderr
    assert counts(result.stdout)["gateway"]["stored"] == 1


def test_no_color_means_no_escape_sequences(here: Path) -> None:
    import os
    import pty
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[2]
    terminal, child = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "monitor", "reports"]
    subprocess.run(command, cwd=here, env=environment, stdout=child, stderr=child, check=True)
    os.close(child)
    said = os.read(terminal, 65536)
    os.close(terminal)
    assert b"daily-spend" in said
    assert b"\x1b" not in said


def test_tables_are_never_cut_when_nobody_watches(run: Run, here: Path) -> None:
    name = "gateway-" + "x" * 200
    (here / "monitor.toml").write_text(f'[[source]]\nname = "{name}"\nkind = "files"\npath = "*.jsonl"\n')
    assert name in run("collect").stdout


def test_a_backfill_of_what_is_known_adds_nothing(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "search" / "large" / "a.jsonl", RECORD)
    run("collect")
    result = run("backfill", "gateway", "--from", "2026-11-05", "--to", "2026-11-05", "--format", "json")
    source = counts(result.stdout)["gateway"]
    assert (source["stored"], source["duplicates"]) == (0, 1)


def test_a_backfill_takes_both_its_days_and_no_other(run: Run, here: Path) -> None:
    run("init")
    days = ("2026-11-03", "2026-11-04", "2026-11-05", "2026-11-06")
    response = RECORD["response"]
    assert isinstance(response, dict)
    records = [RECORD | {"time": f"{day}T23:59:59Z", "response": response | {"id": day}} for day in days]
    log(here / "logs" / "search" / "large" / "a.jsonl", *records)
    result = run("backfill", "gateway", "--from", "2026-11-04", "--to", "2026-11-05", "--format", "json")
    assert counts(result.stdout)["gateway"]["stored"] == 2


def test_import_needs_no_settings_and_takes_names_for_what_names_none(run: Run, here: Path) -> None:
    file = log(here / "one.jsonl", RECORD)
    labels = ("--workspace", "search-prod", "--deployment", "large", "--model", "mistral-large-2407")
    result = run("import", str(file), "--format", "response-log", *labels, "--json")
    assert result.exit_code == 0
    assert counts(result.stdout)["import"]["stored"] == 1
    assert (
        counts(run("import", str(file), "--format", "response-log", *labels, "--json").stdout)["import"]["stored"] == 0
    )


def test_import_adds_up_several_paths_and_folders(run: Run, here: Path) -> None:
    log(here / "one.jsonl", RECORD)
    response = RECORD["response"]
    assert isinstance(response, dict)
    log(here / "more" / "two.jsonl", RECORD | {"response": response | {"id": "cmpl-2"}}, RECORD)
    source = counts(run("import", "one.jsonl", "more", "--json").stdout)["import"]
    assert [source[name] for name in ("read", "stored", "duplicates")] == [3, 2, 1]


def test_import_refuses_what_is_not_there_and_formats_nobody_knows(run: Run, here: Path) -> None:
    assert "nope.jsonl: there is no such file" in run("import", "nope.jsonl").stderr
    log(here / "one.jsonl", RECORD)
    result = run("import", "one.jsonl", "--format", "response-lgo")
    assert result.exit_code == 2
    assert "did you mean 'response-log'?" in result.stderr


def test_a_file_name_with_wildcards_is_imported_as_it_stands(run: Run, here: Path) -> None:
    file = log(here / "log[1].jsonl", RECORD)
    assert counts(run("import", file.name, "--json").stdout)["import"]["stored"] == 1


# quarantine ---------------------------------------------------------------------------------------------------------


def test_the_quarantine_shows_place_and_reason_and_never_the_record(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD, '{"time": "CANARY", "status": 200}', '{"status": CANARY}')
    run("collect")
    listed = run("quarantine", "list")
    assert "2 in quarantine." in listed.stdout
    assert "logs/w/d/a.jsonl" in listed.stdout
    rows = json.loads(run("quarantine", "list", "--format", "json").stdout)["rows"]
    assert sorted(row["position"] for row in rows)[0] == len(json.dumps(RECORD)) + 1
    assert "CANARY" not in listed.stdout + json.dumps(rows)


def test_a_long_quarantine_says_how_much_is_left_out(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD, *["x"] * 3)
    log(here / "logs" / "w" / "d" / "b.jsonl", *["x"] * 2)
    run("collect", "gateway")
    assert "4 in quarantine." in run("quarantine", "list", "--limit", "2").stdout
    assert len(json.loads(run("quarantine", "list", "--limit", "3", "--format", "json").stdout)["rows"]) == 3
    assert "1 of 4 in quarantine." in run("quarantine", "list", "--limit", "1").stdout


def test_a_retry_leaves_what_still_cannot_be_read(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD, "not JSON")
    run("collect")
    result = run("quarantine", "retry", "--format", "json")
    assert result.exit_code == 0
    assert counts(result.stdout)["gateway"]["quarantined"] == 1
    assert "1 in quarantine." in run("quarantine", "list").stdout


# charges, export ----------------------------------------------------------------------------------------------------

NOBODYS = "mistral-large-2407-e0a4c7d95f1b4286b3c8d2e7f6a1905c"


def test_charges_nobody_claims_are_listed_and_can_be_mapped_and_taken_back(run: Run, sample: Path) -> None:
    run("collect", "exported-costs")
    listed = json.loads(run("charges", "map", "--format", "json").stdout)["rows"]
    assert [(row["resource"].rpartition("/")[2], row["billed_cost"], row["currency"]) for row in listed] == [
        (NOBODYS, "12.916", "USD")
    ]
    mapped = run("charges", "map", NOBODYS.upper(), "--workspace", "search-prod", "--deployment", "mistral-large-prod")
    assert (mapped.exit_code, mapped.stderr) == (0, "")
    assert run("charges", "map").stdout == "Every charge belongs to a deployment.\n"
    assert run("charges", "map", NOBODYS, "--remove").exit_code == 0
    assert NOBODYS in run("charges", "map").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope", "--workspace", "w", "--deployment", "d"), "no charged resource named 'nope'"),
        ((NOBODYS, "--workspace", "w", "--deployment", "d"), "no workspace named 'w'"),
        (
            (NOBODYS, "--workspace", "search-prod", "--deployment", "mistral-large-prd"),
            "did you mean 'mistral-large-prod'?",
        ),
        ((NOBODYS,), "does not say whose the resource is: add --workspace W --deployment D"),
    ],
)
def test_a_mapping_to_what_is_not_there_is_refused(
    run: Run, sample: Path, arguments: tuple[str, ...], message: str
) -> None:
    run("collect", "exported-costs")
    result = run("charges", "map", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_exported_charges_add_up_to_the_bill_and_to_their_manifest(run: Run, sample: Path) -> None:
    import csv
    from decimal import Decimal
    from hashlib import sha256

    run("collect", "exported-costs")
    assert run("export", "charges", "--month", "2026-11", "-o", "november.csv").exit_code == 0
    data = (sample / "november.csv").read_bytes()
    manifest = json.loads((sample / "november.csv.manifest.json").read_text())
    rows = list(csv.DictReader(data.decode().splitlines()))
    with next(sample.glob("costs/*.csv")).open(encoding="utf-8-sig", newline="") as file:
        bill = [Decimal(row["Cost"]) for row in csv.DictReader(file) if row["PublisherType"] == "Marketplace"]
    assert manifest["rows"] == len(rows) == len(bill)
    assert Decimal(manifest["billed_cost"]["USD"]) == sum(Decimal(row["billed_cost"]) for row in rows) == sum(bill)
    assert manifest["sha256"] == sha256(data).hexdigest()
    assert manifest["state"] == "open"
    assert data.count(b"\r\n") == data.count(b"\n") == len(rows) + 1
    assert {row["workspace"] for row in rows} == {"search-prod", "support-bot", "docs-batch", ""}


def test_a_month_without_charges_exports_its_header_and_is_called_missing(run: Run, here: Path) -> None:
    run("init")
    said = run("export", "charges", "--month", "2026-01", "-o", "x.csv").stdout
    assert said == "Wrote x.csv without rows: no charges are known of 2026-01.\n"
    assert json.loads((here / "x.csv.manifest.json").read_text())["state"] == "missing"
    assert (here / "x.csv").read_text().startswith("charge_period_start,charge_period_end,")


def test_an_export_that_cannot_be_written_leaves_the_old_file(run: Run, here: Path) -> None:
    run("init")
    result = run("export", "charges", "--month", "2026-01", "-o", "nowhere/x.csv")
    assert result.exit_code == 3
    assert "No such file or directory" in result.stderr
    assert [path.name for path in here.iterdir() if "x.csv" in path.name] == []


# db -----------------------------------------------------------------------------------------------------------------


def test_a_store_is_upgraded_checked_and_verified(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    assert "The schema went from nothing to" in run("db", "upgrade").stdout
    assert "as it was" in run("db", "upgrade").stdout
    run("collect")
    assert run("db", "current").stdout.startswith("0")
    assert run("db", "check").exit_code == 0
    verified = run("db", "verify")
    assert (verified.exit_code, verified.stdout) == (0, "Every sum equals the events below it.\n")


def test_a_wrong_sum_and_a_wrong_schema_are_found_with_status_1(run: Run, here: Path) -> None:
    import sqlite3

    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    run("collect")
    with sqlite3.connect(here / "monitor.db") as store:
        store.execute("UPDATE usage_minute SET prompt_tokens = prompt_tokens + 1")
        store.execute("DROP INDEX ix_charge_day")
    store.close()
    assert run("db", "verify").exit_code == 1
    checked = run("db", "check")
    assert checked.exit_code == 1
    assert "ix_charge_day" in checked.stdout


def test_records_refused_under_a_wrong_format_are_read_when_it_is_corrected(run: Run, here: Path) -> None:
    run("init")
    path = here / "monitor.toml"
    right = path.read_text()
    path.write_text(right.replace('format = "auto"', 'format = "litellm"', 1))
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD, "never json")
    assert json.loads(run("collect", "--format", "json").stdout)["sources"][0]["quarantined"] == 2
    path.write_text(right)
    (retried,) = json.loads(run("quarantine", "retry", "--format", "json").stdout)["sources"]
    assert (retried["read"], retried["stored"], retried["quarantined"]) == (2, 1, 1)
    assert json.loads(run("quarantine", "list", "--format", "json").stdout)["total"] == 1
    rows = json.loads(run("report", "sources", "--format", "json").stdout)["rows"]
    (row,) = (row for row in rows if row["kind"] == "files")
    assert (row["read"], row["stored"], row["quarantined"]) == (2, 1, 1)


def test_pruned_requests_leave_their_sums_and_are_not_counted_again(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    run("collect")
    assert run("db", "prune").stdout.startswith("Dropped 0 requests")
    monkeypatch.setenv("MONITOR_STORE_KEEP_EVENTS_DAYS", "1")
    assert run("db", "prune").stdout.startswith("Dropped 1 request from before 2026-11-08 08:00 UTC;")
    assert run("db", "verify").exit_code == 0
    log(here / "logs" / "w" / "d" / "b.jsonl", RECORD)
    again = json.loads(run("collect", "--format", "json").stdout)["sources"][0]
    assert (again["stored"], again["ignored_reasons"]) == (0, {"older than the events that are kept": 1})


# doctor -------------------------------------------------------------------------------------------------------------


def test_the_doctor_is_content_with_a_healthy_monitor(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    log(here / "costs" / "none.csv")
    (here / "monitor.toml").write_text((here / "monitor.toml").read_text().partition('[[source]]\nname = "exported')[0])
    run("collect")
    result = run("doctor")
    assert "WRONG" not in result.stdout
    assert result.exit_code == 0


def test_the_doctor_creates_no_store(run: Run, here: Path) -> None:
    run("doctor")
    assert list(here.iterdir()) == []


def test_the_doctor_names_the_remedy_of_everything_that_is_wrong(run: Run, sample: Path) -> None:
    log(sample / "logs" / "search-prod" / "mistral-large-prod" / "zz.jsonl", RECORD, "not JSON")
    log(sample / "logs" / "search-prod" / "mistral-large-prod" / "odd.jsonl", "what is this", "nobody knows")
    with (sample / "monitor.toml").open("a") as file:
        file.write('\n[[source]]\nname = "gone"\nkind = "files"\npath = "gone/*.jsonl"\n')
    run("collect")
    result = run("doctor", "--format", "json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)["findings"]
    wrong = {f"{one['subject']}: {one['what']}" for one in findings if one["state"] == "wrong"}
    assert any(
        line.startswith("source 'gateway': ") and line.endswith("odd.jsonl is of no known format") for line in wrong
    )
    assert "model 'mistral-contracts-preview': has no price" in wrong
    assert "charges: 1 billed resource belongs to no deployment" in wrong
    assert any(line.startswith("source 'gone': no file matches") for line in wrong)
    assert any("records could not be read" in line for line in wrong)
    assert all(one["remedy"] for one in findings if one["state"] != "well")


def test_the_doctor_tells_a_store_it_cannot_write(run: Run, here: Path) -> None:
    run("init")
    run("collect")
    (here / "monitor.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    result = run("doctor")
    assert result.exit_code in {1, 3}
    assert "Traceback" not in result.stderr


def test_a_record_of_a_file_that_was_replaced_is_not_cured_by_the_new_one(run: Run, here: Path) -> None:
    run("init")
    path = here / "logs" / "w" / "d" / "a.jsonl"
    log(path, "x" * len(RECORD))
    (here / "monitor.toml").write_text((here / "monitor.toml").read_text().replace('"auto"', '"response-log"', 1))
    run("collect")
    path.unlink()
    log(path, RECORD)
    run("collect")
    (retried,) = json.loads(run("quarantine", "retry", "--format", "json").stdout)["sources"]
    assert (retried["stored"], retried["quarantined"]) == (0, 1)


def test_a_zone_and_an_ending_that_are_none_are_refused(run: Run, here: Path) -> None:
    run("init")
    run("collect")
    wrong = run("report", "sources", "--tz", "europe/berlin")
    assert (wrong.exit_code, "did you mean 'Europe/Berlin'?" in wrong.stderr) == (2, True)
    assert run("report", "sources", "--tz", "").exit_code == 2
    refused = run("report", "sources", "-o", "sources.pdf")
    assert (refused.exit_code, (here / "sources.pdf").exists()) == (2, False)
    assert "no report is written as .pdf" in refused.stderr
