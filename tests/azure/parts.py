"""The real servers that stand for Azure on this machine: Azurite for storage, Prism for the official OpenAPI.

Both come from npm (.ci/node/install). They listen on 127.0.0.1 and end with the block that started them.
"""

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT, require_part

PARTS = ROOT / ".ci" / "node" / "node_modules" / ".bin"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account and its key, which are the same everywhere and documented."""


def part(name: str) -> str:
    """The program of that name; the test that asks is skipped or fails without it."""
    found = PARTS / name
    if not found.exists():
        require_part(name, ".ci/node/install")
    return str(found)


@contextmanager
def azurite() -> Iterator[str]:
    """Run Azurite without a disk; yield the address of its account."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        program = [part("azurite-blob"), "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        options = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        with _running([*program, *options], folder, port):
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"


@contextmanager
def prism(document: Path) -> Iterator[str]:
    """Run Prism on an OpenAPI document; yield its address. It refuses requests that the document does not allow."""
    port = free_port()
    program = [part("prism"), "mock", str(document), "-h", "127.0.0.1", "-p", str(port), "--errors"]
    with tempfile.TemporaryDirectory() as folder, _running(program, folder, port):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _running(command: list[str], folder: str, port: int) -> Iterator[None]:
    log = Path(folder, "log").open("wb")  # noqa: SIM115 - closed below
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer")
