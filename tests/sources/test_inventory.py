"""The source of kind `inventory`: every list that Azure gives, whole or in part, and none that it does not give."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.inventory import Kind, Listing, Resource
from monitor.errors import MonitorError
from monitor.sources import inventory
from monitor.sources.azure.listing import accounts
from monitor.sources.request import Request
from tests.azure.arm import SUBSCRIPTION, Account, Deployment, Endpoint, Offer, ResourceManager, Saas, Workspace
from tests.azure.server import Answer, Call, Server, serving
from tests.azure.sessions import TOKEN, session

LARGE = "azureml://registries/azureml-mistral/models/Mistral-large-2407"
OTHER = "99999999-1111-2222-3333-444444444444"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture
def azure(server: Server) -> ResourceManager:
    made = tenant()
    made.register(server)
    return made


def tenant() -> ResourceManager:
    """One workspace with an endpoint and its offer, one account with a deployment, one SaaS resource."""
    ml = Workspace(name="ml-prod")
    offer = Offer(workspace=ml, name="sub-large", model=LARGE, offer="mistral-ai-large-2407-offer", plan="large-plan")
    foundry = Account(name="foundry-1", internal_id="ABCDEF0123456789abcd")
    return ResourceManager(
        workspaces=[ml],
        offers=[offer],
        endpoints=[Endpoint(workspace=ml, name="large", model=LARGE, offer=offer)],
        accounts=[foundry],
        deployments=[Deployment(account=foundry, name="large-3", model="Mistral-Large-3")],
        saas=[Saas(name="mistral-ai-large-2407-offer-1f2e3d4c")],
    )


def answers(server: Server, **settings: Any) -> list[Listing | MonitorError]:
    said = inventory.Settings(name="azure", kind="inventory", **settings)
    with session(server.address) as opened:
        return list(inventory.listings(said, Request(), opened))


def resources(found: list[Listing | MonitorError]) -> dict[str, Resource]:
    lists = [one for one in found if isinstance(one, Listing)]
    return {one.resource_id: one for answer in lists for one in answer.resources}


def of_kind(found: list[Listing | MonitorError], kind: Kind) -> list[Resource]:
    return [one for one in resources(found).values() if one.kind is kind]


def errors(found: list[Listing | MonitorError]) -> list[str]:
    return [str(one) for one in found if isinstance(one, MonitorError)]


def test_everything_there_is_is_listed(server: Server, azure: ResourceManager) -> None:
    found = answers(server)
    assert errors(found) == []
    assert {kind: len(of_kind(found, kind)) for kind in Kind} == dict.fromkeys(Kind, 1)
    (endpoint,) = of_kind(found, Kind.ENDPOINT)
    assert (endpoint.name, endpoint.region, endpoint.state) == ("large", "eastus2", "Online")
    assert (endpoint.model, endpoint.endpoint) == (LARGE, "large.eastus2.models.ai.azure.com")
    assert endpoint.subscription.endswith("/marketplacesubscriptions/sub-large")
    (offer,) = of_kind(found, Kind.SUBSCRIPTION)
    assert (offer.offer, offer.plan, offer.state) == ("mistral-ai-large-2407-offer", "large-plan", "Subscribed")
    (deployed,) = of_kind(found, Kind.DEPLOYMENT)
    assert (deployed.tokens_per_minute, deployed.requests_per_minute, deployed.region) == (
        400_000,
        1_000,
        "swedencentral",
    )
    assert endpoint.created_at == 1_767_601_800


def test_pitfall_20_ids_are_in_lower_case_however_azure_writes_them(server: Server, azure: ResourceManager) -> None:
    quiet = answers(server)
    azure.shouting = True
    assert resources(answers(server)) == resources(quiet)
    assert all(number == number.lower() for number in resources(quiet))


@pytest.mark.parametrize("page", [1, 2, 50])
def test_lists_are_followed_to_their_end_though_pages_be_empty(
    server: Server, azure: ResourceManager, page: int
) -> None:
    for number in range(5):
        more = Workspace(name=f"ml-{number}", kind="Project")
        azure.workspaces.append(more)
        azure.endpoints += [Endpoint(workspace=more, name=f"e{one}", model=LARGE) for one in range(3)]
        azure.saas.append(Saas(name=f"mistral-large-2407-{number}a2b3c4d"))
    azure.page, azure.empty_first = page, True
    found = answers(server)
    assert errors(found) == []
    assert (len(of_kind(found, Kind.WORKSPACE)), len(of_kind(found, Kind.ENDPOINT))) == (6, 16)
    assert len(of_kind(found, Kind.SAAS)) == 6


def test_only_the_subscriptions_and_groups_of_the_settings_are_asked(server: Server, azure: ResourceManager) -> None:
    azure.subscriptions.append(OTHER)
    azure.workspaces += [Workspace(name="far", subscription=OTHER), Workspace(name="near", group="rg-other")]
    assert len(of_kind(answers(server), Kind.WORKSPACE)) == 3
    assert len(of_kind(answers(server, subscriptions=(SUBSCRIPTION,)), Kind.WORKSPACE)) == 2
    server.calls.clear()
    found = answers(server, subscriptions=(SUBSCRIPTION.upper(),), resource_groups=("RG-Other",))
    assert [one.name for one in of_kind(found, Kind.WORKSPACE)] == ["near"]
    assert {one.scope for one in found if isinstance(one, Listing) and one.kind is Kind.SAAS} == {
        f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-other"
    }
    assert not any(call.path == "/subscriptions" for call in server.calls)


def test_one_workspace_that_is_refused_hides_nothing_else(server: Server, azure: ResourceManager) -> None:
    azure.workspaces.append(Workspace(name="secret"))
    azure.refused.append("workspaces/secret/serverlessEndpoints")
    found = answers(server)
    (told,) = errors(found)
    assert told.startswith("serverless endpoints of secret: access is refused")
    assert "'Reader'" in told
    scopes = [one.scope for one in found if isinstance(one, Listing) and one.kind is Kind.ENDPOINT]
    assert [scope.rpartition("/")[2] for scope in scopes] == ["ml-prod"]
    assert len(of_kind(found, Kind.ENDPOINT)) == 1


def test_where_resource_graph_refuses_resource_manager_lists_what_is_billed(
    server: Server, azure: ResourceManager
) -> None:
    azure.refused.append("ResourceGraph")
    found = answers(server)
    assert errors(found) == []
    assert [one.name for one in of_kind(found, Kind.SAAS)] == ["mistral-ai-large-2407-offer-1f2e3d4c"]


def test_an_answer_of_resource_graph_that_is_cut_is_not_taken_for_whole(server: Server, azure: ResourceManager) -> None:
    azure.graph_cut = True
    assert len(of_kind(answers(server), Kind.SAAS)) == 1
    assert any(call.path.endswith("/resources") and call.method == "GET" for call in server.calls)


def test_where_both_refuse_it_is_told_and_no_list_is_given(server: Server, azure: ResourceManager) -> None:
    azure.refused += ["ResourceGraph", f"{SUBSCRIPTION}/resources$"]
    found = answers(server)
    assert len(errors(found)) == 1
    assert not any(isinstance(one, Listing) and one.kind is Kind.SAAS for one in found)


def test_a_list_that_breaks_off_is_taken_as_far_as_it_goes_and_called_a_part(
    server: Server, azure: ResourceManager
) -> None:
    azure.endpoints.append(Endpoint(workspace=azure.workspaces[0], name="second", model=LARGE))
    azure.page, azure.broken = 1, ["serverlessEndpoints"]
    found = answers(server)
    (part,) = [one for one in found if isinstance(one, Listing) and one.kind is Kind.ENDPOINT]
    assert ([one.name for one in part.resources], part.whole) == (["large"], False)
    assert errors(found) == ["serverless endpoints of ml-prod: Azure's answer is not JSON: try again later"]


def test_a_list_that_leads_back_to_itself_is_not_followed_for_ever(server: Server) -> None:
    path = "/subscriptions/a/providers/Microsoft.CognitiveServices/accounts"
    server.route("GET", path, lambda _: Answer(body={"value": [], "nextLink": f"{server.address}{path}?again"}))
    with session(server.address) as opened:
        told = list(accounts(opened.arm, "/subscriptions/a"))
    assert [str(one).partition(": try")[0] for one in told] == ["accounts of a: Azure's list does not end"]
    assert len(server.calls) == 2


def test_models_of_other_makers_are_ignored_and_counted(server: Server, azure: ResourceManager) -> None:
    home, foundry = azure.workspaces[0], azure.accounts[0]
    azure.endpoints.append(
        Endpoint(workspace=home, name="llama", model="azureml://registries/azureml-meta/models/Llama")
    )
    azure.deployments.append(Deployment(account=foundry, name="gpt", model="gpt-4o", format="OpenAI"))
    azure.accounts.append(Account(name="speech", kind="SpeechServices"))
    azure.workspaces.append(Workspace(name="features", kind="FeatureStore"))
    azure.saas.append(Saas(name="datadog-1f2e"))
    ignored: dict[str, int] = {}
    for one in answers(server):
        assert isinstance(one, Listing)
        for reason, number in one.ignored.items():
            ignored[reason] = ignored.get(reason, 0) + number
    assert ignored == {
        "a model of another maker": 3,
        "an account without deployments": 1,
        "a feature store": 1,
    }


def test_a_model_of_mistrals_that_the_catalogue_does_not_know_is_kept(server: Server, azure: ResourceManager) -> None:
    new = "azureml://registries/azureml-mistral/models/Mistral-Huge-2799"
    azure.endpoints.append(Endpoint(workspace=azure.workspaces[0], name="huge", model=new))
    azure.deployments.append(Deployment(account=azure.accounts[0], name="newest", model="le-chat-9"))
    assert {"huge", "newest"} <= {one.name for one in resources(answers(server)).values()}


def test_an_identity_that_sees_no_subscription_is_told_the_role_it_needs(
    server: Server, azure: ResourceManager
) -> None:
    azure.subscriptions.clear()
    assert errors(answers(server)) == [
        "azure: this identity sees no subscription: give it the role 'Reader' on those to look into"
    ]


def test_no_token_stands_in_what_is_listed_or_told(server: Server, azure: ResourceManager) -> None:
    azure.refused.append("workspaces")
    found = answers(server)
    assert TOKEN not in repr([str(one) for one in found]) + repr(resources(found))
    assert all(call.headers["authorization"] == f"Bearer {TOKEN}" for call in server.calls)


@pytest.mark.parametrize("field", ["subscriptions", "resource_groups"])
def test_settings_that_cannot_be_meant_are_refused(field: str) -> None:
    with pytest.raises(MonitorError, match=field):
        inventory.Settings(name="azure", kind="inventory", **{field: ("/subscriptions/x",)})


def test_the_official_examples_are_read(server: Server, shared_data: Path) -> None:
    spec = shared_data / "azure-spec"
    sub = f"/subscriptions/{SUBSCRIPTION}"

    def example(path: str) -> Any:
        body = json.loads((spec / path).read_text())["responses"]["200"]["body"]
        return {**body, "nextLink": None}

    ml = "machinelearningservices-2024-04-01/Workspace"
    for path, body in (
        (f"{sub}/providers/Microsoft.MachineLearningServices/workspaces", example(f"{ml}/listBySubscription.json")),
        (".*/serverlessEndpoints", example(f"{ml}/ServerlessEndpoint/list.json")),
        (".*/marketplaceSubscriptions", example(f"{ml}/MarketplaceSubscription/list.json")),
        (
            f"{sub}/providers/Microsoft.CognitiveServices/accounts",
            example("cognitiveservices-2021-04-30/ListAccountsBySubscription.json"),
        ),
    ):
        server.route("GET", path, partial(_answered, body))
    graph = example("resourcegraph-2021-03-01/ResourcesBasicQuery.json")
    server.route("POST", ".*/resources", partial(_answered, graph))
    found = answers(server, subscriptions=(SUBSCRIPTION,))
    assert errors(found) == []
    assert [one.name for one in of_kind(found, Kind.WORKSPACE)] == ["testworkspace", "testworkspace"]
    assert of_kind(found, Kind.SAAS) == []


def _answered(body: Any, _call: Call) -> Answer:
    return Answer(body=body)
