"""The real servers that stand for Azure on this machine: Azurite for storage, Prism for the official OpenAPI.

Both come from npm (.ci/node/install). They listen on 127.0.0.1 and end with the block that started them.
"""

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
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
def secure_azurite(folder: Path) -> Iterator[str]:
    """Run Azurite over https, where it takes bearer tokens; yield the address of its account.

    `folder` gets its certificate, certificate.pem, which whoever asks has to trust.
    """
    port = free_port()
    certificate, key = self_signed(folder)
    program = [part("azurite-blob"), "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--oauth", "basic"]
    secure = ["--cert", str(certificate), "--key", str(key)]
    with _running([*program, *options, *secure], str(folder), port, _listens):
        yield f"https://127.0.0.1:{port}/{ACCOUNT}"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and its key; return where they are."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*written))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem", folder / "key.pem"


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
def _running(command: list[str], folder: str, port: int, ready: Callable[[int], bool] | None = None) -> Iterator[None]:
    log = Path(folder, "log").open("wb")  # noqa: SIM115 - closed below
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process, ready or _answers)
        yield
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", ready: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if ready(port):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer")


def _answers(port: int) -> bool:
    """Whether a port answers over http, whatever it says."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
