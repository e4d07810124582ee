"""What the README tells people to do, done."""

import json
import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from monitor.config import load
from monitor.domain.records import UsageEvent
from monitor.sources.formats import response_log
from monitor.sources.reading import Reading

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
BODY = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "created": 1_795_400_172,
    "model": "mistral-large-2407",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Bonjour"}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}


class Endpoint(BaseHTTPRequestHandler):
    """Answers the first request with a completion and refuses the others."""

    answered = 0

    def do_POST(self) -> None:
        Endpoint.answered += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        refused = Endpoint.answered > 1
        body = json.dumps({"error": {"code": "429", "message": "too many"}} if refused else BODY).encode()
        self.send_response(429 if refused else 200)
        if refused:
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Endpoint.answered = 0
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    server.shutdown()
    thread.join()
    server.server_close()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_wrapper_writes_lines_that_are_counted(endpoint: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - our own words.
    asked: Any = {"model": "mistral-large-prod", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(2):
        names["log"](asked, requests.post(endpoint, json=asked, timeout=10), tmp_path / "app.jsonl")
    reading = Reading(modified_ms=0, count_without_response_id=False)
    answered, refused = [
        response_log.decode(line, reading) for line in (tmp_path / "app.jsonl").read_bytes().splitlines()
    ]
    assert isinstance(answered, UsageEvent)
    assert (answered.identity, answered.status, answered.max_tokens) == ("cmpl-1", 200, 50)
    assert (answered.prompt_tokens, answered.completion_tokens) == (11, 4)
    assert isinstance(refused, UsageEvent)
    assert (refused.status, refused.prompt_tokens, refused.retry_after_ms) == (429, None, 7_000)


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    (tmp_path / "monitor.toml").write_text(block("toml"))
    assert tomllib.loads(block("toml"))["store"]["keep_events_days"] == 35
    settings = load(tmp_path / "monitor.toml", {})
    assert [source.name for source in settings.sources] == ["gateway", "exported-costs"]
    assert settings.deployments[0].tokens_per_minute == 200_000
