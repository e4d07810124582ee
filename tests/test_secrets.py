"""Canaries: secrets and prompts go in by every way there is, and come out nowhere.

Every kind of source runs end to end, well and in several kinds of trouble, by every verb that shows something, at the
most talkative settings. In go a bearer token, an account key, a SAS token, the signature in a link of Azure's, the
password of a proxy, keys in addresses that a gateway logged, and prompts; the servers say all of it again in their
errors. Neither what is printed nor the store's bytes nor a report may hold any of it.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from monitor.cli.application import application
from monitor.cli.invocation import Invocation
from monitor.clock import Clock
from monitor.config import source_kinds
from monitor.domain.period import minute_number
from tests.azure import metrics
from tests.azure.arm import ResourceManager
from tests.azure.cost_details import CostDetails
from tests.azure.cost_management import CostManagement, CostRow
from tests.azure.log_analytics import LogAnalytics, refusal
from tests.azure.parts import ACCOUNT, KEY
from tests.azure.server import Answer, Call, Server, serving

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ONE, OTHER = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
WORKSPACE = "5f1c0000-0000-0000-0000-000000000003"
FOUNDRY = f"/subscriptions/{ONE}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/models"
SAAS = f"/subscriptions/{ONE}/resourceGroups/rg/providers/microsoft.saas/resources/mistral-large"
METER = "Mistral Large 2407 - plan - paygo-inference-input-tokens"

TOKEN, PASSWORD, PROMPT = "canary-bearer-token-1", "canary-proxy-password-2", "canary prompt 3: who are we?"
EXPORT = (
    "SubscriptionId,ResourceGroup,Date,MeterName,MeterCategory,Quantity,UnitOfMeasure,Cost,BillingCurrency,ResourceId,"
    "PublisherType,ChargeType,AdditionalInfo\n"
    f'{ONE},rg,2026-11-20,{METER},SaaS,10,1K,1.5,USD,{SAAS},Marketplace,Usage,"canary-additional-info-4"\n'
    "canary-broken-row-5\n"
)

Trouble = Callable[[Call], Answer]


def record(number: int) -> str:
    """A line of a response log with a prompt in it, and in the answer."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choices = [{"index": 0, "message": {"role": "assistant", "content": PROMPT}, "finish_reason": "stop"}]
    response = {"id": f"cmpl-{number}", "model": "mistral-large-2407", "choices": choices, "usage": usage}
    request = {"model": "mistral-large-2407", "messages": [{"role": "user", "content": PROMPT}]}
    line = {"time": "2026-11-23T10:00:00Z", "status": 200, "request": request, "response": response}
    return json.dumps(line | {"headers": {"authorization": f"Bearer {TOKEN}"}})


LOG = "\n".join([record(1), record(2), f"{PROMPT} is no JSON", json.dumps({"time": PROMPT, "status": PROMPT}), ""])


class Secrets:
    """What must not come out; `sas` is the token of the container under test."""

    def __init__(self, sas: str) -> None:
        signature = sas.partition("sig=")[2].partition("&")[0]
        self.exact = {KEY, quote(KEY, safe=""), signature, re.sub("%..", "", signature)[:30], sas}

    def in_text(self, text: str) -> list[str]:
        """The canaries that a text holds."""
        found = re.findall(r"(?i)canary[-\w ]{0,30}", text)
        return found + [secret for secret in self.exact if secret in text]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sas(container: "ContainerClient") -> str:
    """A SAS token that reads and lists the container, which holds a log and an export."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    container.upload_blob("logs/w/d/2026/11/23/10/a.jsonl", LOG)
    container.upload_blob("costs/export.csv", EXPORT)
    return generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(days=1),
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of the program's that does not wait."""
    slept = [timedelta()]

    def sleep(_clock: Clock, seconds: float) -> None:
        slept[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(Clock, "now", lambda _clock: NOW + slept[0])
    monkeypatch.setattr(Clock, "sleep", sleep)


@pytest.fixture
def secrets(sas: str, monkeypatch: pytest.MonkeyPatch, clock: None) -> Secrets:
    """The secrets, where an operator puts them; both proxies end at a port where nobody answers."""
    proxy = f"http://me:{PASSWORD}@127.0.0.1:9"
    for name, value in (
        ("MONITOR_AZURE_TOKEN", TOKEN),
        ("BOX", KEY),
        ("BOX_LINK", sas),
        ("HTTPS_PROXY", proxy),
        ("https_proxy", proxy),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ):
        monkeypatch.setenv(name, value)
    return Secrets(sas)


def settings(here: Path, azure: str, storage: str, box: str) -> None:
    """Write settings with a source of every kind, some in several ways."""
    (here / "logs" / "w" / "d").mkdir(parents=True, exist_ok=True)
    (here / "logs" / "w" / "d" / "a.jsonl").write_text(LOG.replace("cmpl-", "local-"))
    (here / "costs.csv").write_text(EXPORT)
    sources = {
        "local": 'kind = "files"\npath = "logs/{workspace}/{deployment}/*.jsonl"',
        "stored": f'kind = "blobs"\npath = "{storage}/{box}/logs/**/*.jsonl"\ncredential_env = "BOX"',
        "linked": f'kind = "blobs"\npath = "{storage}/{box}/logs/**/*.jsonl"\ncredential_env = "BOX_LINK"',
        "exports": f'kind = "cost-export"\npath = "{storage}/{box}/costs/*.csv"\ncredential_env = "BOX_LINK"',
        "local-exports": 'kind = "cost-export"\npath = "costs.csv"',
        "gateway": f'kind = "log-analytics"\nworkspace_id = "{WORKSPACE}"',
        "meters": f'kind = "azure-metrics"\naccounts = ["{FOUNDRY}"]',
        "costs": f'kind = "cost-query"\nscope = "/subscriptions/{ONE}"',
        "details": f'kind = "cost-details"\nscope = "/subscriptions/{OTHER}"',
        "inventory": f'kind = "inventory"\nsubscriptions = ["{ONE}"]',
    }
    azure_table = '[azure]\ncredential = "token"\n'
    if azure:
        azure_table += f'resource_manager = "{azure}"\nlog_analytics = "{azure}"\n'
    tables = [f'[[source]]\nname = "{name}"\n{rest}\n' for name, rest in sources.items()]
    text = "\n".join([azure_table, *tables])
    (here / "monitor.toml").write_text(text)
    assert set(re.findall(r'kind = "([\w-]+)"', text)) == set(source_kinds()), "a kind of source is not tried here"


def everything_shown(here: Path, *flags: str) -> str:
    """Run every verb that shows something of what was read, and return all of it: stdout, stderr, files."""
    said = []
    for arguments in (
        ("doctor",),
        ("collect",),
        ("collect", "--format", "json"),
        ("backfill", "gateway", "--from", "2026-11-22", "--to", "2026-11-23"),
        ("quarantine", "list"),
        ("quarantine", "retry"),
        ("charges", "map"),
        ("report", "sources", "--format", "json"),
        ("report", "daily-spend", "--from", "2026-11-01", "--to", "2026-11-23", "--format", "html", "-o", "spend.html"),
        ("doctor", "--format", "json"),
    ):
        result = CliRunner().invoke(application, [*flags, *arguments], obj=Invocation(now=NOW))
        assert result.exit_code in (0, 1, 3), (arguments, result.output)
        said += [result.stdout, result.stderr]
    files = [path for path in here.rglob("*") if path.is_file() and path.suffix not in (".toml", ".jsonl", ".csv")]
    return "\n".join([*said, *(path.read_bytes().decode("latin-1") for path in files)])


FLAGS = [("--log-level", "debug"), ("--debug",), ("--debug", "--log-format", "json")]


# Well -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def azure() -> Iterator[Server]:
    """An Azure with something to say to every source, prompts and keys among it."""
    with serving() as server:
        logs = LogAnalytics(now=lambda: NOW)
        for number in range(3):
            logs.call(WORKSPACE, f"request-{number}", NOW - timedelta(hours=1, minutes=number))
        logs.register(server)
        measured = metrics.Metrics(lambda: NOW)
        measured.accounts.append(metrics.Account(id=FOUNDRY))
        minute = minute_number(NOW) - 60
        measured.add([metrics.Point(account=FOUNDRY, deployment="d", model="Mistral-Large-3", minute=minute,
                                    requests={"200": 1}, input_tokens=5, output_tokens=5)])  # fmt: skip
        measured.register(server, lists_accounts=False)
        ResourceManager(subscriptions=[ONE]).register(server)
        bill = CostManagement(server=server, now=Clock().now, limited=False)
        bill.rows.append(
            CostRow(day=date(2026, 11, 20), subscription=ONE, resource_group="rg", resource_id=SAAS, meter=METER,
                    cost=Decimal("1.5"))
        )  # fmt: skip
        row = {"date": "2026-11-20", "meterName": METER, "meterCategory": "SaaS", "SubscriptionId": OTHER,
               "publisherType": "Marketplace", "ResourceId": SAAS.replace(ONE, OTHER), "quantity": "10",
               "unitOfMeasure": "1K", "chargeType": "Usage", "billingCurrency": "USD", "costInBillingCurrency": "1",
               "additionalInfo": "canary-additional-info-6"}  # fmt: skip
        CostDetails(server=server, rows={f"/subscriptions/{OTHER}": [row]}, now=lambda: NOW)
        yield server


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_nothing_that_is_secret_comes_out_where_all_is_well(
    here: Path, azure: Server, container: "ContainerClient", secrets: Secrets, flags: tuple[str, ...]
) -> None:
    settings(here, azure.address, container.url.rpartition("/")[0], container.container_name)
    first = CliRunner().invoke(application, ["collect", "--format", "json"], obj=Invocation(now=NOW))
    read = {one["source"]: one["read"] for one in json.loads(first.stdout)["sources"] if one["source"] != "inventory"}
    assert all(read.values()), (read, first.stderr)
    shown = everything_shown(here, *flags) + first.output
    assert len(shown) > 10_000
    assert secrets.in_text(shown) == []


# Trouble --------------------------------------------------------------------------------------------------------------


def repeated(call: Call) -> str:
    """All that a server could say again of a request, and more."""
    query = "&".join(f"{name}={value}" for name, value in call.query.items())
    return f"{call.path}?{query} {json.dumps(dict(call.headers))} {PROMPT} https://x/?sig=canary-signature-7 {KEY}"


def refused(status: int, code: str) -> Trouble:
    def answer(call: Call) -> Answer:
        message = f"The client '{PROMPT}' does not have authorization to perform action '{PROMPT}' {repeated(call)}"
        body = {"error": {"code": code, "message": message, "innererror": {"code": PROMPT, "message": repeated(call)}}}
        return Answer(status=status, body=body, headers={"x-ms-error-code": code, "www-authenticate": "Bearer"})

    return answer


def nonsense(call: Call) -> Answer:
    return Answer(body=f"<html>{repeated(call)}</html>".encode(), headers={"content-type": "text/html"})


def odd(call: Call) -> Answer:
    """JSON of the right beginning and with the wrong rest."""
    columns = [{"name": PROMPT, "type": PROMPT}]
    table = {"name": "PrimaryResult", "columns": columns, "rows": [[repeated(call)]]}
    properties = {"columns": columns, "rows": [[repeated(call)]], "nextLink": f"https://x/?sig={PROMPT}"}
    body = {"value": [PROMPT, {"id": 7, "name": [repeated(call)]}], "tables": [table], "properties": properties}
    return Answer(body=body | {"nextLink": f"https://elsewhere.example/?sig={PROMPT}", "status": PROMPT})


def cut(call: Call) -> Answer:
    return Answer(body={"value": [repeated(call)]}, cut=40)


TROUBLES: dict[str, Trouble] = {
    "unauthorized": refused(401, "InvalidAuthenticationToken"),
    "forbidden": refused(403, "AuthorizationFailed"),
    "bad": refused(400, "BadArgumentError"),
    "busy": refused(429, "429"),
    "failing": refused(500, "InternalServerError"),
    "nonsense": nonsense,
    "odd": odd,
    "cut": cut,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_nothing_that_is_secret_comes_out_where_azure_says_it_again(here: Path, secrets: Secrets, trouble: str) -> None:
    with serving() as server:
        if trouble == "bad":
            # What Log Analytics says of a query is shown, for it quotes nothing but the query.
            server.route("POST", "/v1/.*", lambda _call: refusal(400, "BadArgumentError", "bad", ("SYN0002", "bad")))
        for method in ("GET", "POST", "HEAD"):
            server.route(method, "/.*", TROUBLES[trouble])
        settings(here, server.address, f"{server.address}/{ACCOUNT}", "box")
        shown = everything_shown(here, *FLAGS[list(TROUBLES).index(trouble) % len(FLAGS)])
    assert secrets.in_text(shown) == []
    assert "Traceback" not in shown


def test_nothing_that_is_secret_comes_out_where_a_proxy_lets_nothing_through(here: Path, secrets: Secrets) -> None:
    """The proxies of the environment are used for Azure itself, and nobody answers there."""
    settings(here, "", "https://logs.blob.core.windows.net", "box")
    shown = everything_shown(here, "--debug")
    assert secrets.in_text(shown) == []
    assert "the proxy lets nothing through: correct HTTPS_PROXY and NO_PROXY" in shown


def test_a_process_of_its_own_says_no_secret_either(here: Path, secrets: Secrets) -> None:
    """Warnings, hooks and handlers of last resort are those of a real run."""
    with serving() as server:
        server.route("GET", "/.*", TROUBLES["forbidden"])
        server.route("POST", "/.*", TROUBLES["forbidden"])
        settings(here, server.address, f"{server.address}/{ACCOUNT}", "box")
        done = subprocess.run(
            [sys.executable, "-m", "monitor", "--debug", "collect"],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 3, done.stderr
    assert "give this identity the role 'Monitoring Reader'" in done.stderr
    assert secrets.in_text(done.stdout + done.stderr) == []
