"""What a newcomer meets on the first day: mistakes named where they were made, logs, and tables that fit."""

import json
from pathlib import Path

import pytest

from monitor.cli.quarantine import place
from monitor.cli.tables import laid_out
from monitor.domain.answer import Column
from monitor.sample.folder import write_sample
from tests.cli.conftest import Run
from tests.cli.test_verbs import NOBODYS, RECORD, log

UNREADABLE_ROW = "BillingCurrency,Date,Cost,MeterName,ResourceId,PublisherType\n"


@pytest.fixture
def sample(here: Path) -> Path:
    """The sample's files as the working directory, nothing collected yet."""
    write_sample(here)
    return here


# Stores -------------------------------------------------------------------------------------------------------------


def test_a_report_without_settings_and_store_makes_no_store(run: Run, here: Path) -> None:
    result = run("report", "daily-spend")
    assert result.exit_code == 2
    assert "run maas-monitor init or add --store URL" in result.stderr
    assert list(here.iterdir()) == []


def test_a_report_on_a_store_that_was_asked_for_is_answered(run: Run, here: Path) -> None:
    assert run("report", "daily-spend", "--store", "sqlite:///monitor.db").exit_code == 0


def test_an_import_without_settings_begins_the_store(run: Run, here: Path) -> None:
    log(here / "one.jsonl", RECORD)
    assert run("import", "one.jsonl").exit_code == 0
    assert run("report", "daily-spend", "--month", "2026-11").exit_code == 0


def test_a_store_that_is_no_database_is_named_with_its_remedy(run: Run, here: Path) -> None:
    run("init")
    (here / "monitor.db").write_text("not a database at all, but long enough to be read as one " * 20)
    result = run("report", "daily-spend")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"maas-monitor: {here}/monitor.db: file is not a database: name another store")
    assert result.stderr.count("\n") == 1


def test_the_doctor_goes_on_where_the_store_is_no_database(run: Run, here: Path) -> None:
    run("init")
    (here / "monitor.db").write_text("not a database at all, but long enough to be read as one " * 20)
    result = run("doctor")
    assert (result.exit_code, result.stderr) == (1, "")
    assert f"WRONG {here}/monitor.db: file is not a database: name another store" in result.stdout
    assert "source 'exported-costs'" in result.stdout


# The doctor ---------------------------------------------------------------------------------------------------------


def test_the_doctor_says_which_tables_do_nothing_yet(run: Run, here: Path) -> None:
    (here / "monitor.toml").write_text(
        '[[rule]]\nkind = "quota-headroom"\n[[channel]]\nname = "a"\nkind = "b"\n'
        '[[source]]\nname = "gateway"\nkind = "files"\npath = "*.jsonl"\n'
    )
    log(here / "one.jsonl", RECORD)
    assert run("collect").exit_code == 0
    findings = json.loads(run("doctor", "--format", "json").stdout)["findings"]
    idle = [one["subject"] for one in findings if one["what"] == "does nothing in this version"]
    assert idle == ["[[rule]]", "[[channel]]"]
    assert {one["state"] for one in findings if one["subject"] in idle} == {"note"}


def test_the_doctor_neither_blames_nor_praises_what_has_not_begun(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl")
    run("collect")
    result = run("doctor")
    assert result.exit_code == 0
    assert "note  source 'exported-costs': no cost export matches" in result.stdout
    assert "1 file, readable" in result.stdout
    assert "every model" not in result.stdout
    assert "every billed resource" not in result.stdout


def test_the_doctor_names_the_source_of_an_unknown_label(run: Run, here: Path) -> None:
    (here / "monitor.toml").write_text('[[source]]\nname = "a"\nkind = "files"\npath = "{team}/*.jsonl"\n')
    assert "WRONG source 'a': the path has an unknown label {team}" in run("doctor").stdout
    assert run("collect").stderr.startswith("maas-monitor: source 'a': the path has an unknown label {team}")


# Collecting ---------------------------------------------------------------------------------------------------------


def test_collect_names_a_path_that_matches_nothing(run: Run, here: Path) -> None:
    run("init")
    log(here / "costs" / "none.csv")
    result = run("collect")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"maas-monitor: source 'gateway': no file matches {here}/logs/")
    assert result.stderr.count("\n") == 1


def test_collect_says_nothing_of_a_path_without_news(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    run("collect", "gateway")
    assert run("collect", "gateway").stderr == ""


def test_each_source_is_logged_with_its_counts_as_json(run: Run, sample: Path) -> None:
    result = run("collect", "--format", "json", "--log-level", "info", "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    (gateway,) = [line for line in lines if line["logger"] == "monitor.cli.collect" and line["source"] == "gateway"]
    assert (gateway["read"], gateway["stored"], gateway["ignored"]) == (19_690, 19_630, 60)
    assert gateway["seconds"] > 0
    (export,) = [line for line in lines if line["logger"] == "monitor.collect.tally"]
    assert (export["source"], export["stored"]) == ("exported-costs", 66)
    json.loads(result.stdout)


def test_batches_are_logged_only_under_debug(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    assert "batch of 1 read, 1 stored" in run("collect", "gateway", "--log-level", "debug").stderr
    log(here / "logs" / "w" / "d" / "b.jsonl", RECORD)
    assert "batch" not in run("collect", "gateway", "--log-level", "info").stderr
    assert run("collect", "gateway").stderr == ""


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("gatway", "maas-monitor: backfill: no source named 'gatway': did you mean 'gateway'?"),
        ("exported-costs", "maas-monitor: backfill: source 'exported-costs': cost exports always replace whole days"),
    ],
)
def test_a_backfill_that_cannot_be_is_its_own_mistake(run: Run, here: Path, source: str, line: str) -> None:
    run("init")
    result = run("backfill", source, "--from", "2026-11-01", "--to", "2026-11-02")
    assert result.exit_code == 2
    assert result.stderr.startswith(line)


# Quarantine ---------------------------------------------------------------------------------------------------------


def test_the_quarantine_lists_what_is_alike_on_one_line_and_each_record_in_json(run: Run, here: Path) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", "not JSON", RECORD, "not JSON", "not JSON")
    run("collect")
    said = run("quarantine", "list").stdout
    (line,) = [line for line in said.splitlines() if "a.jsonl" in line]
    assert line.split("  ")[1:4] == ["logs/w/d/a.jsonl", "byte 0  ".strip(), line.split("  ")[3]]
    assert " 3 " in line
    assert said.endswith("\n3 in quarantine.\n")
    rows = json.loads(run("quarantine", "list", "--format", "json").stdout)["rows"]
    assert [(row["unit"], row["recorded_at"]) for row in rows] == [("byte", "2026-11-09T08:00:00Z")] * 3


@pytest.mark.parametrize(
    ("kind", "position", "said"),
    [
        ("files", 1234, "byte 1,234"),
        ("blobs", 0, "byte 0"),
        ("cost-export", 0, "whole file"),
        ("cost-query", 3, "row 3"),
        ("cost-details", 12, "row 12"),
        ("azure-metrics", 60, "1970-01-01 01:00"),
        ("log-analytics", 1_762_689_600_123 << 20 | 77, "2025-11-09 12:00:00.123000"),
        ("log-analytics", 77, "no time"),
        ("of-a-later-version", 5, "byte 5"),
    ],
)
def test_where_a_record_lies_is_said_as_its_source_counts(kind: str, position: int, said: str) -> None:
    assert place(kind, position) == said


def test_an_empty_quarantine_says_so_when_retried(run: Run, here: Path) -> None:
    run("init")
    assert run("quarantine", "retry").stdout == "Nothing is in quarantine.\n"


def test_a_retry_says_how_many_rows_of_exports_wait(run: Run, sample: Path) -> None:
    bill = next(sample.glob("costs/*.csv"))
    lines = bill.read_text("utf-8-sig").splitlines(keepends=True)
    marketplace = next(line for line in lines[1:] if "Marketplace" in line)
    bill.write_text("".join([*lines, marketplace.replace("11/02/2026", "no day")]))
    assert counted_quarantine(run("collect", "exported-costs", "--format", "json").stdout) == 1
    said = run("quarantine", "retry").stdout
    assert said == "1 row of cost exports waits for a corrected export: put one beside the old.\n"
    assert "row " in run("quarantine", "list").stdout


def counted_quarantine(text: str) -> int:
    (source,) = json.loads(text)["sources"]
    return int(source["quarantined"])


# Pruning ------------------------------------------------------------------------------------------------------------


def test_pruning_warns_that_older_records_are_refused_afterwards(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init")
    log(here / "logs" / "w" / "d" / "a.jsonl", RECORD)
    run("collect")
    monkeypatch.setenv("MONITOR_STORE_KEEP_EVENTS_DAYS", "1")
    assert "records from before 2026-11-08 08:00 UTC are refused" in run("db", "prune").stdout


# Tables -------------------------------------------------------------------------------------------------------------


def test_the_name_that_charges_map_takes_is_whole_at_80_columns(run: Run, sample: Path) -> None:
    from monitor.cli.charges import COLUMNS

    run("collect", "exported-costs")
    (row,) = json.loads(run("charges", "map", "--format", "json").stdout)["rows"]
    assert row["resource"].startswith("/subscriptions/")
    assert row["charges"] == 6
    assert row["resource"] not in run("charges", "map").stdout
    values = [row[column.name] for column in COLUMNS]
    lines = list(laid_out(COLUMNS, [(NOBODYS, *values[1:])], width=80, color=False, spare=("why", "first_day")))
    assert max(map(len, laid_out(COLUMNS, [(NOBODYS, *values[1:])], width=None, color=False))) > 80
    assert any(NOBODYS in line for line in lines)


def test_a_narrow_table_breaks_between_words_and_lets_go_of_what_it_can_spare() -> None:
    columns = (Column("name", "text", "Name"), Column("why", "text", "Why"), Column("when", "text", "When"))
    rows = [("gateway-of-the-whole-house", "the record is of no known format", "2026-11-09")]
    lines = list(laid_out(columns, rows, width=45, color=False, spare=("when",)))
    assert max(map(len, lines)) <= 45
    assert lines[2].startswith("gateway-of-the-whole-house  the record is of")
    assert " ".join(line[28:].strip() for line in lines[2:]) == "the record is of no known format"
    narrow = "\n".join(laid_out(columns, rows, width=36, color=False, spare=("when",)))
    assert "2026-11-09" not in narrow
    assert "gateway-of-the-whole-house" in narrow
