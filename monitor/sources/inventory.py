"""The source kind `inventory`: which workspaces, accounts, deployments and offers Azure has, by its Resource Manager.

1 The subscriptions, all that the identity sees unless the settings name some; 2 in each the workspaces, their endpoints
and marketplace subscriptions; 3 the accounts of Foundry and their deployments; 4 the SaaS resources that are billed. A
part that is refused is told and the rest is taken; of what was not listed nothing is said, neither that it is there nor
that it is gone.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from monitor.domain.inventory import Kind, Listing
from monitor.errors import MonitorError, SettingsError, UnreachableError, counted
from monitor.sources.azure.cloud import GUID
from monitor.sources.azure.listing import Answer, accounts, saas_resources, scopes, subscriptions, workspaces
from monitor.sources.azure.refusals import Need, NotSignedInError
from monitor.sources.request import Request
from monitor.sources.session import Session

if TYPE_CHECKING:
    from monitor.sources.azure.arm import Arm

KIND = "inventory"
YIELDS = "resources"
NO_BACKFILL = ("Azure says only what there is now", "collect it regularly: what it saw is kept")

GLIMPSED = 20
"""So many workspaces, so many accounts and so many members of a list the doctor looks at: more take too long."""

_GROUP = re.compile(r"[-\w.()]{1,90}")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Azure has: workspaces, serverless endpoints, Foundry deployments with their limits, Marketplace offers.

    `subscriptions`: the GUIDs of those to look into, by default all that the identity sees. `resource_groups`: look
    only into the groups of these names, for an identity that may not read whole subscriptions.
    """

    name: str
    kind: str
    subscriptions: tuple[str, ...] = ()
    resource_groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for one in self.subscriptions:
            if not re.fullmatch(GUID, one, re.IGNORECASE):
                remedy = "write the GUIDs of subscriptions, as `az account list` shows them"
                raise SettingsError(f"source {self.name!r}: subscriptions", f"{one!r} is not a GUID", remedy)
        for one in self.resource_groups:
            if not _GROUP.fullmatch(one):
                remedy = "write the names of resource groups, without the rest of their ids"
                raise SettingsError(f"source {self.name!r}: resource_groups", f"{one!r} is not a name", remedy)


class _Looking:
    """Looks at the first members of lists: who may see these may see all."""

    def __init__(self, arm: "Arm") -> None:
        self._arm = arm
        # A list for each of the accounts, and two for each of the workspaces.
        self._below = {Kind.WORKSPACE: 2 * GLIMPSED, Kind.ACCOUNT: GLIMPSED}

    def pages(self, path: str, parameters: Mapping[str, str], *, subject: str, need: Need) -> Iterator[Any]:
        """Yield the first members of a list: of its first page, unless that is short."""
        return islice(self._arm.pages(path, parameters, subject=subject, need=need), GLIMPSED)

    @property
    def enough(self) -> bool:
        """Whether there may be more workspaces or accounts than were looked into."""
        return not all(self._below.values())

    def into(self, scope: str) -> Iterator[Answer]:
        """Yield the lists of a scope, and of the workspaces and accounts in it, until these were enough."""
        for kind, listed in ((Kind.WORKSPACE, workspaces), (Kind.ACCOUNT, accounts)):
            # The list of the workspaces or accounts comes first.
            answers = listed(self, scope)
            yield from islice(answers, 1)
            for answer in islice(answers, self._below[kind]):
                self._below[kind] -= 1
                yield answer


def probe(settings: Settings, session: Session) -> Iterator[str | MonitorError]:
    """Ask for the workspaces and accounts of each subscription or group, and for what some of them hold.

    A role may be missing at a single one of them. So many are looked into as `GLIMPSED` says, in all.
    """
    asked = _asked(settings, session.arm)
    if not asked:
        yield _nothing_seen(settings)
        return
    allowed, looking = 0, _Looking(session.arm)
    for scope in scopes(asked, settings.resource_groups):
        # One role at one scope is asked for once, however many lists it is missing for.
        refused = {answer.remedy: answer for answer in looking.into(scope) if isinstance(answer, MonitorError)}
        yield from refused.values()
        allowed += not refused
    if allowed:
        within = f" (of the workspaces and accounts, the first {GLIMPSED} were tried)" if looking.enough else ""
        scope = "resource group" if settings.resource_groups else "subscription"
        yield f"{counted(allowed, scope)} can be looked into{within}"


def listings(settings: Settings, _request: Request, session: Session) -> Iterator[Answer]:
    """Yield one list after another, or why it could not be had; who is not signed in at all gets NotSignedInError."""
    arm, taken = session.arm, False
    asked = _asked(settings, arm)
    if not asked:
        yield _nothing_seen(settings)
    for answer in _answers(arm, asked, settings.resource_groups):
        if isinstance(answer, NotSignedInError) and not taken:
            raise answer
        taken = taken or isinstance(answer, Listing)
        yield answer


def _asked(settings: Settings, arm: "Arm") -> list[str]:
    return [f"/subscriptions/{one.lower()}" for one in settings.subscriptions] or subscriptions(arm, settings.name)


def _nothing_seen(settings: Settings) -> MonitorError:
    what, remedy = "this identity sees no subscription", "give it the role 'Reader' on those to look into"
    return UnreachableError(settings.name, what, remedy)


def _answers(arm: "Arm", asked: list[str], groups: tuple[str, ...]) -> Iterator[Answer]:
    for scope in scopes(asked, groups):
        yield from workspaces(arm, scope)
        yield from accounts(arm, scope)
    if asked:
        yield from saas_resources(arm, asked, groups)
