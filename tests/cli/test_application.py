"""The program's manners: help at once, one line per error, a status for every end."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import pytest

from monitor.cli.application import VERBS
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("sqlalchemy", "pandas", "pyarrow", "alembic", "numpy", "rich", "jinja2", "azure", "msal", "requests")

HELP_THEN_MODULES = """
import sys
from monitor.cli.application import application
try:
    application(["--help"])
except SystemExit:
    print("\\n".join(sys.modules))
"""


def process(*arguments: str, cwd: Path, **environ: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, "-m", "monitor", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_help_imports_nothing_heavy(here: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", HELP_THEN_MODULES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "Usage: maas-monitor [OPTIONS] COMMAND [ARGS]..." in found
    assert not [module for module in found if module.split(".")[0] in HEAVY]


def test_every_verbs_line_in_the_help_is_the_one_its_module_says() -> None:
    for name, (module, text) in VERBS.items():
        command: click.Command = getattr(import_module(f"monitor.cli.{module}"), f"{name}_command")
        first = str(command.help).partition("\n")[0]
        assert first.startswith(text.rstrip(".")), name


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(run: Run, verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"maas-monitor {verb}" in result.stdout


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").stdout.startswith("maas-monitor ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["colect"], "maas-monitor: usage: no command named 'colect': did you mean 'collect'?"),
        (["db", "upgrad"], "maas-monitor: db: no command named 'upgrad': did you mean 'upgrade'?"),
        (["report"], "maas-monitor: report: Missing argument 'NAME': see maas-monitor report --help"),
        (["report", "daily-spend", "--day", "2026-13-01"], "maas-monitor: --day: '2026-13-01' is not a day: write"),
        (["report", "x", "--month", "nov"], "maas-monitor: --month: 'nov' is not a month: write YYYY-MM"),
        (["report", "x", "--day", "today", "--month", "2026-11"], "maas-monitor: period: was given twice"),
        (["report", "x", "--from", "2026-11-02", "--to", "2026-11-01"], "maas-monitor: period: ends (2026-11-01)"),
        (["report", "x", "--tz", "Mars/Olympus"], "maas-monitor: --tz: 'Mars/Olympus' is not a time zone"),
        (["report", "x", "--from", "0001-01-01", "--to", "9999-12-31"], "maas-monitor: --"),
        (["report", "x", "--from", "1999-12-31"], "maas-monitor: --from: '1999-12-31' is out of range: write a year"),
        (["report", "x", "--to", "2101-01-01"], "maas-monitor: --to: '2101-01-01' is out of range"),
        (["report", "x", "--month", "0001-01"], "maas-monitor: --month: '0001-01' is out of range"),
        (["report", "x", "--as-of", "9999-12-31"], "maas-monitor: --as-of: '9999-12-31' is out of range"),
        (["report", "x", "--from", "11/04/2026"], "maas-monitor: --from: '11/04/2026' is not a day: write YYYY-MM-DD"),
        (["report", "daily-spend"], "maas-monitor: store: there are neither settings nor a store in"),
        (["serve", "--port", "1"], "maas-monitor: serve: is not in this version"),
        (["alerts", "list"], "maas-monitor: alerts: is not in this version"),
        (["export", "focus", "--month", "2026-11"], "maas-monitor: export focus: is not in this version"),
        (["--config", ".", "collect"], "maas-monitor: .: is a folder: name the file in it"),
        (["--store", "postgres://me@db/x", "collect"], "maas-monitor: store.url: postgres:// is not the name of"),
        (["report", "x", "--as-of", "2026-11-02T10:00"], "maas-monitor: --as-of: has no time zone"),
        (["report", "daily-spnd", "--store", "sqlite:///x.db"], "maas-monitor: report: no report named 'daily-spnd'"),
        (["--config", "nope.toml", "collect"], "maas-monitor: nope.toml: there is no such settings file"),
        (["--store", "mysql://x", "db", "current"], "maas-monitor: store.url: mysql is not supported"),
        (["collect"], "maas-monitor: collect: no source is set: add a [[source]]"),
        (["demo", "--serve"], "maas-monitor: demo --serve: the dashboard is not in this version"),
        (["collect", "--format", "xml"], "maas-monitor: collect: Invalid value for '--format'"),
        (["--nope"], "maas-monitor: usage: No such option"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(run: Run, arguments: list[str], line: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_without_a_verb_the_help_is_shown_and_the_status_is_2(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


def test_a_store_out_of_reach_is_status_3(run: Run) -> None:
    result = run("--store", "sqlite:////nowhere/at/all/x.db", "db", "upgrade")
    assert result.exit_code == 3
    assert result.stderr.startswith("maas-monitor: sqlite:////nowhere/at/all/x.db: unable to open database file")
    assert result.stderr.count("\n") == 1


def test_a_store_that_is_no_database_is_one_line(run: Run, here: Path) -> None:
    (here / "odd.db").write_text("not a database at all, but long enough to be read as one " * 20)
    result = run("--store", "sqlite:///odd.db", "db", "current")
    assert result.exit_code == 3
    assert "file is not a database" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_password_in_the_stores_url_is_never_shown(run: Run) -> None:
    for arguments in (("db", "current"), ("--debug", "db", "current")):
        result = run("--store", "postgresql://me:CANARY@127.0.0.1:1/x", *arguments)
        assert result.exit_code == 3
        assert "CANARY" not in result.stderr + result.stdout


def test_a_traceback_is_shown_only_under_debug(run: Run) -> None:
    assert "Traceback" not in run("collect").stderr
    assert "Traceback" in run("--debug", "collect").stderr
    assert "Traceback" in run("collect", "--debug").stderr


def test_global_options_may_stand_before_or_after_the_verb(run: Run, here: Path) -> None:
    assert run("--store", "sqlite:///a.db", "db", "upgrade").exit_code == 0
    assert run("db", "upgrade", "--store", "sqlite:///b.db").exit_code == 0
    assert {path.name for path in here.glob("*.db")} == {"a.db", "b.db"}


def test_an_option_after_the_verb_beats_one_before_it(run: Run, here: Path) -> None:
    assert run("--store", "sqlite:///a.db", "db", "upgrade", "--store", "sqlite:///b.db").exit_code == 0
    assert [path.name for path in here.glob("*.db")] == ["b.db"]


def test_a_relative_store_on_the_command_line_is_beside_the_caller(run: Run, here: Path) -> None:
    (here / "etc").mkdir()
    (here / "etc" / "monitor.toml").write_text("")
    assert run("--config", "etc/monitor.toml", "--store", "sqlite:///mine.db", "db", "upgrade").exit_code == 0
    assert (here / "mine.db").exists()
    assert run("--config", "etc/monitor.toml", "db", "upgrade").exit_code == 0
    assert (here / "etc" / "monitor.db").exists()


def test_a_reader_that_stops_early_is_no_error(here: Path) -> None:
    with process("--help", cwd=here) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        said = started.stderr.read()
    assert started.returncode == 0
    assert said == ""


def test_ctrl_c_ends_with_130_and_no_traceback(run: Run, here: Path) -> None:
    run("init")
    run("collect")
    # Nobody reads the pipe, so that the report waits to be written until it is interrupted.
    os.mkfifo(here / "pipe.csv")
    with process("report", "sources", "-o", "pipe.csv", cwd=here) as started:
        try:
            wait_until_it_sleeps(started.pid)
            started.send_signal(signal.SIGINT)
            _, said = started.communicate(timeout=60)
        finally:
            started.kill()
    assert started.returncode == 130
    assert said.strip() == ""


def wait_until_it_sleeps(pid: int) -> None:
    """Wait until a process has slept through a second: it waits for somebody, and loads nothing any more."""
    asleep = 0
    for _ in range(600):
        asleep = asleep + 1 if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S" else 0
        if asleep == 20:
            return
        time.sleep(0.05)


def test_log_lines_are_json_where_asked(run: Run, here: Path) -> None:
    import logging

    run("--log-level", "info", "--log-format", "json", "reports")
    handler = logging.getLogger("monitor").handlers[0]
    record = logging.makeLogRecord(
        {"name": "monitor.x", "levelno": 20, "levelname": "INFO", "msg": "read %d", "args": (3,), "source": "gateway"}
    )
    line = json.loads(handler.format(record))
    assert (line["level"], line["message"], line["source"]) == ("info", "read 3", "gateway")
    assert line["time"].endswith("Z")


def test_a_bug_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "broken", ("nowhere", ""))
    result = run("broken")
    assert result.exit_code == 70
    assert result.stderr.startswith("maas-monitor: internal error: ModuleNotFoundError: run it again with --debug")
    assert result.stderr.count("\n") == 1
