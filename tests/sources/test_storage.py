"""Containers of Azure Storage: as whom they are opened, and where no credential is ever sent."""

import io
import json
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.azure.storage import blob_path, container_client
from tests.azure.parts import ACCOUNT, KEY
from tests.azure.sessions import TOKEN, session

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

KEY_IN = "EXPORTS_KEY"


def address(container: "ContainerClient", pattern: str = "**") -> str:
    return f"{container.url}/{pattern}"


def test_blobs_are_listed_by_prefix_and_read_with_the_account_key(container: "ContainerClient") -> None:
    for name in ("a/1.csv", "a/2.csv", "b/3.csv"):
        container.upload_blob(name, f"{name}\n".encode())
    with container_client(session(environ={KEY_IN: KEY}), address(container), KEY_IN, "exports") as opened:
        found = list(opened.list("a/"))
        assert [one.name for one in found] == ["a/1.csv", "a/2.csv"]
        written = io.BytesIO()
        assert opened.download(found[0], written) == found[0].size
    assert written.getvalue() == b"a/1.csv\n"


def test_a_sas_token_reads_and_never_shows(container: "ContainerClient") -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    signature = generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    container.upload_blob("x.csv", b"x")
    with container_client(session(environ={KEY_IN: f"?{signature}"}), address(container), KEY_IN, "exports") as opened:
        assert [one.name for one in opened.list()] == ["x.csv"]
    # Base64 of the right length: a signature cut inside an escape is not refused, Azurite fails on it.
    wrong = re.sub(r"\bsig=[^&]+", f"sig={'A' * 43}%3D", signature)
    with (
        container_client(session(environ={KEY_IN: wrong}), address(container), KEY_IN, "exports") as opened,
        pytest.raises(UnreachableError) as refused,
    ):
        list(opened.list())
    assert str(refused.value).startswith(f"exports: what ${KEY_IN} holds is refused (Auth")
    assert "sig" not in str(refused.value).replace("signature", "")


def test_a_container_that_is_not_there_is_told(container: "ContainerClient") -> None:
    gone = address(container).replace("/test-", "/gone-")
    with (
        container_client(session(environ={KEY_IN: KEY}), gone, KEY_IN, "exports") as opened,
        pytest.raises(UnreachableError, match="ContainerNotFound"),
    ):
        list(opened.list())


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("https://exports.example.com", "exports.example.com is not under blob.core.windows.net"),
        ("https://exports.blob.core.windows.net.example.com", "is not under"),
        ("https://blob.core.windows.net@example.com", "is more than an address"),
        ("http://exports.blob.core.windows.net", "over plain http"),
        ("ftp://exports.blob.core.windows.net", "is not the address of a container"),
        ("https://", "is not the address of a container"),
    ],
)
def test_no_credential_is_sent_anywhere_but_to_the_storage_of_this_cloud(host: str, what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        container_client(session(), f"{host}/container/*.csv", None, "exports")


def test_a_token_does_not_travel_over_plain_http() -> None:
    with pytest.raises(SettingsError, match="a token is not sent over plain http"):
        container_client(session(), "http://127.0.0.1:1/account/container/*.csv", None, "exports")


@pytest.mark.parametrize("value", ["", "not a key", "https://a.blob.core.windows.net/c?sig=abc"])
def test_a_variable_without_a_key_is_told_by_its_name_only(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        container_client(session(environ={KEY_IN: value}), "http://127.0.0.1:1/a/c/*.csv", KEY_IN, "exports")
    assert f"${KEY_IN}" in str(refused.value)
    assert not value or value not in str(refused.value)


def test_a_signature_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        blob_path("https://a.blob.core.windows.net/c/*.csv?sv=2024&sig=canary", "source 'x': path")
    assert "canary" not in str(refused.value)


def test_what_all_names_begin_with_ends_at_the_first_wildcard() -> None:
    assert blob_path("https://a.blob.core.windows.net/c/x/y*/z.csv", "x").prefix == "x/y"
    assert blob_path("https://a.blob.core.windows.net/c/x/{workspace}/*", "x").prefix == "x/"
    assert blob_path("https://a.blob.core.windows.net/c", "x").prefix == ""


def test_a_server_that_keeps_failing_is_waited_for_by_the_clock_and_told() -> None:
    from tests.azure.server import error, serving
    from tests.azure.sessions import SetClock

    clock = SetClock()
    with serving() as server:
        server.route("GET", "/.*", lambda _call: error(503, "ServerBusy", "Busy."))
        here = session(clock=clock, environ={KEY_IN: KEY})
        with (
            container_client(here, f"{server.address}/account/container/*", KEY_IN, "exports") as opened,
            pytest.raises(MonitorError, match="exports: Azure failed with status 503: try again later"),
        ):
            list(opened.list())
        assert len(server.calls) == 4
        assert all(TOKEN not in str(call.headers) for call in server.calls)
    assert clock.slept > 2


@pytest.mark.parametrize("asked", ["list", "folders", "find"])
def test_a_proxys_page_is_neither_a_listing_nor_a_blob(asked: str) -> None:
    from tests.azure.server import Answer, serving

    page = Answer(body=b"<html><body>Sign in</body></html>", headers={"content-type": "text/html"})
    with serving() as server:
        for method in ("GET", "HEAD"):
            server.route(method, "/.*", lambda _call: page)
        here = session(environ={KEY_IN: KEY})
        with (
            container_client(here, f"{server.address}/account/container/*", KEY_IN, "exports") as opened,
            pytest.raises(MonitorError, match="exports: what answers is not Azure Storage"),
        ):
            found = getattr(opened, asked)("x/")
            assert list(found or ()) == []


def test_who_runs_us_reads_with_a_token_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import ContainerClient

    from tests.azure.parts import secure_azurite

    with secure_azurite(tmp_path) as account:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        with ContainerClient(account, "exports", credential=KEY) as made:
            made.create_container()
            made.upload_blob("a.csv", b"one")
        here = session(environ={"MONITOR_AZURE_TOKEN": bearer(datetime.now(UTC))})
        with container_client(here, f"{account}/exports/**", None, "exports") as opened:
            (found,) = opened.list()
            read = io.BytesIO()
            opened.download(found, read)
        assert read.getvalue() == b"one"
        here = session(environ={"MONITOR_AZURE_TOKEN": bearer(datetime.now(UTC) - timedelta(days=2))})
        with (
            container_client(here, f"{account}/exports/**", None, "exports") as opened,
            pytest.raises(MonitorError) as refused,
        ):
            list(opened.list())
        assert "eyJ" not in str(refused.value)


def bearer(now: datetime) -> str:
    """A token that Azurite takes: it looks at times, audience and issuer, and at no signature."""
    said = {
        "nbf": int(now.timestamp()) - 60,
        "iat": int(now.timestamp()) - 60,
        "exp": int(now.timestamp()) + 3600,
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
    }
    parts = [{"alg": "RS256", "typ": "JWT"}, said]
    return ".".join([*(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2ln"])
