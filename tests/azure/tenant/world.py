"""The tenant in Azurite and in the servers that stand for the rest of Azure, as it is at each collection."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.azure.cost_management import CostManagement, too_many
from tests.azure.log_analytics import GATEWAY, LLM, LogAnalytics
from tests.azure.metrics import Account, Metrics, Point
from tests.azure.parts import KEY
from tests.azure.server import Server, serving
from tests.azure.sessions import TOKEN, SetClock
from tests.azure.tenant.billing import cost_rows, exports
from tests.azure.tenant.bills import Bills
from tests.azure.tenant.records import SECRET, appended
from tests.azure.tenant.resources import Resources
from tests.azure.tenant.shape import REGISTERED, Deployment, Tenant
from tests.azure.tenant.traffic import Asked, Traffic

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

GATEWAY_LOGS = "7b1f7a0e-5d0f-4c83-9a6e-2f1d3c4b5a69"
"""The Log Analytics workspace of the gateway."""
KEY_ENV = "TENANT_STORAGE_KEY"
LAYOUTS = {
    "responses": "responses/{workspace}/{deployment}/y={year}/m={month}/d={day}/h=*/m=00/PT1H.json",
    "by-day": "by-day/y={year}/m={month}/d={day}/h=*/m=00/{workspace}/{deployment}.jsonl",
}
"""Sources of response logs, and how their blobs are named."""
AT_ONCE = 8
"""Appends under way at once."""
BROKEN_LINE = b'{"time":"yesterday","status":200,"request_id":"nobody knows when"}\n'
BROKEN = 7
"""Every so many collections a caller has written a line that nobody can read."""
UNEXPECTED_429 = 9
"""Every so many collections Cost Management refuses one request for no reason that could be seen."""


class World:
    """Everything that the sources ask. `prepare` makes it what it is at one of the tenant's collections."""

    def __init__(self, tenant: Tenant, server: Server, container: "ContainerClient") -> None:
        self.tenant, self.server, self.container = tenant, server, container
        self.traffic = Traffic(tenant)
        self.bills = Bills(tenant, self.traffic)
        self.clock = SetClock(tenant.collects[0])
        self.costs = CostManagement(server=server, now=self.clock.now)
        self.resources = Resources(tenant, server)
        self.metrics = Metrics(self.clock.now)
        self.metrics.register(server, lists_accounts=False)
        self.logs = LogAnalytics(self.clock.now)
        self.logs.register(server)
        self.blobs = 0
        self.appends = 0
        self.broken: Counter[str] = Counter()
        self._flushes = appended(tenant, self.traffic)
        self._exported: datetime | None = None
        self._known: set[str] = set()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._fill_metrics()
        self._fill_gateway_logs()

    def close(self) -> None:
        self._pool.shutdown()

    def prepare(self, number: int) -> datetime:
        """Let everything happen until a collection; return its instant, at which the clock now stands."""
        at = self.tenant.collects[number]
        self.clock.time = at
        self.resources.at(at.date())
        self.costs.rows[:] = cost_rows(self.tenant, self.bills, at)
        if number % UNEXPECTED_429 == 4:
            self.costs.instead.append(too_many({"x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after": "17"}))
        written = self._flushes[number]
        if number % BROKEN == 3 and (whole := [name for name in sorted(written) if written[name].endswith(b"\n")]):
            spoilt = whole[number % len(whole)]
            written[spoilt] += BROKEN_LINE
            self.broken[spoilt.partition("/")[0]] += 1
        list(self._pool.map(self._append, written, written.values()))
        self._export(at)
        return at

    def _append(self, name: str, data: bytes) -> None:
        blob = self.container.get_blob_client(name)
        if name not in self._known:
            self._known.add(name)
            blob.create_append_blob()
            self.blobs += 1
        blob.append_block(data)
        self.appends += 1

    def _export(self, at: datetime) -> None:
        """Run the export at 05:00 of each day."""
        due = at.replace(hour=5, minute=0)
        if due > at or due == self._exported:
            return
        self._exported = due
        for name, data in exports(self.tenant, self.bills, due).items():
            self.container.upload_blob(name, data)
            self.blobs += 1

    # Meters and gateways ---------------------------------------------------------------------------------------------

    def _fill_metrics(self) -> None:
        """Tell Azure Monitor everything at once; it shows each point when it is due."""
        homes = {one.workspace: one for one in self.tenant.deployments if one.foundry}
        self.metrics.accounts = [
            Account(id=one.resource(self.tenant.first), location=one.region) for one in homes.values()
        ]
        for one in self.traffic.asked:
            deployment = self.tenant.deployments[one.deployment]
            if deployment.foundry and one.end != "gateway":
                self.metrics.add([self._point(one, deployment)])

    def _point(self, one: Asked, deployment: Deployment) -> Point:
        read, written = one.tokens
        late = deployment.log == "metrics" and one.seen > 0 and _instant(one) < self.tenant.collects[one.seen - 1]
        return Point(
            account=deployment.resource(self.tenant.first),
            deployment=deployment.name,
            model=REGISTERED[deployment.model],
            minute=one.minute + 1,
            requests={str(one.status): 1},
            input_tokens=read,
            output_tokens=written,
            visible_at=self.tenant.collects[one.seen - 1] + timedelta(minutes=3) if late else None,
        )

    def _fill_gateway_logs(self) -> None:
        """Tell Log Analytics everything at once; it shows each row when it has arrived."""
        llm, gateway = self.logs.table(GATEWAY_LOGS, LLM), self.logs.table(GATEWAY_LOGS, GATEWAY)
        for one in self.traffic.asked:
            deployment = self.tenant.deployments[one.deployment]
            if deployment.log != "apim" or one.seen >= len(self.tenant.collects):
                continue
            at, arrives = _instant(one), self._arrives(one)
            common = {"TimeGenerated": at, "CorrelationId": one.identity}
            refused_here = one.end == "gateway"
            gateway.add(
                **common,
                Method="POST",
                Url="https://gateway.example/models/chat/completions",
                BackendUrl="" if refused_here else _backend(deployment),
                ResponseCode=one.status,
                BackendResponseCode=None if refused_here else one.status,
                BackendResponseHeaders={"Retry-After": str(one.wait_s)} if one.status == 429 else {},
                Cache="none",
                _IngestedAt=arrives + timedelta(seconds=90),
            )
            if one.status == 200:
                self._tell_messages(llm, one, deployment, arrives)

    def _tell_messages(self, llm: object, one: Asked, deployment: Deployment, arrives: datetime) -> None:
        said = {
            "TimeGenerated": _instant(one),
            "CorrelationId": one.identity,
            "DeploymentName": deployment.name,
            "ModelName": REGISTERED[deployment.model],
            "IsStreamCompletion": one.end == "streamed",
            "_IngestedAt": arrives,
        }
        used = {
            "PromptTokens": one.prompt,
            "CompletionTokens": one.completion,
            "TotalTokens": one.prompt + one.completion,
        }
        llm.add(**said, **used, SequenceNumber=0)  # type: ignore[attr-defined]
        for number in range(1, 2 + one.prompt % 2):
            pieces = {"RequestMessages": SECRET, "ResponseMessages": SECRET}
            llm.add(**said, **used, **pieces, SequenceNumber=number)  # type: ignore[attr-defined]

    def _arrives(self, one: Asked) -> datetime:
        """Return when a gateway's record arrives: after a minute, or shortly before the collection that shows it."""
        before = self.tenant.collects[one.seen - 1] if one.seen else self.tenant.collects[0] - timedelta(days=1)
        at = _instant(one) + timedelta(minutes=1)
        return at if at > before else self.tenant.collects[one.seen] - timedelta(minutes=50)

    # Settings --------------------------------------------------------------------------------------------------------

    def settings(self, store: str) -> str:
        """Write the settings by which the tenant is watched: nothing but where its logs and costs are."""
        os.environ[KEY_ENV], os.environ["MONITOR_AZURE_TOKEN"] = KEY, TOKEN
        container, here = self.container.url, self.server.address
        tables = [
            f'[store]\nurl = "{store}"\nkeep_events_days = 60',
            f'[azure]\ncredential = "token"\nresource_manager = "{here}"\nlog_analytics = "{here}"',
            _source("inventory", "inventory"),
            *(
                _source(name, "blobs", path=f"{container}/{path}", credential_env=KEY_ENV)
                for name, path in LAYOUTS.items()
            ),
            _source("gateway", "log-analytics", workspace_id=GATEWAY_LOGS),
            *(
                _source(f"metrics-{number}", "azure-metrics", scope=f"/subscriptions/{one}")
                for number, one in enumerate(sorted({d.subscription for d in self.tenant.deployments if d.foundry}))
            ),
            *(
                _source(f"costs-{number}", "cost-query", scope=f"/subscriptions/{one}")
                for number, one in enumerate(self.tenant.queried)
            ),
            _source("export", "cost-export", path=f"{container}/costs/**", credential_env=KEY_ENV),
        ]
        return "\n\n".join(tables) + "\n"


def _source(name: str, kind: str, **fields: str) -> str:
    lines = [f'{field} = "{value}"' for field, value in {"name": name, "kind": kind, **fields}.items()]
    return "\n".join(["[[source]]", *lines])


def _backend(deployment: Deployment) -> str:
    """Where the gateway sends requests: of an account, only a path that names the deployment tells who refused."""
    path = f"openai/deployments/{deployment.name}" if deployment.foundry else "v1"
    return f"https://{deployment.host}/{path}/chat/completions?api-key=canary-key"


def _instant(one: Asked) -> datetime:
    return datetime.fromtimestamp(one.at_ms / 1000, UTC)


@contextmanager
def world(tenant: Tenant, storage: str) -> Iterator[World]:
    """Put a tenant into a new container of the storage account of this address, and into servers."""
    from azure.storage.blob import ContainerClient

    with ExitStack() as stack:
        container = stack.enter_context(ContainerClient(storage, f"tenant-{uuid4().hex}", credential=KEY))
        container.create_container()
        made = World(tenant, stack.enter_context(serving()), container)
        stack.callback(made.close)
        yield made
