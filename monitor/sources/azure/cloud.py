"""The table [azure] of the settings: which cloud is asked, and as whom."""

from urllib.parse import urlsplit

from msgspec import Struct

from monitor.errors import SettingsError

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
"""How Azure writes the ids of subscriptions and workspaces, in either case."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Addresses(Struct, frozen=True, kw_only=True):
    """Where a cloud answers; tokens are asked for the audiences named here, wherever the requests then go.

    `arm_audience`: what tokens for Azure Resource Manager are asked for, '' where that is its own address.
    """

    authority: str
    resource_manager: str
    log_analytics: str
    storage_suffix: str
    arm_audience: str = ""


CLOUDS = {
    "public": Addresses(
        authority="https://login.microsoftonline.com",
        resource_manager="https://management.azure.com",
        log_analytics="https://api.loganalytics.io",
        storage_suffix="core.windows.net",
    ),
    "usgovernment": Addresses(
        authority="https://login.microsoftonline.us",
        resource_manager="https://management.usgovcloudapi.net",
        log_analytics="https://api.loganalytics.us",
        storage_suffix="core.usgovcloudapi.net",
        arm_audience="https://management.core.usgovcloudapi.net",
    ),
    "china": Addresses(
        authority="https://login.chinacloudapi.cn",
        resource_manager="https://management.chinacloudapi.cn",
        log_analytics="https://api.loganalytics.azure.cn",
        storage_suffix="core.chinacloudapi.cn",
    ),
}
"""Azure's clouds; addresses as in the documentation of each."""


class Azure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Azure is asked.

    `cloud`: "public", "usgovernment" or "china"; the addresses left out are the cloud's. `credential`: "default" is
    DefaultAzureCredential (environment, workload identity, managed identity, az login), "token" takes a bearer token
    from MONITOR_AZURE_TOKEN. `tenant`: whose request budget is shared, where one store watches several tenants.
    """

    cloud: str = "public"
    credential: str = "default"
    authority: str = ""
    resource_manager: str = ""
    log_analytics: str = ""
    storage_suffix: str = ""
    tenant: str = ""

    def __post_init__(self) -> None:
        if self.cloud not in CLOUDS:
            raise SettingsError("azure: cloud", f"{self.cloud!r} is none", f"write one of {', '.join(CLOUDS)}")
        if self.credential not in ("default", "token"):
            raise SettingsError("azure: credential", f"{self.credential!r} is none", 'write "default" or "token"')
        for field in ("authority", "resource_manager", "log_analytics"):
            secure(f"azure: {field}", getattr(self, field) or getattr(self.home, field))
        if not (self.authority or "https:").startswith("https:"):
            raise SettingsError("azure: authority", "takes secrets and is not https", "write https://")

    @property
    def home(self) -> Addresses:
        """The addresses of the cloud itself, which tokens are asked for."""
        return CLOUDS[self.cloud]

    @property
    def addresses(self) -> Addresses:
        """The addresses that requests go to."""
        return Addresses(
            authority=(self.authority or self.home.authority).rstrip("/"),
            resource_manager=(self.resource_manager or self.home.resource_manager).rstrip("/"),
            log_analytics=(self.log_analytics or self.home.log_analytics).rstrip("/"),
            storage_suffix=self.storage_suffix or self.home.storage_suffix,
        )

    @property
    def arm_scope(self) -> str:
        """What tokens for Azure Resource Manager, Cost Management and metrics are asked for."""
        return f"{self.home.arm_audience or self.home.resource_manager}/.default"

    @property
    def log_analytics_scope(self) -> str:
        """What tokens for queries of Log Analytics are asked for."""
        return f"{self.home.log_analytics}/.default"


def secure(subject: str, address: str) -> None:
    """Refuse an address that a credential must not be sent to: plain http goes nowhere but to this machine."""
    parts = urlsplit(address)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise SettingsError(subject, "is not an address", "write it like https://management.azure.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(subject, "would send credentials over plain http", "write https://")


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(address).hostname in LOOPBACK
