"""Scopes at which Cost Management answers: what they may look like, and which of them contain which.

Forms as documented for query.usage: subscription, resource group, management group, billing account, department,
enrollment account, billing profile, invoice section and customer.
"""

import re

from msgspec import Struct

from monitor.sources.azure.cloud import GUID
from monitor.sources.azure.refusals import Need

_ID = r"[^/?#\s]+"
_ACCOUNT = rf"providers/Microsoft\.Billing/billingAccounts/(?P<account>{_ID})"

FORMS = {
    "subscription": rf"subscriptions/(?P<subscription>{GUID})",
    "resource group": rf"subscriptions/(?P<subscription>{GUID})/resourceGroups/(?P<group>[\w().-]{{1,90}})",
    "management group": rf"providers/Microsoft\.Management/managementGroups/{_ID}",
    "billing account": _ACCOUNT,
    "department": rf"{_ACCOUNT}/departments/{_ID}",
    "enrollment account": rf"{_ACCOUNT}/enrollmentAccounts/{_ID}",
    "billing profile": rf"{_ACCOUNT}/billingProfiles/{_ID}",
    "invoice section": rf"{_ACCOUNT}/billingProfiles/{_ID}/invoiceSections/{_ID}",
    "customer": rf"{_ACCOUNT}/customers/{_ID}",
}
ROLES = {
    "department": "Enterprise Administrator (read only)",
    "enrollment account": "Enterprise Administrator (read only)",
    "billing account": "Billing account reader",
    "billing profile": "Billing profile reader",
    "invoice section": "Invoice section reader",
    "customer": "Billing account reader",
}
"""Roles of billing scopes (azure.md, 6); elsewhere it is Cost Management Reader."""
_WORDS = (
    *("subscriptions", "resourceGroups", "providers", "Microsoft.Management", "managementGroups", "Microsoft.Billing"),
    *("billingAccounts", "departments", "enrollmentAccounts", "billingProfiles", "invoiceSections", "customers"),
)
_SPELT = {word.lower(): word for word in _WORDS}


class Scope(Struct, frozen=True, kw_only=True):
    """One scope: `path` as Azure writes it, and what of it matters to charges, in lower case, '' where it has none."""

    form: str
    path: str
    subscription: str = ""
    group: str = ""
    account: str = ""

    @property
    def key(self) -> str:
        """What is the same for every way of writing this scope."""
        return self.path.lower()

    @property
    def narrow(self) -> str:
        """The scope in which all its charges are replaced, where that is narrower than a subscription; else ''."""
        return f"{self.subscription}/resourcegroups/{self.group}" if self.group else ""

    @property
    def need(self) -> Need:
        """The role that reading its costs takes, and where."""
        return Need(role=ROLES.get(self.form, "Cost Management Reader"), scope=self.path)

    def contains(self, other: "Scope") -> bool:
        """Whether the other is this one or lies in it, as far as their names tell."""
        return f"{other.key}/".startswith(f"{self.key}/")


def scope_named(text: str) -> Scope:
    """Return the scope that a text means, whatever its case and slashes; a GUID alone is a subscription.

    ValueError if it is none.
    """
    bare = text.strip().strip("/")
    if re.fullmatch(GUID, bare, re.IGNORECASE):
        bare = f"subscriptions/{bare}"
    for form, pattern in FORMS.items():
        if found := re.fullmatch(pattern, bare, re.IGNORECASE):
            return _scope(form, bare, {name: value.lower() for name, value in found.groupdict().items()})
    raise ValueError("not a scope of Cost Management")


def _scope(form: str, bare: str, parts: dict[str, str]) -> Scope:
    # Every other part is a word, the rest are names; what follows "providers" is a word, too.
    said = bare.split("/")
    provider = 1 if said[0].lower() == "providers" else 0
    spelt = [_SPELT.get(part.lower(), part) if at % 2 == 0 or at == provider else part for at, part in enumerate(said)]
    if "subscription" in parts:
        spelt[1] = parts["subscription"]
    return Scope(form=form, path="/" + "/".join(spelt), **parts)
