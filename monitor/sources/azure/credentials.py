"""As whom Azure is asked. Nothing is stored, and no token, key or signature is ever shown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.pipeline.policies import BearerTokenCredentialPolicy

from monitor.errors import SettingsError, UnreachableError
from monitor.sources.azure.cloud import Azure, is_loopback

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

TOKEN = "MONITOR_AZURE_TOKEN"  # noqa: S105 - the name of a variable
NEVER = 2**40
"""When a token given by hand ends, in seconds since 1970: only Azure knows, and says so by a refusal."""


class GivenToken:
    """A bearer token from the environment, for whatever it is asked for."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Return the token."""
        return AccessToken(self._token, NEVER)


def credential(azure: Azure, environ: Mapping[str, str]) -> TokenCredential:
    """Return what signs requests, as the settings say; it is asked for a token only when a request goes out."""
    if azure.credential == "token":
        token = environ.get(TOKEN, "").strip()
        if not token:
            raise SettingsError("azure: credential", f"{TOKEN} is not set", 'set it, or write credential = "default"')
        return GivenToken(token)
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:  # pragma: no cover - it is a dependency
        raise UnreachableError("azure", "azure-identity is not installed", "pip install azure-identity") from None
    found: TokenCredential = DefaultAzureCredential(authority=azure.addresses.authority)
    return found


class Bearer(BearerTokenCredentialPolicy[Any, Any]):
    """Signs requests with a token; over plain http only to this machine, which the settings have been held to."""

    def on_request(self, request: "PipelineRequest[Any]") -> None:
        """Sign one request."""
        if is_loopback(request.http_request.url):
            request.context.options["enforce_https"] = False
        super().on_request(request)
