"""The demo: the whole main job from sample to reports, the same every time, and ready for every other command."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.application import application
from monitor.cli.invocation import Invocation
from monitor.reporting import reports

NOW = datetime(2027, 3, 1, tzinfo=UTC)
PRICE = """
[[price]]
model = "mistral-contracts-preview"
meter = "{meter}"
amount = "1.00"
per = 1_000_000
effective_from = 2026-01-01
"""
SHOWN = ("Daily spend", "Quota headroom", "Throttle events")


def run(*arguments: str, now: datetime = NOW) -> Result:
    return CliRunner().invoke(application, list(arguments), obj=Invocation(now=now))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A kept demo folder and what the demo printed."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    result = run("demo", "--keep", str(folder))
    assert (result.exit_code, result.stderr) == (0, "")
    return folder, result.stdout


@pytest.fixture
def inside(kept: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kept folder as the working directory."""
    monkeypatch.chdir(kept[0])
    return kept[0]


def rows(name: str, *arguments: str) -> list[dict[str, str | int | None]]:
    found: list[dict[str, str | int | None]] = json.loads(run("report", name, *arguments, "--format", "json").stdout)[
        "rows"
    ]
    return found


def test_it_prints_spend_quota_and_throttling_and_says_where_the_rest_is(kept: tuple[Path, str]) -> None:
    folder, said = kept
    assert [line for line in said.splitlines() if line.startswith(SHOWN)]
    assert [said.index(title) for title in SHOWN] == sorted(said.index(title) for title in SHOWN)
    last = said.strip().splitlines()[-3:]
    assert str(folder / "reports") in last[0]
    assert "maas-monitor" in last[1]
    assert "maas-monitor charges map" in last[2]


def test_it_writes_every_report_as_html_and_csv(kept: tuple[Path, str]) -> None:
    written = {path.name for path in (kept[0] / "reports").iterdir()}
    assert written == {f"{name}{ending}" for name in reports() for ending in (".html", ".csv")}


def test_spend_is_written_for_the_month_with_budgets_and_forecasts(kept: tuple[Path, str]) -> None:
    with (kept[0] / "reports" / "spend.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert any(row["budget"] and row["budget_used"] for row in found)
    assert all(row["forecast_cost"] for row in found if row["estimated_cost"])


def test_one_empty_line_stands_before_what_to_do_next(kept: tuple[Path, str]) -> None:
    before, _, _ = kept[1].partition("Every report of the week")
    assert before.endswith("\n\n")
    assert not before.endswith("\n\n\n")


def test_a_second_run_in_the_same_folder_says_and_leaves_the_same(kept: tuple[Path, str]) -> None:
    folder, said = kept
    before = {path: path.read_bytes() for path in (folder / "reports").iterdir()}
    again = run("demo", "--keep", str(folder))
    assert (again.exit_code, again.stdout) == (0, said)
    assert {path: path.read_bytes() for path in (folder / "reports").iterdir()} == before


def test_without_a_folder_it_uses_a_temporary_one_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run("demo")
    assert result.exit_code == 0
    (folder,) = tmp_path.iterdir()
    assert str(folder) in result.stdout


def test_the_environment_cannot_lead_the_sample_into_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_STORE", f"sqlite:///{tmp_path}/precious.db")
    monkeypatch.setenv("MONITOR_STORE_URL", f"sqlite:///{tmp_path}/precious.db")
    assert run("demo", "--keep", str(tmp_path / "kept")).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}


@pytest.mark.parametrize("option", [("--store", "sqlite:///x.db"), ("--config", "x.toml")])
def test_it_refuses_settings_and_stores_of_others(option: tuple[str, str]) -> None:
    result = run("demo", *option)
    assert result.exit_code == 2
    assert "has settings and a store of its own" in result.stderr


def test_the_folder_is_ready_for_other_commands(inside: Path) -> None:
    collected = json.loads(run("collect", "--format", "json").stdout)["sources"]
    assert [(source["source"], source["read"]) for source in collected] == [("gateway", 0), ("exported-costs", 0)]
    assert run("db", "verify").exit_code == 0
    assert run("db", "check").exit_code == 0
    assert run("quarantine", "list").stdout == "Nothing is in quarantine.\n"
    doctor = run("doctor")
    assert doctor.exit_code == 1
    assert doctor.stdout.count("WRONG") == 2


def test_the_reports_add_up_to_the_logs_and_to_the_bill(inside: Path) -> None:
    days = rows("daily-spend", "--month", "2026-11")
    logged = run("collect", "--format", "json")
    assert logged.exit_code == 0
    sources = {row["source"]: row for row in rows("sources", "--month", "2026-11")}
    assert sum(int(row["requests"] or 0) for row in days) == sources["gateway"]["stored"]
    nobodys = rows("unattributed-charges", "--month", "2026-11")
    billed = sum(Decimal(str(row["billed_cost"])) for row in [*days, *nobodys] if row["billed_cost"] is not None)
    with next(inside.glob("costs/*.csv")).open(encoding="utf-8-sig", newline="") as file:
        bill = [Decimal(row["Cost"]) for row in csv.DictReader(file) if row["PublisherType"] == "Marketplace"]
    assert billed == sum(bill)


def test_the_weeks_trouble_is_in_the_reports(inside: Path) -> None:
    days = rows("daily-spend", "--month", "2026-11")
    assert sum(int(row["unmeasured_requests"] or 0) for row in days) == 1
    assert {row["model"] for row in days if row["unpriced_requests"]} == {"mistral-contracts-preview"}
    assert {row["day"] for row in days if row["billing_state"] == "missing"} == {"2026-11-08"}
    events = rows("throttle-events", "--month", "2026-11")
    assert [(row["started_at"], row["cause"]) for row in events] == [
        ("2026-11-04T14:07:00Z", "tokens"),
        ("2026-11-04T14:41:00Z", "tokens"),
        ("2026-11-04T15:20:00Z", "tokens"),
    ]
    worst = rows("quota-headroom", "--month", "2026-11")
    over = [row for row in worst if int(row["peak_tokens_per_minute"] or 0) > 200_000]
    assert [row["deployment"] for row in over] == ["mistral-large-prod"]


def test_a_moved_folder_reads_nothing_twice(
    kept: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shutil import copytree

    moved = tmp_path / "moved"
    copytree(kept[0], moved)
    monkeypatch.chdir(moved)
    collected = json.loads(run("collect", "--format", "json").stdout)["sources"]
    assert [source["stored"] for source in collected] == [0, 0]
    assert json.loads(run("report", "daily-spend", "--month", "2026-11", "--format", "json").stdout)["rows"] == rows(
        "daily-spend", "--month", "2026-11"
    )


def test_a_folder_with_settings_of_its_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text("[report]\n")
    result = run("demo", "--keep", str(tmp_path))
    assert result.exit_code == 2
    assert "holds settings of your own: name another folder for the demo" in result.stderr


# How days are asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        (("--month", "2026-11"), "2026-11-01", "2026-12-01"),
        (("--day", "2026-11-04"), "2026-11-04", "2026-11-05"),
        (("--day", "yesterday"), "2026-11-08", "2026-11-09"),
        (("--day", "today"), "2026-11-09", "2026-11-10"),
        (("--from", "2026-11-02", "--to", "2026-11-03"), "2026-11-02", "2026-11-04"),
        (("--from", "2026-11-08"), "2026-11-08", "2026-11-10"),
        (("--to", "2026-11-03"), "2026-11-01", "2026-11-04"),
        ((), "2026-11-01", "2026-12-01"),
    ],
)
def test_days_are_inclusive_and_default_to_the_month(
    inside: Path, arguments: tuple[str, ...], first: str, last: str
) -> None:
    result = run("report", "spend", *arguments, "--format", "json", now=datetime(2026, 11, 9, 8, tzinfo=UTC))
    assert json.loads(result.stdout)["period"] == {"start": f"{first}T00:00:00Z", "end": f"{last}T00:00:00Z"}


def test_today_is_the_day_of_the_reports_zone(inside: Path) -> None:
    late = datetime(2026, 11, 9, 23, 30, tzinfo=UTC)
    result = run("report", "spend", "--day", "today", "--tz", "Asia/Kolkata", "--format", "json", now=late)
    assert json.loads(result.stdout)["period"] == {"start": "2026-11-09T18:30:00Z", "end": "2026-11-10T18:30:00Z"}


def test_an_empty_default_month_says_what_days_there_are(inside: Path) -> None:
    result = run("report", "throttle-events")
    assert result.exit_code == 0
    assert result.stderr == (
        "maas-monitor: no usage between 2027-03-01 and 2027-03-31; "
        "the store holds 2026-11-02 to 2026-11-08: use --from and --to\n"
    )


@pytest.mark.parametrize(("day", "told"), [("2026-11-01", True), ("2026-11-02", False), ("2026-11-09", True)])
def test_what_days_there_are_is_said_unless_the_empty_report_is_about_them(inside: Path, day: str, told: bool) -> None:
    result = run("report", "throttle-events", "--day", day, "--workspace", "docs-batch")
    assert "Nothing in this period" in result.stdout
    assert ("no usage between" in result.stderr) == told


def test_days_of_another_zone_overlap_the_days_of_usage_by_their_hours(inside: Path) -> None:
    asked = ("report", "throttle-events", "--day", "2026-11-09", "--workspace", "docs-batch")
    assert run(*asked, "--tz", "Asia/Kolkata").stderr == ""
    assert "no usage between" in run(*asked, "--tz", "America/New_York").stderr


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.csv", "day,workspace,"), ("x.json", "{"), ("x.html", "<!doctype html>"), ("x.md", "## "), ("x.txt", "Daily")],
)
def test_the_ending_of_the_output_decides_its_format(inside: Path, tmp_path: Path, name: str, start: str) -> None:
    result = run("report", "daily-spend", "--month", "2026-11", "-o", str(tmp_path / name))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / name).read_text().lower().startswith(start.lower())


def test_csv_keeps_its_line_ends_in_files_and_pipes(inside: Path, tmp_path: Path) -> None:
    run("report", "daily-spend", "--month", "2026-11", "-o", str(tmp_path / "x.csv"))
    data = (tmp_path / "x.csv").read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") > 30
    assert run("report", "daily-spend", "--month", "2026-11", "--format", "csv").stdout_bytes == data


def test_prices_edited_since_the_collection_count_at_once(
    kept: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shutil import copytree

    copytree(kept[0], tmp_path / "edited")
    monkeypatch.chdir(tmp_path / "edited")
    with Path("monitor.toml").open("a") as file:
        for meter in ("input", "output"):
            file.write(PRICE.format(meter=meter))
    assert sum(int(row["unpriced_requests"] or 0) for row in rows("daily-spend", "--month", "2026-11")) == 0


def test_the_reports_are_listed(inside: Path) -> None:
    listed = json.loads(run("reports", "--format", "json").stdout)["reports"]
    assert [one["name"] for one in listed] == sorted(reports())
    assert all(one["title"] for one in listed)
