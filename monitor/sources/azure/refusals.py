"""What a refusal of Azure means, as an error that names the remedy: which role is missing where, what is out of reach.

Messages are made of status, code and what the body says of actions, scopes and tables; URLs, headers and tokens never
enter.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from msgspec import Struct

from monitor.errors import MonitorError, UnreachableError
from monitor.sources.azure.said import Said, said
from monitor.sources.azure.unreached import unreached

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, THROTTLED, SERVER = 401, 403, 404, 409, 410, 429, 500

_ACTION = re.compile(r"perform (?:the )?(?:action|action\(s\)) '([\w./*-]+)'")
_SCOPE = re.compile(r"over scope '(/[^'\s]{1,400})'")
_ISSUED_FOR = re.compile(r"must match the tenant 'https://[\w.]+/([0-9A-Fa-f-]{36})")
_NAMED = re.compile(r"named '(\w{1,100})'")
_NAMESPACE = re.compile(r"namespace '([\w.]{1,100})'")
_UNASSIGNABLE = re.compile(r"(?i)^(/.+)/providers/[\w.]+(?:/\w+)?$")
"""A kind of resource below something: nothing that a role could be given at."""

NO_ROLE = {"AuthorizationFailed", "RBACAccessDenied", "AuthorizationPermissionMismatch", "InsufficientAccessError"}
"""Codes that mean a missing role, whatever the status: Cost Management says RBACAccessDenied with 401."""

COSTS_HIDDEN = {"AccountCostDisabled", "DepartmentCostDisabled", "IndirectCostDisabled"}
NO_OFFER = ("WebDirect/AIRS offer type", "Cost Management supports only")

MISFITS = (
    (
        "InvalidAuthenticationTokenTenant",
        ("Issuer validation failed", "from the wrong issuer"),
        "the credential is of another tenant",
        "sign in to the tenant {tenant}: az login --tenant, or AZURE_TENANT_ID",
    ),
    (
        "InvalidAuthenticationTokenAudience",
        ("Audience validation failed", "wrong audience"),
        "the credential is for another of Azure's services",
        'a token serves one of them only: write credential = "default" in [azure], or collect this source alone',
    ),
    (
        "ExpiredAuthenticationToken",
        ("Lifetime validation failed", "token is expired", "token expiry"),
        "the credential has expired",
        "take a new one, or sign in again with az login",
    ),
)
"""Tokens that are no good here: the code of Resource Manager, phrases of Storage and others, meaning and remedy."""


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

    def __init__(self, subject: str, what: str, remedy: str = "") -> None:
        super().__init__(subject, what, remedy or self.REMEDY)


class RefusedRequestError(UnreachableError):
    """Azure does not take a request of this kind, and says it by a status alone."""

    def __init__(self, subject: str, what: str, remedy: str, status: int) -> None:
        self.status = status
        super().__init__(subject, what, remedy)


@contextmanager
def told(subject: str, need: Need) -> Iterator[None]:
    """Turn what the Azure libraries raise into a MonitorError about `subject`."""
    from azure.core.exceptions import AzureError, DeserializationError

    try:
        yield
    except AzureError as error:
        raise meaning(error, subject, need) from None
    except DeserializationError:
        raise UnreachableError(subject, "what answers is not Azure", "check the address and the proxy") from None


def meaning(error: Exception, subject: str, need: Need) -> MonitorError:
    """Return what an error of the Azure libraries means to an operator."""
    from azure.core.exceptions import ClientAuthenticationError

    from monitor.sources.azure.credentials import SignInError

    if isinstance(error, SignInError):
        return NotSignedInError(subject, error.why, error.remedy)
    answer = said(error)
    if answer.status:
        return next(filter(None, (explain(answer, subject, need) for explain in EXPLANATIONS)))
    if isinstance(error, ClientAuthenticationError):
        return NotSignedInError(subject, "no credential is to be had here")
    what, remedy = unreached(error) or ("Azure could not be reached", "check the network, the proxy and [azure]")
    return UnreachableError(subject, what, remedy)


def code_of(error: Exception) -> str:
    """Return the code of an error body, '' if it has none."""
    return said(error).code


def _identity(answer: Said, subject: str, _need: Need) -> MonitorError | None:
    """Refusals of the token itself, with 401 or, by Storage, 403."""
    if answer.status not in (UNAUTHORIZED, FORBIDDEN):
        return None
    for code, phrases, what, remedy in MISFITS:
        if code in answer.codes or any(phrase in answer.text for phrase in phrases):
            tenant = _ISSUED_FOR.search(answer.text)
            return NotSignedInError(subject, what, remedy.format(tenant=tenant[1] if tenant else "of its subscription"))
    if "KeyBasedAuthenticationNotPermitted" in answer.codes:
        return UnreachableError(subject, "the storage account takes no keys", "leave credential_env out")
    if answer.status == UNAUTHORIZED and not NO_ROLE.intersection(answer.codes):
        return NotSignedInError(subject, f"the credential is not accepted ({answer.code or answer.status})")
    return None


def _permission(answer: Said, subject: str, need: Need) -> MonitorError | None:
    """What whoever asks may not do, or may not from here."""
    if "AuthorizationFailure" in answer.codes:
        # Azure says so to machines that the account's firewall keeps out; a missing role has a code of its own.
        what = "the storage account's firewall does not let this machine in"
        remedy = f"allow its network there, and give this identity the role {need.role!r} at {need.scope}"
        return UnreachableError(subject, what, remedy)
    if "PublicAccessNotPermitted" in answer.codes:
        remedy = f"sign in, and give this identity the role {need.role!r} at {need.scope}"
        return UnreachableError(subject, "the storage account answers nobody unknown", remedy)
    if "AccountIsDisabled" in answer.codes:
        return UnreachableError(subject, "the storage account is disabled", "enable its subscription again")
    if answer.status == FORBIDDEN or NO_ROLE.intersection(answer.codes):
        action, scope = _ACTION.search(answer.text), _SCOPE.search(answer.text)
        return MissingRoleError(subject, need, action[1] if action else "", _assignable(scope[1]) if scope else "")
    return None


def _costs(answer: Said, subject: str, _need: Need) -> MonitorError | None:
    """What Cost Management refuses whatever the role."""
    if COSTS_HIDDEN.intersection(answer.codes):
        remedy = "switch 'AO view charges' on in the billing account's policies, or ask at its scope"
        return UnreachableError(subject, f"the agreement hides costs from subscriptions ({answer.code})", remedy)
    if any(phrase in answer.text for phrase in NO_OFFER):
        what = "Cost Management does not serve this kind of subscription (sponsored, classic partner)"
        return UnreachableError(subject, what, "ask at the billing account's scope, or remove the source")
    return None


def _absence(answer: Said, subject: str, _need: Need) -> MonitorError | None:
    missing = _NAMED.search(answer.text) if any(code.startswith("SEM") for code in answer.codes) else None
    if missing:
        remedy = "switch on the diagnostic setting that fills it, or correct the query"
        return UnreachableError(subject, f"there is no table or column {missing[1]!r}", remedy)
    if "MissingSubscriptionRegistration" in answer.codes:
        namespace = _NAMESPACE.search(answer.text)
        remedy = f"az provider register --namespace {namespace[1] if namespace else 'of the service'}"
        return UnreachableError(subject, "the subscription does not use this service yet", remedy)
    if answer.status not in (NOT_FOUND, GONE):
        return None
    what = f"Azure knows no such thing ({answer.code or answer.status})"
    if "SubscriptionNotFound" in answer.codes:
        return UnreachableError(subject, what, "correct the subscription, or sign in to its tenant")
    return UnreachableError(subject, what, "correct it in the settings")


def _trouble(answer: Said, subject: str, _need: Need) -> MonitorError | None:
    if answer.status == THROTTLED:
        return UnreachableError(subject, "Azure is asked too often", "wait, or collect it less often")
    if answer.status >= SERVER:
        return UnreachableError(subject, f"Azure failed with status {answer.status}", "try again later")
    if answer.status == CONFLICT:
        what = f"something else is under way there ({answer.code or answer.status})"
        return UnreachableError(subject, what, "try again later")
    return None


def _other(answer: Said, subject: str, _need: Need) -> MonitorError:
    # The innermost code is the exact one: BadArgumentError, then SyntaxError, then SYN0002.
    code = answer.codes[-1] if answer.codes else answer.status
    what, remedy = f"Azure refused the request ({code})", "correct the settings of this source"
    return RefusedRequestError(subject, what, remedy, answer.status)


EXPLANATIONS: tuple[Callable[[Said, str, Need], MonitorError | None], ...] = (
    _costs,
    _identity,
    _permission,
    _absence,
    _trouble,
    _other,
)
"""Asked in this order; the last always answers."""


def _assignable(scope: str) -> str:
    """Return the nearest scope that a role can be given at."""
    found = _UNASSIGNABLE.match(scope)
    return found[1] if found else scope
