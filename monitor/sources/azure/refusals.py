"""What a refusal of Azure means, as an error that names the remedy: which role is missing where, what is out of reach.

Messages are made of status, code and what the body says of actions and scopes; URLs, headers and tokens never enter.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from monitor.errors import MonitorError, UnreachableError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, THROTTLED, SERVER = 401, 403, 404, 410, 429, 500

_ACTION = re.compile(r"perform action '([^']+)'")
_SCOPE = re.compile(r"over scope '([^']+)'")


class Need(Struct, frozen=True, kw_only=True):
    """What reading a source takes: a role, and the scope at which it is given."""

    role: str
    scope: str


class MissingRoleError(UnreachableError):
    """Azure knows who asks, and does not let them."""

    def __init__(self, subject: str, need: Need, action: str = "", scope: str = "") -> None:
        self.role, self.scope = need.role, scope or need.scope
        what = f"access is refused ({action})" if action else "access is refused"
        super().__init__(subject, what, f"give this identity the role {self.role!r} at {self.scope}")


class NotSignedInError(UnreachableError):
    """Nobody is signed in, or what they signed in with is no longer taken."""

    REMEDY: ClassVar[str] = (
        "sign in with az login, give this machine a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
        "AZURE_CLIENT_SECRET"
    )

    def __init__(self, subject: str, what: str) -> None:
        super().__init__(subject, what, self.REMEDY)


@contextmanager
def told(subject: str, need: Need) -> Iterator[None]:
    """Turn what the Azure libraries raise into a MonitorError about `subject`."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        raise meaning(error, subject, need) from None


def meaning(error: Exception, subject: str, need: Need) -> MonitorError:
    """Return what an error of the Azure libraries means to an operator."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _answered(error, subject, need)
    if isinstance(error, ClientAuthenticationError):
        return NotSignedInError(subject, "no credential is to be had here")
    return UnreachableError(subject, "Azure could not be reached", "check the network, the proxy and [azure]")


def _answered(error: "HttpResponseError", subject: str, need: Need) -> MonitorError:
    status, code, message = error.status_code or 0, code_of(error), message_of(error)
    if status == UNAUTHORIZED:
        return NotSignedInError(subject, f"the credential is not accepted ({code or status})")
    if status == FORBIDDEN:
        action, scope = _ACTION.search(message), _SCOPE.search(message)
        return MissingRoleError(subject, need, action[1] if action else "", scope[1] if scope else "")
    if status in (NOT_FOUND, GONE):
        return UnreachableError(subject, f"Azure knows no such thing ({code or status})", "correct it in the settings")
    if status == THROTTLED:
        return UnreachableError(subject, "Azure is asked too often", "wait, or collect it less often")
    if status >= SERVER:
        return UnreachableError(subject, f"Azure failed with status {status}", "try again later")
    return UnreachableError(subject, f"Azure refused the request ({code or status})", "see --log-level debug")


def code_of(error: "HttpResponseError") -> str:
    """Return the code of an error body, '' if it has none."""
    return _said(error, "code")[:80]


def message_of(error: "HttpResponseError") -> str:
    """Return the message of an error body, '' if it has none; for looking things up in, not for showing."""
    return _said(error, "message")


def _said(error: "HttpResponseError", field: str) -> str:
    body: Any = getattr(error, "model", None) or getattr(error, "error", None)
    inner = getattr(body, "error", None) or body
    value = getattr(inner, field, None)
    return value if isinstance(value, str) else ""
