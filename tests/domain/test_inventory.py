"""What Azure has: names that stay, and what is wrong with what is deployed."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from monitor.catalogue import bundled
from monitor.domain.inventory import (
    Kind,
    Resource,
    State,
    findings,
    group_of,
    home_names,
    same_model,
    subscription_of,
)

TODAY = date(2026, 11, 23)
START = datetime(2026, 11, 1, tzinfo=UTC)
LARGE = "azureml://registries/azureml-mistral/models/Mistral-large-2411"


def home(group: str, name: str = "ml") -> str:
    return f"/subscriptions/s/resourcegroups/{group}/providers/microsoft.machinelearningservices/workspaces/{name}"


def endpoint(name: str = "chat", *, group: str = "rg", **more: Any) -> Resource:
    known = {"model": LARGE, "region": "eastus2", "state": "Online", "parent": home(group)}
    number = f"{home(group)}/serverlessendpoints/{name}"
    return Resource(resource_id=number, kind=Kind.ENDPOINT, name=name, **known | more)


def offer(name: str = "large", **more: Any) -> Resource:
    known = {"model": LARGE, "state": "Subscribed", "parent": home("rg")}
    number = f"{home('rg')}/marketplacesubscriptions/{name}"
    return Resource(resource_id=number, kind=Kind.SUBSCRIPTION, name=name, **known | more)


def whats(*resources: Resource, today: date = TODAY) -> list[str]:
    return [one.what for one in findings(resources, bundled(), today)]


def test_a_healthy_deployment_has_no_findings() -> None:
    assert whats(endpoint(subscription=offer().resource_id), offer()) == []


def test_two_deployments_of_one_model_in_a_workspace_are_found_whatever_the_version_in_their_ids() -> None:
    assert whats(endpoint("a"), endpoint("b", model=f"{LARGE}/versions/2")) == [
        "b deploys the same model: their charges cannot be told apart",
        "a deploys the same model: their charges cannot be told apart",
    ]
    assert whats(endpoint("a"), endpoint("b", group="other")) == []


def test_a_region_that_the_model_is_not_offered_in_is_found_where_regions_are_known() -> None:
    assert whats(endpoint(region="francecentral")) == ["Mistral Large (2411) is not offered in francecentral"]
    assert whats(endpoint(region="francecentral", model="azureml://x/models/Mistral-Huge-99")) == []
    assert whats(endpoint(region="")) == []


@pytest.mark.parametrize(
    ("today", "what"),
    [
        (date(2026, 11, 8), []),
        (date(2026, 11, 9), ["Ministral 3B retires on 2026-12-09"]),
        (date(2026, 12, 8), ["Ministral 3B retires on 2026-12-09"]),
        (date(2026, 12, 9), ["Ministral 3B was retired on 2026-12-09"]),
    ],
)
def test_a_retirement_is_told_thirty_days_before_and_after_it(today: date, what: list[str]) -> None:
    assert whats(endpoint(model="Ministral-3B"), today=today) == what


@pytest.mark.parametrize("state", ["Suspended", "Unhealthy", "Creating"])
def test_an_endpoint_that_is_not_online_is_found(state: str) -> None:
    assert whats(endpoint(state=state)) == [f"it is {state}"]


@pytest.mark.parametrize("named", [offer().resource_id, "Large"])
def test_an_offer_that_is_no_longer_subscribed_is_found_by_its_id_or_name(named: str) -> None:
    drawing = endpoint(subscription=named.lower())
    assert whats(drawing, offer()) == []
    assert whats(drawing, offer(state="Unsubscribed")) == ["its marketplace subscription is Unsubscribed"]
    assert whats(drawing) == ["its marketplace subscription is gone"]
    assert whats(drawing, offer(), endpoint("b", model="x", subscription="elsewhere")) == [
        "its marketplace subscription is gone"
    ]


def test_an_account_serves_models_in_many_regions_and_without_offers() -> None:
    deployed = Resource(
        resource_id="/a/deployments/d",
        kind=Kind.DEPLOYMENT,
        name="d",
        parent="/a",
        region="francecentral",
        model="mistral-small-2503",
        state="Succeeded",
    )
    assert whats(deployed) == []


def test_ids_say_their_group_and_subscription() -> None:
    assert group_of(home("rg").upper()) == "/subscriptions/s/resourcegroups/rg"
    assert subscription_of(home("rg")) == "/subscriptions/s"
    assert (group_of("/providers/x"), subscription_of(""), group_of("/subscriptions/s")) == ("", "", "")


def test_a_model_is_the_same_with_and_without_a_version() -> None:
    assert same_model(LARGE, f"{LARGE.upper()}/versions/3")
    assert not same_model(LARGE, LARGE.replace("2411", "2407"))


def state(resource: Resource, start: int, end: int | None = None) -> State:
    return State(resource, START + timedelta(days=start), None if end is None else START + timedelta(days=end))


def workspace(group: str) -> Resource:
    return Resource(resource_id=home(group), kind=Kind.WORKSPACE, name="ML")


def test_of_two_workspaces_of_one_name_the_one_seen_first_keeps_it() -> None:
    first = [state(workspace("a"), 0), state(endpoint(group="a"), 5)]
    second = [state(workspace("b"), 0), state(endpoint(group="b"), 2)]
    assert home_names([*first, *second]) == {home("b"): "ML", home("a"): "ML (a)"}


def test_a_workspace_takes_the_name_of_one_that_is_gone() -> None:
    first = [state(workspace("a"), 0, 3), state(endpoint(group="a"), 0, 3)]
    second = [state(workspace("b"), 3), state(endpoint(group="b"), 3)]
    assert set(home_names([*first, *second]).values()) == {"ML"}


def test_workspaces_without_deployments_have_no_name_here() -> None:
    assert home_names([state(workspace("a"), 0)]) == {}
