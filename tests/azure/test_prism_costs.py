"""Microsoft's own OpenAPI document of Cost Management takes our queries: Prism holds every request against it."""

import http.client
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from monitor.sources.azure.cost_client import CostClient, MalformedAnswerError
from monitor.sources.azure.cost_request import GROUPINGS, Days, Grouping, charges_body, units_body
from monitor.sources.azure.cost_scope import scope_named
from monitor.sources.azure.refusals import Need
from tests.azure.parts import prism
from tests.azure.sessions import session

SCOPE = "/subscriptions/11111111-1111-1111-1111-111111111111"
QUERY = "/providers/Microsoft.CostManagement/query"
DAYS = Days(first=date(2026, 11, 1), last=date(2026, 11, 23))
AS_DOCUMENTED = [grouping for grouping in GROUPINGS if len(grouping.columns) == 2]
AS_SEEN = [grouping for grouping in GROUPINGS if len(grouping.columns) > 2]


@pytest.fixture(scope="module")
def official(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of Prism serving the document, whose {scope} is made a path, for Prism lets it be one segment only."""
    text = (shared_data / "azure-spec/swagger/costmanagement.2019-11-01.json").read_text("utf-8")
    document = without_examples(json.loads(text))
    operation = document["paths"][f"/{{scope}}{QUERY}"]
    post = operation["post"]
    scoped = [one for one in post["parameters"] if "scope" not in json.dumps(one).lower()]
    document["paths"] = {f"{SCOPE}{QUERY}": {"post": post | {"parameters": scoped}}}
    file = tmp_path_factory.mktemp("official") / "costmanagement.json"
    file.write_text(json.dumps(document), "utf-8")
    with prism(file) as address:
        yield address


def without_examples(node: Any) -> Any:
    """Leave out the examples, which lie in other files."""
    if isinstance(node, dict):
        return {key: without_examples(value) for key, value in node.items() if key != "x-ms-examples"}
    return [without_examples(one) for one in node] if isinstance(node, list) else node


def sent(address: str, body: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the status of the answer, and which parts of the request Prism finds not to be as documented."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    headers = {"content-type": "application/json", "authorization": "Bearer x", "accept": "application/json"}
    connection.request("POST", f"{SCOPE}{QUERY}?api-version=2019-11-01", json.dumps(body), headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    violations = json.loads(response.headers.get("sl-violations") or "[]")
    return response.status, [".".join(one["location"]) for one in violations]


@pytest.mark.parametrize("models_only", [True, False])
@pytest.mark.parametrize("grouping", AS_DOCUMENTED, ids=str)
def test_queries_of_two_groupings_are_as_documented(official: str, grouping: Grouping, models_only: bool) -> None:
    assert sent(official, charges_body(DAYS, grouping, models_only=models_only)) == (200, [])
    assert sent(official, units_body(DAYS, models_only=models_only)) == (200, [])


@pytest.mark.parametrize("grouping", AS_SEEN, ids=str)
def test_queries_of_three_groupings_differ_from_the_document_in_nothing_else(official: str, grouping: Grouping) -> None:
    assert sent(official, charges_body(DAYS, grouping, models_only=True)) == (422, ["request.body.dataset.grouping"])


def test_the_document_is_what_prism_holds_requests_against(official: str) -> None:
    body = charges_body(DAYS, AS_DOCUMENTED[0], models_only=True)
    body["dataset"]["filter"]["or"].pop()
    assert sent(official, body) == (422, ["request.body.dataset.filter.or"])


def test_the_official_client_sends_what_the_document_takes(official: str) -> None:
    with session(official) as opened:
        scope = scope_named(SCOPE)
        need = Need(role="Cost Management Reader", scope=SCOPE)
        client = CostClient(opened, scope, subject="costs", need=need, requests_per_minute=4)
        # Prism makes its answer up from the document, with a nextLink that leads nowhere: the request was taken.
        with pytest.raises(MalformedAnswerError, match="another host"):
            client.ask(charges_body(DAYS, AS_DOCUMENTED[0], models_only=True))
        client.close()
