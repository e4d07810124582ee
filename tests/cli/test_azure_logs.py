"""What is logged and shown of Azure: our own lines, never a secret, and the libraries only under --debug."""

import base64
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from monitor.cli import logs
from monitor.cli.application import VERBS
from monitor.cli.redaction import redacted, secrets_in
from tests.cli.conftest import Run

KEY = base64.b64encode(bytes(range(64))).decode()


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Put the loggers back as they were."""
    names = ("monitor", *logs.NOISY)
    before: dict[str, Any] = {}
    for name in names:
        logger = logging.getLogger(name)
        before[name] = (list(logger.handlers), logger.level, logger.propagate)
    yield
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.parametrize(
    "text",
    [
        "https://a.blob.core.windows.net/c?sv=2024&sig=CANARY%2Fx%3D&se=2026",
        "GET /c?restype=container&sig=CANARY HTTP/1.1",
        "HTTPSConnectionPool(host='a'): Max retries exceeded with url: /c?sig=CANARY (Caused by X)",
        "Authorization: Bearer CANARY-abc",
        "'authorization': 'Bearer CANARYabcdef'",
        "SharedKey account:CANARYabc=",
        "http://me:CANARY@proxy:3128",
        "postgresql://me:CANARY@db/x",
        "client_secret=CANARY&grant_type=x",
        '{"access_token": "CANARY", "expires_in": 1}',
        "AccountName=a;AccountKey=CANARY;EndpointSuffix=x",
        f"DefaultEndpoints {KEY.replace('AAEC', 'CANARY'[:4])}",
    ],
)
def test_a_secret_is_taken_out_of_whatever_text_it_is_in(text: str) -> None:
    assert "CANA" not in redacted(text)


def test_a_token_is_taken_out_wherever_it_stands() -> None:
    assert redacted("it was eyJ0eXAiOiJKV1QiLCJhbGciOiJ.eyJhdWQiOiJodHRwczovL21hbm.c2lnbmF0.") == "it was ***."


def test_ordinary_text_stays_as_it_is() -> None:
    text = "source 'a': read 3 tokens, https://management.azure.com/subscriptions/1: 10:20:30 me@x.org significant=1"
    assert redacted(text) == text


def test_the_secrets_of_the_environment_are_known_in_every_spelling() -> None:
    environ = {
        "LOGS_SAS_TOKEN": "a/b+c=defg",
        "HTTPS_PROXY": "http://me:p%40ssword1@p:1",
        "PATH": "/usr/bin",
        "KEY": "x",
    }
    known = secrets_in(environ)
    assert {"a/b+c=defg", "a%2Fb%2Bc%3Ddefg", "p%40ssword1", "p@ssword1"} <= set(known)
    assert not {"/usr/bin", "x"} & set(known)
    assert redacted("token a%2Fb%2Bc%3Ddefg here", known) == "token *** here"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_line_holds_a_secret_even_in_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    monkeypatch.setenv("SOME_KEY", "CANARY-in-a-variable")
    logs.start(level="debug", form=form, debug=True)
    try:
        Path("/nowhere/?sig=CANARY and CANARY-in-a-variable").unlink()
    except OSError:
        logging.getLogger("azure.core").exception(
            "failed: %s", "Bearer CANARYabcdef", extra={"url": "http://u:CANARY@x"}
        )
    said = capsys.readouterr().err
    assert "FileNotFoundError" in said
    assert "CANARY" not in said
    if form == "json":
        assert [json.loads(line)["logger"] for line in said.splitlines()] == ["azure.core"]


def test_the_libraries_are_heard_only_under_debug(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(level="debug", form="text")
    logging.getLogger("azure.identity").warning("many\nlines")
    logging.getLogger("urllib3.connectionpool").warning("Retrying")
    assert capsys.readouterr().err == ""
    logs.start(level="debug", form="text", debug=True)
    logging.getLogger("azure.identity").warning("a line")
    logging.getLogger("urllib3.connectionpool").debug("GET /x?sig=1")
    assert capsys.readouterr().err.endswith("warning azure.identity: a line\n")


def test_a_traceback_under_debug_holds_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("https://x/?sig=CANARY")

    class Module:
        broken_command = click.Command("broken", callback=fails)

    monkeypatch.setitem(VERBS, "broken", ("broken", ""))
    monkeypatch.setitem(sys.modules, "monitor.cli.broken", Module)
    result = run("--debug", "broken")
    assert "RuntimeError: https://x/?sig=***" in result.stderr
    assert "CANARY" not in result.output
