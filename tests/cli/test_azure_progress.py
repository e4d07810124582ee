"""What somebody sees while a source waits for Azure: a line on a terminal, and in the log."""

import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.cli import logs, output
from monitor.clock import TellingClock
from monitor.collect import collect
from monitor.config import load
from monitor.store.engine import open_engine
from tests.azure.server import Answer, Call, Server, error, serving
from tests.azure.sessions import SetClock

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
NOW = datetime(2026, 11, 9, 8, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def watching(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """From here on stderr is a terminal; pytest would undo it before the test if a fixture did it."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    return stream


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, here: Path) -> Iterator[Server]:
    """An Azure that asks to wait 23 seconds once, and knows nothing then; settings that ask it for costs."""
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", "a-token")
    asked: list[Call] = []

    def answer(call: Call) -> Answer:
        asked.append(call)
        waits = {"x_ms_ratelimit_microsoft.costmanagement_entity_retry_after": "23"}
        return error(429, "429", "Too many requests. Please retry.", **waits) if len(asked) == 1 else Answer(status=204)

    with serving() as server:
        server.route("POST", ".*", answer)
        (here / "monitor.toml").write_text(
            f'[azure]\ncredential = "token"\nresource_manager = "{server.address}"\n'
            f'[[source]]\nname = "costs"\nkind = "cost-query"\nscope = "{SUBSCRIPTION}"\n'
        )
        yield server


def test_a_terminal_shows_what_a_source_waits_for(busy: Server, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)
    engine = open_engine(f"sqlite:///{here / 'monitor.db'}")
    with output.progress() as progress:
        collect(engine, load(None, {}), now=NOW, progress=progress, clock=SetClock(NOW))
    engine.dispose()
    assert re.search(r"costs: waits 2[3-9] s for Azure", terminal.text)


def test_the_log_says_at_info_what_a_source_waits_for(
    busy: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.start(level="info", form="json")
    engine = open_engine(f"sqlite:///{here / 'monitor.db'}")
    collect(engine, load(None, {}), now=NOW, clock=SetClock(NOW))
    engine.dispose()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (waits,) = [line for line in lines if " waits " in line["message"]]
    assert waits["source"] == "costs"
    assert 23 <= waits["seconds"] < 30


def test_a_source_is_shown_before_anything_is_read_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watching(monkeypatch)
    with output.progress() as progress:
        assert progress is not None
        progress.waits("costs", 0)
        progress.waits("costs", 23.4)
        progress.waits("costs", 0)
        progress("logs [1]", 5)
    assert "costs: waits 23 s for Azure" in terminal.text
    assert "logs [1]" in terminal.text


def test_where_nobody_watches_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as progress:
        assert progress is None
    assert capsys.readouterr().err == ""


def test_a_moment_is_waited_for_without_a_word() -> None:
    told: list[float] = []
    clock = SetClock(NOW)
    telling = TellingClock(clock, told.append)
    telling.sleep(0.5)
    telling.sleep(2)
    assert told == [2, 0.0]
    assert clock.slept == 2.5
    assert telling.now() == clock.now()
