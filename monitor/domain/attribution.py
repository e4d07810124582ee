"""Who uses what is billed: which deployment a charged resource belongs to, and why we believe so.

Bills name no deployment (azure.md, 0). 1 What was said by hand; 2 the deployment whose `saas_resource` in the settings
is the resource; then what inventory knows: 3 an account bills its own deployments, each by its model; 4 the plan in the
meter's name is that of a marketplace subscription in the same Azure subscription; of several workspaces that have it,
the one in the resource's own group; 5 the resource is named after a model (or its offer) that one workspace of its
group deploys. Deployments that have disappeared count too, for they bill late; among equals the one that lived when the
charges arose is taken, if it is one. Nothing is guessed among several: then the reason says how many there were.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from monitor.domain.inventory import group_of, last_segment, subscription_of

BY_HAND, BY_SETTINGS, DISPUTED = "mapped by hand", "saas_resource", "named by several deployments"
ACCOUNTS = "/providers/microsoft.cognitiveservices/accounts/"
SHORTEST_MARK = 12
"""Azure signs names with the first 15 characters of an account's own id; much fewer would fit by chance."""

Days = tuple[int, int]
"""A first and a last UTC day, both inclusive (days since 1970-01-01)."""


class Charged(Struct, frozen=True, kw_only=True):
    """A resource that is billed for a model ('' where the bill names none), and how its bill describes it."""

    resource_id: str
    model: str
    described_as: str


class Home(Struct, frozen=True, kw_only=True):
    """A workspace or account; its `mark` stands in the names of what is bought for it, '' if it has none."""

    resource_id: str
    name: str
    mark: str = ""


class Candidate(Struct, frozen=True, kw_only=True):
    """A deployment that may be billed. `first` and `last`: the UTC days of its life, None where not known or not over.

    `subscriptions`: the marketplace subscriptions that it draws on, or that are of its model.
    """

    number: int
    name: str
    model: str
    home: Home
    subscriptions: frozenset[str] = frozenset()
    first: int | None = None
    last: int | None = None

    def lived(self, days: Days) -> bool:
        """Whether it was there on any of these days."""
        return (self.first is None or self.first <= days[1]) and (self.last is None or self.last >= days[0])


class Plan(Struct, frozen=True, kw_only=True):
    """A marketplace subscription of a workspace: the plan and offer that it is billed by, and its last UTC day."""

    resource_id: str
    home: Home
    offer: str
    plan: str
    last: int | None = None


class Attribution(Struct, frozen=True):
    """A deployment, None if it cannot be told, and the reason in words, None if nothing at all is known."""

    deployment_id: int | None
    why: str | None


UNKNOWN = Attribution(None, None)


def said(
    charged: Charged, by_hand: Mapping[tuple[str, str], int], named: Mapping[str, Sequence[Candidate]]
) -> Attribution:
    """Return who was said to use a resource: by hand (of this model, else of any), else by the settings.

    Both are keyed by lower-case ids or their last segments. An account is named by each of its deployments.
    """
    names = (charged.resource_id.lower(), last_segment(charged.resource_id.lower()))
    for name in names:
        for model in (charged.model, ""):
            if (name, model) in by_hand:
                return Attribution(by_hand[name, model], BY_HAND)
    for name in names:
        meant = named.get(name, ())
        if charged.model and ACCOUNTS in charged.resource_id:
            meant = [one for one in meant if one.model in (charged.model, "")]
        elif len(meant) > 1:
            meant = [one for one in meant if charged.model and one.model == charged.model] or meant
        numbers = {one.number for one in meant}
        if numbers:
            return Attribution(numbers.pop(), BY_SETTINGS) if len(numbers) == 1 else Attribution(None, DISPUTED)
    return UNKNOWN


class Claims:
    """What inventory knows of who may be billed for what."""

    def __init__(self, candidates: Iterable[Candidate], plans: Iterable[Plan], unseen: Iterable[Home] = ()) -> None:
        """Take what is known; into the homes that are `unseen` nobody could look."""
        self._candidates, self._plans, self._unseen = list(candidates), list(plans), list(unseen)

    def decide(self, charged: Charged, days: Callable[[], Days | None]) -> Attribution:
        """Return who uses a resource; `days`, those of its charges, is asked only where it decides."""
        if not self._candidates and not self._plans:
            return UNKNOWN
        for rule in (self._of_account, self._of_mark):
            found = rule(charged, days)
            if found != UNKNOWN:
                return found
        found = self._of_plan(charged, days)
        found = found if found != UNKNOWN else self._of_group(charged, days)
        hidden = self._hidden(charged, found)
        return Attribution(None, f"{found.why}, but {', '.join(hidden)} could not be looked into") if hidden else found

    def _hidden(self, charged: Charged, found: Attribution) -> list[str]:
        """Return the names of homes that may be billed instead, though nobody could look into them.

        Resources lie in the group of the workspace that bought them. Where that is not the group of the one that was
        found, resources have been moved, and it may be any of the subscription.
        """
        group = group_of(charged.resource_id)
        homes = {group_of(one.home.resource_id) for one in self._candidates if one.number == found.deployment_id}
        if not homes:
            return []
        near = [one for one in self._unseen if subscription_of(one.resource_id) == subscription_of(charged.resource_id)]
        return [one.name for one in near if homes != {group} or group_of(one.resource_id) == group]

    def _of_account(self, charged: Charged, days: Callable[[], Days | None]) -> Attribution:
        if ACCOUNTS not in f"{charged.resource_id}/":
            return UNKNOWN
        own = [one for one in self._candidates if f"{charged.resource_id}/".startswith(f"{one.home.resource_id}/")]
        if not own:
            return UNKNOWN
        name = own[0].home.name
        if not charged.model:
            return Attribution(None, f"account {name}, but the charge names no model")
        meant = [one for one in own if one.model == charged.model]
        if not meant:
            return Attribution(None, f"account {name}, where no deployment of {charged.model} is known")
        return _only(meant, days, f"account {name} and model {charged.model}")

    def _of_mark(self, charged: Charged, days: Callable[[], Days | None]) -> Attribution:
        """Marketplace models of an account: its own id stands in the name of what they are bought by."""
        name = last_segment(charged.resource_id)
        own = [
            one
            for one in self._of_subscription(charged)
            if len(one.home.mark) >= SHORTEST_MARK and one.home.mark in name and one.model == charged.model != ""
        ]
        if len({one.home.resource_id for one in own}) != 1:
            return UNKNOWN
        return _only(own, days, f"the name bears the id of account {own[0].home.name}")

    def _of_plan(self, charged: Charged, days: Callable[[], Days | None]) -> Attribution:
        plans = [
            one
            for one in self._plans
            if subscription_of(one.resource_id) == subscription_of(charged.resource_id) != ""
            and _names(charged.described_as, one.plan)
            and self._may_be_of(one, charged.model)
        ]
        if not plans:
            return UNKNOWN
        plan = plans[0].plan
        rivals = [
            one
            for one in self._of_subscription(charged)
            if ACCOUNTS in one.home.resource_id and one.model == charged.model != ""
        ]
        homes = {one.resource_id: one for one in [plan.home for plan in plans] + [rival.home for rival in rivals]}
        why = f"plan {plan}"
        if len(homes) > 1:
            group = group_of(charged.resource_id)
            near = {number: home for number, home in homes.items() if group_of(number) == group}
            if near:
                homes, why = near, f"{why} and resource group {last_segment(group)}"
        bills = [one for one in self._drawing(plans) + rivals if one.home.resource_id in homes]
        return _of_homes(homes.values(), bills, days, why, "has it")

    def _of_group(self, charged: Charged, days: Callable[[], Days | None]) -> Attribution:
        group, name = group_of(charged.resource_id), last_segment(charged.resource_id)
        offered = {one.resource_id for one in self._plans if one.offer and name.startswith(f"{one.offer.lower()}-")}
        bills = [
            one
            for one in self._candidates
            if group_of(one.home.resource_id) == group != ""
            and (
                one.model == charged.model != ""
                # What the bill says of the model is not gainsaid by the name of an offer.
                or (one.subscriptions & offered and not (one.model and charged.model))
            )
        ]
        if not bills:
            return UNKNOWN
        homes = {one.home.resource_id: one.home for one in bills}
        why = f"name and resource group {last_segment(group)}"
        return _of_homes(homes.values(), bills, days, why, f"deploys {charged.model or bills[0].model}")

    def _of_subscription(self, charged: Charged) -> list[Candidate]:
        own = subscription_of(charged.resource_id)
        return [one for one in self._candidates if subscription_of(one.home.resource_id) == own != ""]

    def _may_be_of(self, plan: Plan, model: str) -> bool:
        """Whether what draws on a plan is of a model, as far as is known: plans of several offers may bear one name."""
        models = {one.model for one in self._drawing([plan])} - {""}
        return not model or not models or model in models

    def _drawing(self, plans: Sequence[Plan]) -> list[Candidate]:
        numbers = {one.resource_id for one in plans}
        return [one for one in self._candidates if one.subscriptions & numbers]


def _of_homes(
    homes: Iterable[Home], bills: Sequence[Candidate], days: Callable[[], Days | None], why: str, what: str
) -> Attribution:
    """Decide between homes, then between the deployments of the one."""
    listed = sorted(homes, key=lambda home: home.name)
    if len(listed) > 1:
        living = {one.home.resource_id: one.home for one in _living(bills, days)}
        # A workspace of which no deployment is known may have had one when the charges arose: it was never seen.
        unknown = {home.resource_id for home in listed} - {one.home.resource_id for one in bills}
        if len(living) != 1 or unknown:
            names = ", ".join(home.name for home in listed)
            return Attribution(None, f"{why}: {len(listed)} workspaces have it ({names})")
        listed, why = list(living.values()), f"{why}, alone there at the time"
    own = [one for one in bills if one.home.resource_id == listed[0].resource_id]
    if not own:
        return Attribution(None, f"{why}: workspace {listed[0].name} {what}, but no deployment of it is known")
    return _only(own, days, f"{why}: only workspace {listed[0].name} {what}")


def _only(bills: Sequence[Candidate], days: Callable[[], Days | None], why: str) -> Attribution:
    numbers = {one.number for one in bills}
    if len(numbers) > 1:
        living = {one.number for one in _living(bills, days)}
        if len(living) != 1:
            names = ", ".join(sorted({one.name for one in bills}))
            return Attribution(None, f"{why}: {len(numbers)} deployments ({names})")
        numbers, why = living, f"{why}; alone there at the time"
    number = numbers.pop()
    made = [one.first for one in bills if one.number == number and one.first is not None]
    charged_on = days() if made else None
    if charged_on and min(made) > charged_on[1]:
        return Attribution(None, f"{why}, and was made after the charges")
    return Attribution(number, why)


def _living(bills: Iterable[Candidate], days: Callable[[], Days | None]) -> list[Candidate]:
    charged_on = days()
    return [one for one in bills if charged_on and one.lived(charged_on)]


def _names(text: str, plan: str) -> bool:
    """Whether a text holds a plan's name, and not as a part of a longer one."""
    return bool(plan) and re.search(rf"(?<![\w.-]){re.escape(plan)}(?![\w.-])", text, re.IGNORECASE) is not None
