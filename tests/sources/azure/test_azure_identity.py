"""As whom Azure is asked: the real DefaultAzureCredential, against servers of this machine that give out tokens."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from azure.core import AzureClouds
from azure.mgmt.core import tools

from monitor.catalogue import bundled
from monitor.config import source_kinds
from monitor.errors import MonitorError, SettingsError
from monitor.sources.azure.cloud import CLOUDS, Azure
from monitor.sources.azure.credentials import SignInError, credential
from monitor.sources.azure.refusals import Need, NotSignedInError, meaning
from monitor.sources.request import Request
from monitor.sources.session import Session
from tests.azure.certificates import certificate
from tests.azure.server import Answer, Call, Server, serving
from tests.azure.sessions import NOW, Listed, SetClock, Unlimited

ROOT = Path(__file__).resolve().parents[3]
NEED = Need(role="Reader", scope="/subscriptions/1")
GUID = "00000000-0000-0000-0000-000000000000"
SECRET = "canary-client-secret-51"  # noqa: S105 - a test's


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is signed in here, whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    # The address that a machine of Azure's has its identity at: here nobody answers.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    # azure-identity asks several times, and waits for seconds in between.
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.fixture
def azure() -> Iterator[Server]:
    with serving() as server:
        yield server


def managed(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Give this machine a managed identity as App Service does; return who asks for a token."""
    asked: list[Call] = []

    def token(call: Call) -> Answer:
        asked.append(call)
        return Answer(body={"access_token": "a-token", "expires_on": "4102444800", "token_type": "Bearer"})

    server.route("GET", "/identity", token)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.address}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "a-header")
    return asked


def opened(azure: Azure) -> Session:
    clock = SetClock()
    return Session(now=clock.time, clock=clock, azure=azure, environ={}, budget=Unlimited(), catalogue=bundled())


# Clouds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "official"),
    [
        ("public", AzureClouds.AZURE_PUBLIC_CLOUD),
        ("usgovernment", AzureClouds.AZURE_US_GOVERNMENT),
        ("china", AzureClouds.AZURE_CHINA_CLOUD),
    ],
)
def test_resource_manager_is_asked_where_and_as_the_official_library_does(cloud: str, official: AzureClouds) -> None:
    known = tools.get_arm_endpoints(official)
    azure = Azure(cloud=cloud)
    assert f"{azure.addresses.resource_manager}/" == known["resource_manager"]
    assert [azure.arm_scope] == known["credential_scopes"]


def test_authorities_are_those_of_the_official_library() -> None:
    from azure.identity import AzureAuthorityHosts as Official

    assert {name: cloud.authority.removeprefix("https://") for name, cloud in CLOUDS.items()} == {
        "public": Official.AZURE_PUBLIC_CLOUD,
        "usgovernment": Official.AZURE_GOVERNMENT,
        "china": Official.AZURE_CHINA,
    }


def test_log_analytics_tokens_are_for_the_clouds_own_service() -> None:
    """Microsoft's and 21Vianet's pages on the request format of the Log Analytics API."""
    assert {name: Azure(cloud=name).log_analytics_scope for name in CLOUDS} == {
        "public": "https://api.loganalytics.io/.default",
        "usgovernment": "https://api.loganalytics.us/.default",
        "china": "https://api.loganalytics.azure.cn/.default",
    }


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_managed_identity_is_asked_for_the_clouds_audience_wherever_requests_go(
    azure: Server, monkeypatch: pytest.MonkeyPatch, cloud: str
) -> None:
    asked = managed(azure, monkeypatch)
    azure.route("GET", "/thing", lambda _call: Answer(body={"well": True}))
    settings = Azure(cloud=cloud, resource_manager=azure.address)
    with opened(settings) as session:
        assert session.arm.get("/thing", {}, subject="x", need=NEED) == {"well": True}
    assert [f"{call.query['resource']}/.default" for call in asked] == [settings.arm_scope]
    assert azure.calls[-1].headers["authorization"] == "Bearer a-token"


def test_storage_tokens_are_the_same_everywhere(azure: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = managed(azure, monkeypatch)
    for cloud in CLOUDS:
        credential(Azure(cloud=cloud), {}).get_token("https://storage.azure.com/.default")
    assert {call.query["resource"] for call in asked} == {"https://storage.azure.com"}


# An authority of one's own, over TLS ----------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Microsoft Entra ID of this machine; `address` is https, and its certificate is trusted in the test."""
    server = Server()
    server.route("GET", "/.*/openid-configuration", lambda call: _configuration(server, call))
    with serving(server, tls=certificate(tmp_path)) as served:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
        yield served


def _configuration(server: Server, call: Call) -> Answer:
    tenant = call.path.split("/")[1]
    base = f"{server.address}/{tenant}"
    return Answer(
        body={
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "issuer": f"{base}/v2.0",
        }
    )


def service_principal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "a-tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "a-client")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)


def test_a_service_principal_signs_in_at_the_authority_of_the_settings(
    authority: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_principal(monkeypatch)
    answer = Answer(body={"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})
    authority.route("POST", "/a-tenant/oauth2/v2.0/token", lambda _call: answer)
    settings = Azure(cloud="usgovernment", authority=authority.address)
    assert credential(settings, {}).get_token(settings.arm_scope).token == "a-token"  # noqa: S105 - a test's
    sent = parse_qs(authority.calls[-1].body.decode())
    assert sent["scope"] == ["https://management.core.usgovcloudapi.net/.default"]


INVALID = (
    "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
    "value, not the client secret ID.\r\nTrace ID: 1\r\nTimestamp: 2026-11-22 10:00:00Z"
)


@pytest.mark.parametrize(
    ("description", "line"),
    [
        (INVALID, "the client secret is wrong (AADSTS7000215): put the secret's value, not its id, into AZURE_"),
        (
            "AADSTS700016: Application with identifier 'a-client' was not found in the directory 'x'.",
            "the application is not known in this tenant (AADSTS700016): correct AZURE_CLIENT_ID or AZURE_TENANT_ID",
        ),
        ("AADSTS9999999: Something new.", "Microsoft Entra ID refuses it (AADSTS9999999): sign in with az login, give"),
    ],
)
def test_a_refused_sign_in_is_one_line_with_its_remedy(
    authority: Server, monkeypatch: pytest.MonkeyPatch, description: str, line: str
) -> None:
    service_principal(monkeypatch)
    body = {"error": "invalid_client", "error_description": description, "error_codes": [1]}
    authority.route("POST", "/.*", lambda _call: Answer(status=401, body=body))
    with opened(Azure(authority=authority.address)) as session, pytest.raises(NotSignedInError) as raised:
        session.arm.get("/thing", {}, subject="inventory", need=NEED)
    assert str(raised.value).startswith(f"inventory: {line}")
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_an_authority_over_plain_http_is_refused_even_on_this_machine() -> None:
    with pytest.raises(SettingsError, match="azure: authority: takes secrets and is not https"):
        Azure(authority="http://127.0.0.1:1")


# Nobody ---------------------------------------------------------------------------------------------------------------


def test_without_any_credential_the_error_is_one_line_and_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    with opened(Azure()) as session:
        for _ in range(2):
            with pytest.raises(NotSignedInError) as raised:
                session.arm.get("/thing", {}, subject="inventory", need=NEED)
            assert str(raised.value).startswith("inventory: no credential is to be had here: sign in with az login")
            assert "\n" not in str(raised.value)
    ours = logging.getLogger("monitor.sources.azure.credentials")
    ours.addHandler(caplog.handler)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, ours.name), pytest.raises(SignInError):
        credential(Azure(), {}).get_token("x/.default")
    ours.removeHandler(caplog.handler)
    told = list({record.getMessage() for record in caplog.records if record.name == ours.name})
    assert len(told) == 1
    assert "EnvironmentCredential" in told[0]
    assert "\n" not in told[0]


def test_a_token_from_the_environment_is_used_for_everything() -> None:
    given = credential(Azure(credential="token"), {"MONITOR_AZURE_TOKEN": " abc\n"})
    assert given.get_token("https://storage.azure.com/.default").token == "abc"  # noqa: S105 - a test's


def test_a_token_that_is_not_set_names_its_variable() -> None:
    with pytest.raises(SettingsError, match="MONITOR_AZURE_TOKEN is not set"):
        credential(Azure(credential="token"), {})


def test_nothing_is_written_to_disk(
    authority: Server, azure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither by a sign-in with a secret nor by a managed identity nor by one that fails."""
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(SignInError):
        credential(Azure(), {}).get_token("x/.default")
    managed(azure, monkeypatch)
    credential(Azure(), {}).get_token("x/.default")
    service_principal(monkeypatch)
    answer = Answer(body={"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})
    authority.route("POST", "/.*", lambda _call: answer)
    credential(Azure(authority=authority.address), {}).get_token("x/.default")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# Out of reach ---------------------------------------------------------------------------------------------------------


def unreached(azure: Azure) -> MonitorError:
    from monitor.sources.azure.arm import Arm
    from monitor.sources.azure.credentials import GivenToken

    arm = Arm(azure, GivenToken("t"), lambda _seconds: None)
    with pytest.raises(MonitorError) as raised:
        arm.get("/thing", {}, subject="inventory", need=NEED)
    arm.close()
    return raised.value


def test_a_name_that_does_not_resolve_says_so() -> None:
    found = unreached(Azure(resource_manager="https://management.invalid"))
    assert found.what == "the name of Azure's host cannot be resolved"


def test_a_refused_connection_says_so() -> None:
    assert unreached(Azure(resource_manager="http://127.0.0.1:9")).what == "the connection to Azure is refused"


def test_a_proxy_that_lets_nothing_through_says_so_without_its_password(
    azure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", azure.address.replace("http://", "http://me:canary-proxy-password@"))
    found = unreached(Azure())
    assert str(found) == "inventory: the proxy lets nothing through: correct HTTPS_PROXY and NO_PROXY"


def test_a_certificate_that_is_not_trusted_names_the_variable(
    authority: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    found = unreached(Azure(resource_manager=authority.address))
    assert found.what == "the certificate that Azure shows is not trusted"
    assert "REQUESTS_CA_BUNDLE" in found.remedy


def test_an_answer_cut_in_the_middle_says_so(azure: Server) -> None:
    azure.route("GET", "/thing", lambda _call: Answer(body={"value": "x" * 1000}, cut=100))
    found = unreached(Azure(resource_manager=azure.address))
    assert found.what == "the connection broke in the middle of an answer"


def test_an_unreachable_authority_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    service_principal(monkeypatch)
    with pytest.raises(SignInError) as raised:
        credential(Azure(authority="https://login.invalid"), {}).get_token("x/.default")
    assert str(meaning(raised.value, "costs", NEED)).startswith("costs: the name of Azure's host cannot be resolved")


# Lazy -----------------------------------------------------------------------------------------------------------------


def test_settings_sources_and_the_doctor_are_imported_without_azure() -> None:
    run = (
        "import json, sys, monitor.cli, monitor.config, monitor.doctor; monitor.config.source_kinds(); "
        "print(json.dumps(sorted(name for name in sys.modules if name.split('.')[0] in ('azure', 'msal', 'requests'))))"
    )
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("kind", ["log-analytics", "blobs"])
def test_nobody_waits_for_a_sign_in_that_has_failed(kind: str) -> None:
    """Both clients would ask for a token again and again, a minute long."""
    clock = SetClock()
    opened = Session(now=NOW, clock=clock, azure=Azure(), environ={}, budget=Unlimited(), catalogue=bundled())
    said = {"workspace_id": GUID} if kind == "log-analytics" else {"path": "https://a.blob.core.windows.net/c/*.json"}
    module = source_kinds()[kind]
    (found,) = module.read(module.Settings(name="logs", kind=kind, **said), Listed(), Request(), opened)
    assert "no credential is to be had here" in str(found)
    assert clock.slept == 0
