"""As whom Azure is asked. Nothing is stored, and no token, key or signature is ever shown."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy

from monitor.errors import SettingsError, UnreachableError
from monitor.sources.azure.cloud import CLOUDS, Azure, is_loopback
from monitor.sources.azure.unreached import unreached, unreached_by

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest

TOKEN = "MONITOR_AZURE_TOKEN"  # noqa: S105 - the name of a variable
NEVER = 2**40
"""When a token given by hand ends, in seconds since 1970: only Azure knows, and says so by a refusal."""

AGAIN = "run az login again"
"""What to do where whoever was signed in with the Azure CLI is not any more."""

REASONS = {
    "7000215": ("the client secret is wrong", "put the secret's value, not its id, into AZURE_CLIENT_SECRET"),
    "7000222": ("the client secret has expired", "make a new one and put it into AZURE_CLIENT_SECRET"),
    "700016": ("the application is not known in this tenant", "correct AZURE_CLIENT_ID or AZURE_TENANT_ID"),
    "700027": ("the client certificate is not accepted", "register it with the application"),
    "90002": ("there is no such tenant in this cloud", "correct AZURE_TENANT_ID, or cloud in [azure]"),
    "500011": ("this tenant does not know Azure's service", "correct AZURE_TENANT_ID, or cloud in [azure]"),
    "70021": ("no federated credential fits", "add one with this issuer and subject to the application"),
    "700213": ("no federated credential fits", "add one with this issuer and subject to the application"),
    "50076": ("a second factor is asked for", AGAIN),
    "50078": ("the sign-in has ended", AGAIN),
    "50173": ("the sign-in has ended", AGAIN),
    "70043": ("the sign-in has ended", AGAIN),
    "700082": ("the sign-in has ended", AGAIN),
    "700084": ("the sign-in has ended", AGAIN),
}
"""What the error numbers of Microsoft Entra ID mean (its reference of AADSTS codes), and the remedy."""

logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"AADSTS(\d{5,8})")
_TRIED = re.compile(r"Authentication failed: (.*)")


class SignInError(ClientAuthenticationError):
    """No token is to be had: `why` and `remedy` say it in few words; the cause says the rest."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why, self.remedy = why, remedy
        super().__init__(message=why)


class GivenToken:
    """A bearer token from the environment, for whatever it is asked for."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Return the token."""
        return AccessToken(self._token, NEVER)


class SignedIn:
    """Another credential, whose long errors become a SignInError; what failed once is not tried again."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential
        self._failed: SignInError | None = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for the scopes; SignInError if there is none."""
        if self._failed:
            # Looking for a managed identity and an Azure CLI in vain takes seconds, for every source.
            raise self._failed
        try:
            return self._credential.get_token(*scopes, **options)
        except (AzureError, ValueError) as error:
            logger.debug("no token: %s", " ".join(str(error).split()))
            self._failed = _reason(error)
            raise self._failed from error

    def close(self) -> None:
        """Close its connections."""
        close = getattr(self._credential, "close", None)
        if close:
            close()


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
    authority = azure.addresses.authority
    found = DefaultAzureCredential(
        authority=authority,
        # These two keep tokens in files; whoever has signed in there has an Azure CLI, too.
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        # An authority of one's own is not in the public list, which is not reachable from such a cloud either.
        disable_instance_discovery=authority not in {cloud.authority for cloud in CLOUDS.values()},
    )
    return SignedIn(found)


def _reason(error: Exception) -> SignInError:
    number = _NUMBER.search(str(error))
    if number is None:
        # A credential that is merely not set up here has looked in vain for a server, too: that is no trouble.
        tried = " ".join(_TRIED.findall(str(error)))
        beyond = unreached(error) or unreached_by(tried)
        return SignInError(*beyond) if beyond else SignInError("no credential is to be had here", "")
    why, remedy = REASONS.get(number[1], ("Microsoft Entra ID refuses it", ""))
    return SignInError(f"{why} ({number[0]})", remedy)


class Bearer(BearerTokenCredentialPolicy[Any, Any]):
    """Signs requests with a token; over plain http only to this machine, which the settings have been held to."""

    def on_request(self, request: "PipelineRequest[Any]") -> None:
        """Sign one request."""
        if is_loopback(request.http_request.url):
            request.context.options["enforce_https"] = False
        super().on_request(request)
