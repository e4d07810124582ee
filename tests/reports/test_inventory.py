"""Inventory: what was deployed when, within which limits, and what is wrong with it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.catalogue import bundled
from monitor.describe import canonical_model
from monitor.domain.inventory import Kind, Listing, Resource
from monitor.store.engine import writing
from monitor.store.found import settle_inventory
from monitor.store.resources import record_listing
from tests.store.filled import MARCH, Filled, only, rows

HOME = "/subscriptions/s/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/ml"
SEEN = datetime(2026, 3, 9, 8, tzinfo=UTC)


def endpoint(name: str = "chat", **more: Any) -> Resource:
    known = {"model": "Codestral-2501", "region": "eastus2", "state": "Online", "endpoint": f"{name}.eastus2.x"}
    return Resource(
        resource_id=f"{HOME}/serverlessendpoints/{name}", kind=Kind.ENDPOINT, name=name, parent=HOME, **known | more
    )


class Seen(Filled):
    """A store that inventory is recorded in."""

    def see(self, *resources: Resource, at: datetime = SEEN, kind: Kind = Kind.ENDPOINT) -> None:
        with writing(self.engine) as connection:
            number = connection.scalar(sa.text("SELECT id FROM source WHERE name = 'azure'"))
        number = number or self.source("azure")
        with writing(self.engine) as connection:
            record_listing(connection, number, Listing(scope=HOME, kind=kind, resources=resources), at)
            settle_inventory(connection, canonical_model, bundled().limits)


@pytest.fixture
def seen(engine: sa.Engine, tmp_path: Path) -> Seen:
    return Seen(engine, tmp_path)


def test_a_deployment_is_told_with_its_limits_and_since_when(seen: Seen) -> None:
    seen.see(endpoint())
    found = only(seen.ask("inventory"))
    assert (found["workspace"], found["deployment"], found["model"]) == ("ml", "chat", "codestral-2501")
    assert (found["region"], found["kind"], found["state"]) == ("eastus2", "serverless endpoint", "Online")
    assert (found["tokens_per_minute_limit"], found["requests_per_minute_limit"]) == (200_000, 1_000)
    assert (found["seen_from"], found["seen_until"], found["finding"]) == (SEEN, None, None)


@pytest.mark.parametrize(
    ("day", "told"), [(date(2026, 3, 8), 0), (date(2026, 3, 9), 1), (date(2026, 3, 10), 1), (date(2026, 3, 11), 0)]
)
def test_a_deployment_is_told_in_the_periods_in_which_it_was_there(seen: Seen, day: date, told: int) -> None:
    seen.see(endpoint())
    seen.see(at=SEEN + timedelta(days=1))
    assert len(seen.ask("inventory", day).rows) == told


def test_an_earlier_instant_knows_nothing_of_what_came_later(seen: Seen) -> None:
    seen.see(endpoint())
    seen.see(endpoint(state="Suspended"), at=SEEN + timedelta(hours=5))
    seen.see(at=SEEN + timedelta(hours=9))
    now = only(seen.ask("inventory", SEEN.date()))
    assert (now["state"], now["seen_until"], now["finding"]) == ("Suspended", SEEN + timedelta(hours=9), None)
    then = only(seen.ask("inventory", SEEN.date(), as_of=SEEN + timedelta(hours=6)))
    assert (then["state"], then["seen_until"], then["finding"]) == ("Suspended", None, "it is Suspended")
    assert only(seen.ask("inventory", SEEN.date(), as_of=SEEN))["state"] == "Online"


def test_a_name_that_served_two_models_is_told_twice(seen: Seen) -> None:
    seen.see(endpoint())
    seen.see(endpoint(model="Mistral-small-2503"), at=SEEN + timedelta(hours=5))
    answer = seen.ask("inventory", SEEN.date())
    assert rows(answer, "deployment", "model") == [("chat", "codestral-2501"), ("chat", "mistral-small-2503")]


def test_findings_stand_beside_what_they_are_about(seen: Seen) -> None:
    seen.see(endpoint(model="Mistral-large-2407", region="francecentral", state="Unhealthy"))
    assert only(seen.ask("inventory"))["finding"] == (
        "it is Unhealthy; Mistral Large (2407) was retired on 2025-05-13; "
        "Mistral Large (2407) is not offered in francecentral"
    )


def test_only_the_workspace_that_is_asked_for_is_told(seen: Seen) -> None:
    seen.see(endpoint())
    seen.deployment("other", workspace="search")
    assert seen.ask("inventory", MARCH, workspace="search").rows == []
    assert len(seen.ask("inventory", MARCH, workspace="ml").rows) == 1


@pytest.mark.parametrize(("hours", "known"), [(47, "current"), (49, "behind")])
def test_inventory_is_known_up_to_its_last_collection(seen: Seen, hours: int, known: str) -> None:
    end = datetime(2026, 3, 11, tzinfo=UTC)
    seen.source("azure", yields="resources", kind="inventory", collected_at=end - timedelta(hours=hours))
    (told,) = seen.ask("sources").completeness
    assert (told.known_up_to, told.state) == (end - timedelta(hours=hours), known)
