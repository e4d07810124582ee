"""What the doctor says of sources that ask Azure: which role is missing at which scope, and that one stops no other."""

import json
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.config import load
from monitor.doctor.azure import probes
from monitor.doctor.finding import Finding
from tests.azure.arm import Account, Deployment, Endpoint, ResourceManager, Workspace
from tests.azure.certificates import certificate
from tests.azure.log_analytics import refusal, unresolved
from tests.azure.parts import ACCOUNT, KEY
from tests.azure.server import Answer, Call, Server, error, serving
from tests.azure.sessions import SetClock
from tests.cli.conftest import Run

NOW = datetime(2026, 11, 9, 8, tzinfo=UTC)
SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
FOUNDRY = f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/models"
WORKSPACE_ID = "5f1c0000-0000-0000-0000-000000000002"
GROUP = "/providers/Microsoft.Management/managementGroups/all"

COSTS = f'[[source]]\nname = "costs"\nkind = "cost-query"\nscope = "{SUBSCRIPTION}"\n'
DETAILS = f'[[source]]\nname = "details"\nkind = "cost-details"\nscope = "{SUBSCRIPTION}"\n'
LOGS = f'[[source]]\nname = "gateway"\nkind = "log-analytics"\nworkspace_id = "{WORKSPACE_ID}"\n'
METRICS = f'[[source]]\nname = "metrics"\nkind = "azure-metrics"\naccounts = ["{FOUNDRY}"]\n'
INVENTORY = f'[[source]]\nname = "inventory"\nkind = "inventory"\nsubscriptions = ["{SUBSCRIPTION[-36:]}"]\n'


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An Azure that lets nobody do anything, in the words of each service."""
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", "a-token")
    with serving() as server:
        yield server


def stored(azure: Server) -> str:
    """A source of blobs in this Azure, and one of exports."""
    address = f"{azure.address}/{ACCOUNT}/box"
    blobs = (
        f'[[source]]\nname = "stored"\nkind = "blobs"\npath = "{address}/**/PT1H.json"\ncredential_env = "BOX_KEY"\n'
    )
    export = (
        f'[[source]]\nname = "exports"\nkind = "cost-export"\npath = "{address}/*.csv"\ncredential_env = "BOX_KEY"\n'
    )
    return blobs + export


def found(azure: Server, here: Path, *sources: str, clock: SetClock | None = None) -> list[Finding]:
    """What the doctor says of these sources, without a store."""
    head = f'[azure]\ncredential = "token"\nresource_manager = "{azure.address}"\nlog_analytics = "{azure.address}"\n'
    (here / "monitor.toml").write_text("\n".join([head, *sources]))
    settings = load(here / "monitor.toml", {})
    return list(probes(settings, None, now=NOW, clock=clock or SetClock(NOW)))


def forbidden(action: str, scope: str) -> Answer:
    message = f"The client 'x' does not have authorization to perform action '{action}' over scope '{scope}'."
    return error(403, "AuthorizationFailed", message)


def denied(code: str, message: str) -> Answer:
    """A refusal by storage."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status=403, body=body, headers={"content-type": "application/xml", "x-ms-error-code": code})


def only(findings: list[Finding], subject: str) -> Finding:
    (one,) = [finding for finding in findings if finding.subject == f"source {subject!r}"]
    return one


# Roles ----------------------------------------------------------------------------------------------------------------


def test_cost_query_needs_cost_management_reader_at_its_scope(azure: Server, here: Path) -> None:
    answer = error(401, "RBACAccessDenied", "The client does not have authorization to perform action. Request ID: 1")
    azure.route("POST", f"{SUBSCRIPTION}/providers/Microsoft.CostManagement/query", lambda _call: answer)
    finding = only(found(azure, here, COSTS), "costs")
    assert (finding.state, finding.what) == ("wrong", "access is refused")
    assert finding.remedy == f"give this identity the role 'Cost Management Reader' at {SUBSCRIPTION}"


def test_cost_details_need_cost_management_reader_at_their_scope(azure: Server, here: Path) -> None:
    scope = f"{SUBSCRIPTION}/providers/Microsoft.CostManagement"
    answer = forbidden("Microsoft.CostManagement/generateCostDetailsReport/action", scope)
    azure.route("POST", f"{scope}/generateCostDetailsReport", lambda _call: answer)
    finding = only(found(azure, here, DETAILS), "details")
    assert finding.remedy == f"give this identity the role 'Cost Management Reader' at {SUBSCRIPTION}"


def test_log_analytics_needs_log_analytics_reader_at_its_workspace(azure: Server, here: Path) -> None:
    answer = refusal(403, "InsufficientAccessError", "The provided credentials have insufficient access")
    azure.route("POST", f"/v1/workspaces/{WORKSPACE_ID}/query", lambda _call: answer)
    finding = only(found(azure, here, LOGS), "gateway")
    assert finding.remedy.startswith("give this identity the role 'Log Analytics Reader' at ")
    assert WORKSPACE_ID in finding.remedy


def test_azure_metrics_needs_monitoring_reader_at_its_account(azure: Server, here: Path) -> None:
    answer = forbidden("microsoft.insights/metrics/read", f"{FOUNDRY}/providers/microsoft.insights")
    azure.route("GET", f"{FOUNDRY}/providers/Microsoft.Insights/metrics", lambda _call: answer)
    finding = only(found(azure, here, METRICS), "metrics")
    assert finding.what == "account 'models': access is refused (microsoft.insights/metrics/read)"
    assert finding.remedy == f"give this identity the role 'Monitoring Reader' at {FOUNDRY}"


def test_inventory_needs_reader_at_its_subscription(azure: Server, here: Path) -> None:
    scope = f"{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices"
    answer = forbidden("Microsoft.MachineLearningServices/workspaces/read", scope)
    azure.route("GET", f"{scope}/workspaces", lambda _call: answer)
    azure.route("GET", ".*/accounts", lambda _call: Answer(body={"value": []}))
    finding = only(found(azure, here, INVENTORY), "inventory")
    assert finding.remedy == f"give this identity the role 'Reader' at {SUBSCRIPTION}"


def test_blobs_and_exports_need_storage_blob_data_reader_at_their_container(
    azure: Server, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS: tokens are not sent to storage otherwise."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    message = "This request is not authorized to perform this operation using this permission."
    with serving(tls=certificate(tmp_path)) as storage:
        storage.route("GET", f"/{ACCOUNT}/box", lambda _call: denied("AuthorizationPermissionMismatch", message))
        findings = found(azure, here, stored(storage).replace('credential_env = "BOX_KEY"\n', ""))
        assert storage.calls[0].headers["authorization"] == "Bearer a-token"
    for name in ("stored", "exports"):
        where = f"container 'box' of storage account '{ACCOUNT}'"
        assert only(findings, name).remedy == f"give this identity the role 'Storage Blob Data Reader' at {where}"


def test_a_key_that_is_not_taken_names_its_variable(azure: Server, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOX_KEY", KEY)
    azure.route("GET", f"/{ACCOUNT}/box", lambda _call: denied("AuthenticationFailed", "no"))
    findings = found(azure, here, stored(azure))
    for name in ("stored", "exports"):
        assert only(findings, name).what == "what $BOX_KEY holds is refused (AuthenticationFailed)"


def tenant(azure: Server, **known: Any) -> ResourceManager:
    """A tenant with an endpoint in one workspace and a deployment on each of two accounts."""
    number = SUBSCRIPTION[-36:]
    home = Workspace(name="ml-prod", subscription=number)
    homes = [Account(name=name, subscription=number) for name in ("foundry-01", "foundry-02")]
    arm = ResourceManager(subscriptions=[number], workspaces=[home], accounts=homes, **known)
    arm.endpoints.append(Endpoint(workspace=home, name="large", model="m/mistral-large"))
    arm.deployments += [Deployment(account=one, name="large", model="mistral-large") for one in homes]
    arm.register(azure)
    return arm


@pytest.mark.parametrize(
    ("refused", "home"),
    [
        ("foundry-02/deployments", "/providers/Microsoft.CognitiveServices/accounts/foundry-02"),
        ("ml-prod/marketplaceSubscriptions", "/providers/Microsoft.MachineLearningServices/workspaces/ml-prod"),
        ("ml-prod/serverlessEndpoints", "/providers/Microsoft.MachineLearningServices/workspaces/ml-prod"),
    ],
)
def test_a_role_that_is_missing_at_one_account_or_workspace_is_named_with_it(
    azure: Server, here: Path, refused: str, home: str
) -> None:
    """A role is given at an account, and not at the list of its deployments, which Azure names."""
    tenant(azure, refused=[refused])
    finding = only(found(azure, here, INVENTORY), "inventory")
    assert finding.state == "wrong"
    assert finding.remedy.lower().startswith("give this identity the role 'reader' at /subscriptions/")
    assert finding.remedy.lower().endswith(home.lower())


def test_a_role_that_is_missing_for_several_lists_is_asked_for_once(azure: Server, here: Path) -> None:
    tenant(azure, refused=[f"^{SUBSCRIPTION}/providers/[^/]+/(workspaces|accounts)$"])
    finding = only(found(azure, here, INVENTORY), "inventory")
    assert (finding.state, finding.remedy) == ("wrong", f"give this identity the role 'Reader' at {SUBSCRIPTION}")


@pytest.mark.parametrize("empty_first", [False, True])
def test_inventory_that_may_be_read_is_well(azure: Server, here: Path, empty_first: bool) -> None:
    tenant(azure, empty_first=empty_first)
    finding = only(found(azure, here, INVENTORY), "inventory")
    assert (finding.state, finding.what) == ("well", "1 subscription can be looked into")
    assert any(call.path.endswith("/foundry-02/deployments") for call in azure.calls)


def test_of_many_workspaces_and_accounts_the_first_are_looked_into(azure: Server, here: Path) -> None:
    arm, number = tenant(azure), SUBSCRIPTION[-36:]
    arm.workspaces += [Workspace(name=f"w{index}", subscription=number) for index in range(60)]
    arm.accounts += [Account(name=f"a{index}", subscription=number) for index in range(60)]
    finding = only(found(azure, here, INVENTORY), "inventory")
    assert finding.state == "well"
    assert finding.what.endswith("(of the workspaces and accounts, the first 20 were tried)")
    asked = [call.path.rpartition("/")[2] for call in azure.calls]
    assert {name: asked.count(name) for name in asked} == {
        "workspaces": 1,
        "accounts": 1,
        "serverlessEndpoints": 20,
        "marketplaceSubscriptions": 20,
        "deployments": 20,
    }


# One stops no other ---------------------------------------------------------------------------------------------------


def test_a_source_that_is_refused_stops_no_other(azure: Server, here: Path) -> None:
    answer = forbidden("Microsoft.CostManagement/query/read", SUBSCRIPTION)
    azure.route("POST", f"{SUBSCRIPTION}/providers/Microsoft.CostManagement/query", lambda _call: answer)
    azure.route("GET", ".*/(workspaces|accounts)", lambda _call: Answer(body={"value": []}))
    findings = found(azure, here, COSTS, LOGS, METRICS, INVENTORY)
    assert {finding.subject: finding.state for finding in findings} == {
        "azure": "well",
        "source 'costs'": "wrong",
        "source 'gateway'": "wrong",
        "source 'metrics'": "wrong",
        "source 'inventory'": "well",
    }


def test_a_table_that_is_missing_names_the_diagnostic_setting(azure: Server, here: Path) -> None:
    azure.route("POST", ".*/query", lambda _call: unresolved("ApiManagementGatewayLlmLog"))
    finding = only(found(azure, here, LOGS), "gateway")
    assert finding.what.endswith("has no table ApiManagementGatewayLlmLog")
    assert "GatewayLlmLogs" in finding.remedy


def test_without_a_sign_in_it_is_told_once_and_keys_are_tried_all_the_same(
    azure: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONITOR_AZURE_TOKEN")
    monkeypatch.setenv("BOX_KEY", KEY)
    listing = (
        b'<?xml version="1.0"?><EnumerationResults ContainerName="box"><Blobs /><NextMarker /></EnumerationResults>'
    )
    headers = {"content-type": "application/xml"}
    azure.route("GET", f"/{ACCOUNT}/box", lambda _call: Answer(body=listing, headers=headers))
    findings = found(azure, here, COSTS, LOGS, stored(azure))
    assert [(finding.subject, finding.state) for finding in findings] == [
        ("azure: credential", "wrong"),
        ("source 'stored'", "well"),
        ("source 'exports'", "well"),
    ]
    assert findings[0].remedy == 'set it, or write credential = "default"'
    assert findings[1].what == f"container 'box' of '{ACCOUNT}' answers, and holds nothing there yet"


def test_the_doctor_does_not_wait_for_long(azure: Server, here: Path) -> None:
    clock = SetClock(NOW)
    azure.route("POST", ".*", lambda _call: error(429, "429", "Too many requests.", retry_after="57"))
    findings = found(azure, here, COSTS, clock=clock)
    assert only(findings, "costs").state == "note"
    assert only(findings, "costs").what.startswith("Azure asks to wait 5")
    assert "(429)" in only(findings, "costs").what
    assert clock.slept <= 10


@pytest.mark.parametrize("source", [METRICS, INVENTORY, DETAILS, LOGS], ids=["metrics", "inventory", "details", "logs"])
def test_who_is_asked_to_wait_for_long_is_told_so_once(azure: Server, here: Path, source: str) -> None:
    clock = SetClock(NOW)
    for method in ("GET", "POST"):
        azure.route(method, ".*", lambda _call: error(429, "429", "Too many requests.", retry_after="57"))
    (_, finding) = found(azure, here, source, clock=clock)
    assert (finding.state, "(429)" in finding.what) == ("note", True)
    assert clock.slept <= 10


def test_who_is_asked_to_wait_for_a_little_waits(azure: Server, here: Path) -> None:
    answers = iter([error(429, "429", "Too many requests.", retry_after="3")])
    azure.route("GET", ".*", lambda _call: next(answers, Answer(body={"value": []})))
    clock = SetClock(NOW)
    assert only(found(azure, here, INVENTORY, clock=clock), "inventory").state == "well"
    assert clock.slept == 3


def test_what_cannot_be_resolved_is_wrong_at_once(azure: Server, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unresolvable(*_arguments: Any, **_options: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolvable)
    monkeypatch.setenv("BOX_KEY", KEY)
    clock = SetClock(NOW)
    azure_storage = stored(azure).replace(f"{azure.address}/{ACCOUNT}", f"https://{ACCOUNT}.blob.core.windows.net")
    _, *findings = found(azure, here, COSTS, DETAILS, LOGS, METRICS, INVENTORY, azure_storage, clock=clock)
    assert {finding.what.rpartition(": ")[2] for finding in findings} == {"the name of Azure's host cannot be resolved"}
    assert [finding.state for finding in findings] == ["wrong"] * 7
    assert clock.slept == 0


def test_every_source_that_lacks_its_library_is_told_before_anybody_is_asked(
    azure: Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONITOR_AZURE_TOKEN")
    for module in ("azure.monitor.query", "azure.storage.blob"):
        monkeypatch.setitem(sys.modules, module, None)
    findings = found(azure, here, COSTS, LOGS, stored(azure))
    assert [(finding.subject, finding.remedy) for finding in findings[:-1]] == [
        (f"source {name!r}", "pip install 'maas-monitor[azure]'") for name in ("gateway", "stored", "exports")
    ]
    assert findings[-1].subject == "azure: credential"


def test_what_a_management_group_hides_is_told(azure: Server, here: Path) -> None:
    azure.route("POST", ".*", lambda _call: Answer(status=204))
    findings = found(azure, here, COSTS.replace(SUBSCRIPTION, GROUP))
    assert [finding.state for finding in findings] == ["well", "note", "well"]
    assert findings[1].what == "a management group's costs leave out Marketplace charges"


def test_each_probe_asks_little(azure: Server, here: Path) -> None:
    asked: list[Call] = []

    def answers(call: Call) -> Answer:
        asked.append(call)
        return Answer(status=204) if "CostManagement" in call.path else Answer(body={"value": []})

    azure.route("GET", ".*", answers)
    azure.route("POST", ".*CostManagement.*", answers)
    found(azure, here, COSTS, METRICS, INVENTORY)
    assert len(asked) == 4


# The verb -------------------------------------------------------------------------------------------------------------


def test_the_verb_returns_1_and_says_it_in_one_line_for_each_source(run: Run, azure: Server, here: Path) -> None:
    found(azure, here, COSTS, INVENTORY)
    result = run("doctor")
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if "source 'costs'" in line]
    assert lines == ["WRONG source 'costs': Azure knows no such thing (ResourceNotFound): correct it in the settings"]
    assert "a-token" not in result.output
    assert not (here / "monitor.db").exists()


def test_a_source_that_answers_and_was_collected_is_told_with_its_day(run: Run, azure: Server, here: Path) -> None:
    columns = ["Cost", "UsageQuantity", "UsageDate", "ResourceId", "Meter", "UnitOfMeasure", "Currency"]
    saas = f"{SUBSCRIPTION}/resourceGroups/rg/providers/microsoft.saas/resources/mistral-large"
    row = [1.5, 10.0, 20261107, saas, "Mistral Large 2407 - paygo-inference-input-tokens", "1K", "USD"]
    properties = {"nextLink": None, "columns": [{"name": name, "type": "String"} for name in columns], "rows": [row]}
    azure.route("POST", ".*", lambda _call: Answer(body={"properties": properties}))
    found(azure, here, COSTS)
    assert run("collect").exit_code == 0
    said = json.loads(run("doctor", "--format", "json").stdout)["findings"]
    assert [one["what"] for one in said if one["subject"] == "source 'costs'"] == [
        "Cost Management answers",
        "its newest bill is of 2026-11-07",
    ]
