"""`import` on real files: what it takes them for, and what their sources are called."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_verbs import RECORD, counts, log
from tests.sources.cost_samples import row, write


def authority(here: Path) -> int:
    with closing(sqlite3.connect(here / "monitor.db")) as store:
        return int(store.execute("SELECT authority FROM source WHERE name = 'import'").fetchone()[0])


@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz"])
def test_cost_exports_are_known_by_their_header_and_their_source_is_another(run: Run, here: Path, name: str) -> None:
    log(here / "one.jsonl", RECORD)
    write(here / name, [row()])
    result = run("import", "one.jsonl", name, "--json")
    assert result.exit_code == 0
    sources = counts(result.stdout)
    assert {one: told["stored"] for one, told in sources.items()} == {"import": 1, "imported-costs": 1}
    assert [str(told["kind"]) for told in sources.values()] == ["files", "cost-export"]


def test_logs_and_costs_under_one_name_are_refused(run: Run, here: Path) -> None:
    log(here / "one.jsonl", RECORD)
    write(here / "bill.csv", [row()])
    assert run("import", "one.jsonl", "--source", "mine").exit_code == 0
    result = run("import", "bill.csv", "--source", "mine")
    assert result.exit_code == 2
    assert "--source" in result.stderr


def test_a_folder_of_both_is_refused_for_it_could_mean_either(run: Run, here: Path) -> None:
    log(here / "all" / "one.jsonl", RECORD)
    write(here / "all" / "bill.csv", [row()])
    result = run("import", "all")
    assert result.exit_code == 2
    assert "holds both cost exports and other files" in result.stderr


def test_an_empty_folder_says_so(run: Run, here: Path) -> None:
    (here / "empty").mkdir()
    result = run("import", "empty")
    assert result.exit_code == 2
    assert "empty: there is no file in this folder" in result.stderr


@pytest.mark.parametrize("typed", [(), ("--format", "cost-export")])
def test_an_empty_file_is_not_quarantined(run: Run, here: Path, typed: tuple[str, ...]) -> None:
    (here / "empty.csv").touch()
    result = run("import", "empty.csv", "--json", *typed)
    assert result.exit_code == 0
    assert [one["quarantined"] for one in counts(result.stdout).values()] == [0]


def test_a_format_that_nobody_knows_names_all_that_there_are(run: Run, here: Path) -> None:
    write(here / "bill.csv", [row()])
    said = run("import", "bill.csv", "--format", "csv").stderr
    assert all(name in said for name in ("auto", "cost-export", "response-log"))


def test_imported_logs_stay_as_believed_as_the_best_of_them(run: Run, here: Path) -> None:
    log(here / "one.jsonl", RECORD)
    log(here / "two.jsonl", RECORD)
    run("import", "one.jsonl", "--format", "response-log")
    best = authority(here)
    run("import", "two.jsonl", "--format", "azure-diagnostics")
    assert authority(here) == best
