"""What the address of an endpoint says: deployment, region, account.

Serverless endpoints carry their name and region in the host: `<name>.<region>.models.ai.azure.com` today, before that
`<name>-serverless.<region>.inference.ai.azure.com` and, on some workspaces, `.inference.ml.azure.com`. Foundry and
Azure OpenAI hosts carry the account; the deployment is then in the path, or only in the request's `model`.
"""

import re
from functools import lru_cache
from urllib.parse import unquote

from msgspec import Struct

_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.\-]*:)?//(?P<authority>[^/?#]*)(?P<path>[^?#]*)", re.IGNORECASE)
_CLOUD = r"azure\.(?:com|us|cn)"
_SERVERLESS = re.compile(
    rf"(?P<name>[^.]+?)(?:-serverless)?\.(?P<region>[a-z0-9]+)\.(?:models\.ai|inference\.ai|inference\.ml)\.{_CLOUD}"
)
_ACCOUNT = re.compile(rf"(?P<account>[^.]+)\.(?:services\.ai|openai|cognitiveservices)\.{_CLOUD}")
_DEPLOYMENT_PATH = re.compile(r"/openai/deployments/([^/]+)", re.IGNORECASE)


class Endpoint(Struct, frozen=True, kw_only=True):
    """An address taken apart; None: it does not say. `host` is in lower case, without port, credentials, final dot."""

    host: str
    deployment: str | None = None
    region: str | None = None
    account: str | None = None


@lru_cache(maxsize=4096)
def endpoint(address: str) -> Endpoint:
    """Take a URL or a host apart; an unknown host gives the host alone. Never raises.

    A serverless deployment's name is in lower case, as hosts are; one from a path stays as written.
    """
    authority, path = _split(address.strip())
    host = _host(authority)
    serverless = _SERVERLESS.fullmatch(host)
    if serverless:
        return Endpoint(host=host, deployment=serverless["name"], region=serverless["region"])
    account = _ACCOUNT.fullmatch(host)
    if account:
        named = _DEPLOYMENT_PATH.match(path)
        return Endpoint(host=host, deployment=unquote(named[1]) if named else None, account=account["account"])
    return Endpoint(host=host)


def _split(address: str) -> tuple[str, str]:
    match = _ADDRESS.match(address)
    if match:
        return match["authority"], match["path"]
    bare = re.split(r"[?#]", address, maxsplit=1)[0]
    authority, slash, rest = bare.partition("/")
    return authority, slash + rest


def _host(authority: str) -> str:
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].rstrip(".").lower()
