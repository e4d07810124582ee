"""Events and rollups: whatever arrives, in whatever batches, the rollups are the events."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.domain.placing import Placed
from monitor.store.engine import reading, writing
from monitor.store.inventory import deployment_number
from monitor.store.progress import source_number
from monitor.store.tables import deployment, usage_day, usage_event, usage_minute
from monitor.store.usage import Events, prune, pruned_before, settle_days, store_events
from monitor.store.verify import verify

NAMES = ("identity", "prompt_tokens", "completion_tokens", "cached_tokens", "max_tokens", "retry_after_ms")
DAY = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp() // 60)

event = st.fixed_dictionaries(
    {
        "minute": st.sampled_from([DAY - 1, DAY, DAY + 1, DAY + 2, DAY + 5, DAY + 1439, DAY + 1440]),
        "identity": st.integers(0, 25),
        "deployment_id": st.integers(1, 3),
        "millisecond": st.integers(0, 59_999),
        "status": st.sampled_from([-1, 200, 200, 200, 400, 429, 429, 503]),
        "prompt_tokens": st.sampled_from([-1, 0, 1, 5_000]),
        "completion_tokens": st.sampled_from([-1, 0, 7]),
        "cached_tokens": st.sampled_from([-1, 0, 3]),
        "max_tokens": st.sampled_from([-1, 512]),
        "retry_after_ms": st.sampled_from([-1, 1_000, 60_000]),
        "cause": st.integers(0, 3),
    }
)


def columns(events: list[dict[str, int]]) -> Events:
    return {name: np.array([one[name] for one in events], dtype=np.int64) for name in events[0]}


def store(engine: sa.Engine, events: list[dict[str, int]]) -> int:
    with writing(engine) as connection:
        number = source_number(connection, "log", "files", "events", 10)
        return store_events(connection, number, columns(events))


@contextmanager
def emptied(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    finally:
        with writing(engine) as connection:
            for table in (usage_event, usage_minute, usage_day):
                connection.execute(table.delete())


@pytest.fixture
def deployments(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        for name in ("a", "b", "c"):
            deployment_number(connection, Placed(workspace="w", name=name, region="", model=""))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(event, min_size=1, max_size=20), min_size=1, max_size=5))
@pytest.mark.usefixtures("deployments")
def test_rollups_are_the_events_whatever_the_batches(engine: sa.Engine, batches: list[list[dict[str, int]]]) -> None:
    with emptied(engine):
        stored = sum(store(engine, batch) for batch in batches)
        with writing(engine) as connection:
            settle_days(connection)
        with reading(engine) as connection:
            assert list(verify(connection)) == []
            assert connection.scalar(sa.select(sa.func.count()).select_from(usage_event)) == stored


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(event, min_size=1, max_size=30), seed=st.integers(0, 99))
@pytest.mark.usefixtures("deployments")
def test_a_second_delivery_in_any_order_stores_nothing(
    engine: sa.Engine, events: list[dict[str, int]], seed: int
) -> None:
    with emptied(engine):
        store(engine, events)
        before = dump(engine)
        shuffled = random.Random(seed).sample(events, len(events))
        assert sum(store(engine, [one]) for one in shuffled) == 0
        assert dump(engine) == before


def dump(engine: sa.Engine) -> list[tuple[int, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(usage_day).order_by(*usage_day.primary_key))]


@pytest.mark.usefixtures("deployments")
def test_neighbouring_minutes_are_one_request_and_two_minutes_apart_are_two(engine: sa.Engine) -> None:
    one = dict.fromkeys(NAMES, 1) | {"minute": DAY, "deployment_id": 1, "millisecond": 0, "status": 200, "cause": 0}
    assert store(engine, [one, one | {"minute": DAY + 1}]) == 1
    assert store(engine, [one | {"minute": DAY - 1}]) == 0
    assert store(engine, [one | {"minute": DAY + 2}]) == 1


@pytest.mark.usefixtures("deployments")
def test_verify_finds_a_rollup_that_is_not_its_events(engine: sa.Engine) -> None:
    one = dict.fromkeys(NAMES, 1) | {"minute": DAY, "deployment_id": 1, "millisecond": 0, "status": 200, "cause": 0}
    store(engine, [one])
    with writing(engine) as connection:
        settle_days(connection)
        connection.execute(usage_minute.update().values(prompt_tokens=2))
    with reading(engine) as connection:
        found = list(verify(connection))
    assert found == [
        "a: the minute 2026-11-02T00:00:00Z differs from its events",
        "a: the day 2026-11-02 differs from its minutes",
        "a: the busiest minutes of 2026-11-02 are not those of its minutes",
    ]


@pytest.mark.usefixtures("deployments")
def test_pruned_events_leave_their_rollups_and_older_ones_are_known_to_be_too_old(engine: sa.Engine) -> None:
    one = dict.fromkeys(NAMES, 1) | {"minute": DAY, "deployment_id": 1, "millisecond": 0, "status": 200, "cause": 0}
    store(engine, [one, one | {"minute": DAY + 100, "identity": 2}])
    with writing(engine) as connection:
        assert prune(connection, DAY + 50) == 1
        assert prune(connection, DAY) == 0
        assert pruned_before(connection) == DAY + 50
    with reading(engine) as connection:
        assert list(verify(connection)) == []
        assert connection.scalar(sa.select(sa.func.sum(usage_day.c.requests))) == 2


def test_a_deployment_whose_refusals_came_first_learns_its_model_from_the_first_answer(engine: sa.Engine) -> None:
    def number(model: str, region: str = "") -> int:
        with writing(engine) as connection:
            return deployment_number(connection, Placed(workspace="w", name="d", region=region, model=model))

    unknown = number("")
    assert number("mistral-large-2407") == unknown == number("") == number("mistral-large-2407", "eastus2")
    assert number("ministral-3b") != unknown
    with reading(engine) as connection:
        found = connection.execute(sa.select(deployment.c.model, deployment.c.region).order_by(deployment.c.id)).all()
    assert [tuple(row) for row in found] == [("mistral-large-2407", "eastus2"), ("ministral-3b", "")]
