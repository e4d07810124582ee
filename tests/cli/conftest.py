"""The command line in-process, at a fixed moment, in a folder of its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.application import application
from monitor.cli.invocation import Invocation

NOW = datetime(2026, 11, 9, 8, tzinfo=UTC)

Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variables of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("MONITOR_CONFIG", "MONITOR_STORE", "MONITOR_LOG_LEVEL", "MONITOR_LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Run:
    """Run `maas-monitor` with arguments; the result has exit_code, stdout and stderr."""

    def runs(*arguments: str) -> Result:
        return CliRunner().invoke(application, list(arguments), obj=Invocation(now=NOW))

    return runs
