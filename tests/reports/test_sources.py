"""Sources: what became of every record, and who is behind."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.domain.period import day_number
from monitor.store import tables
from tests.store.filled import MARCH, NOW, Filled, at, only, rows


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


def test_a_source_tells_what_it_read_and_why_some_was_ignored(filled: Filled) -> None:
    number = filled.source("gateway", read=10, stored=7, ignored=3, bytes=4_096, collected_at=NOW)
    for reason, records in (("a cache hit was not billed", 2), ("no response id", 1)):
        filled.add(tables.ignored_record, source_id=number, reason=reason, records=records)
    found = only(filled.ask("sources"))
    assert (found["read"], found["stored"], found["ignored"], found["bytes"]) == (10, 7, 3, 4_096)
    assert found["note"] == "2 ignored: a cache hit was not billed; 1 ignored: no response id"
    assert (found["state"], found["known_up_to"], found["collected_at"]) == ("empty", None, NOW)


@pytest.mark.parametrize(("last", "state"), [("2026-03-10T22:58Z", "behind"), ("2026-03-10T22:59Z", "current")])
def test_usage_may_lag_an_hour(filled: Filled, last: str, state: str) -> None:
    filled.minutes(filled.source("gateway"), filled.deployment("large"), [{"minute": at(last)}])
    assert only(filled.ask("sources"))["state"] == state


def test_a_quiet_source_that_was_collected_since_is_not_behind(filled: Filled) -> None:
    source = filled.source("gateway", collected_at=datetime(2026, 3, 11, tzinfo=UTC))
    filled.minutes(source, filled.deployment("large"), [{"minute": at("2026-03-10T01:00Z")}])
    assert only(filled.ask("sources"))["state"] == "current"


@pytest.mark.parametrize(("day", "state"), [(date(2026, 3, 7), "behind"), (date(2026, 3, 8), "current")])
def test_costs_may_lag_two_days(filled: Filled, day: date, state: str) -> None:
    pull = filled.pull()
    said = {"scope": "sub", "day": day_number(day), "fingerprint": "", "rows": 0}
    filled.add(tables.cost_day, **said, pull_id=pull, confirmed_by=pull, recorded_at=NOW)
    found = only(filled.ask("sources"))
    assert (found["state"], found["known_up_to"]) == (state, datetime(2026, 3, day.day + 1, tzinfo=UTC))


def test_answers_name_the_sources_that_are_behind(filled: Filled) -> None:
    filled.minutes(filled.source("gateway"), filled.deployment("large"), [{"minute": at("2026-03-10T01:00Z")}])
    filled.source("traces")
    assert filled.ask("spend", MARCH).notes[:3] == [
        "Known: gateway to 2026-03-10 01:01 UTC.",
        "Behind: gateway.",
        "Nothing is known yet from: traces.",
    ]


def test_unattributed_charges_are_listed_by_resource(filled: Filled) -> None:
    filled.charge(None, MARCH, "1.25", consumed_quantity=5_000_000)
    filled.charge(filled.deployment("large"), MARCH, "9")
    answer = filled.ask("unattributed-charges")
    assert rows(answer, "resource_id", "quantity", "charges", "currency") == [("/resources/None-input", 5, 1, "USD")]


def test_one_record_of_a_far_future_does_not_make_a_source_known_that_far(filled: Filled) -> None:
    collected = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
    source, large = filled.source("gateway", collected_at=collected), filled.deployment("large")
    filled.minutes(source, large, [{"minute": at("2026-03-10T11:00Z")}, {"minute": at("2026-03-10T12:06Z")}])
    filled.minutes(source, large, [{"minute": at("2099-01-01T00:00Z"), "requests": 2}])
    answer = filled.ask("sources")
    assert only(answer)["known_up_to"] == collected
    assert "In the future: 3 records of gateway; check the writer's clock." in answer.notes


@pytest.mark.parametrize(("minute", "ahead"), [("2026-03-10T12:05Z", 0), ("2026-03-10T12:06Z", 1)])
def test_clocks_may_differ_by_five_minutes(filled: Filled, minute: str, ahead: int) -> None:
    source = filled.source("gateway", collected_at=datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC))
    filled.minutes(source, filled.deployment("large"), [{"minute": at(minute)}])
    assert [one.ahead for one in filled.ask("sources").completeness] == [ahead]


def test_without_a_collection_a_source_is_known_up_to_now_at_most(filled: Filled) -> None:
    filled.minutes(filled.source("gateway"), filled.deployment("large"), [{"minute": at("2099-01-01T00:00Z")}])
    assert only(filled.ask("sources"))["known_up_to"] == NOW


def test_what_costs_were_pulled_from_counts_as_objects(filled: Filled) -> None:
    number = filled.pull()
    with filled.engine.connect() as connection:
        source = connection.scalar(sa.select(tables.cost_pull.c.source_id).where(tables.cost_pull.c.id == number))
    for name, fingerprint in (("export.csv", "restated"), ("other.csv", "other")):
        filled.add(
            tables.cost_pull,
            source_id=source,
            object=name,
            fingerprint=fingerprint,
            recorded_at=NOW,
            written_at=0,
            rows=0,
        )
    answer = filled.ask("sources")
    assert only(answer)["objects"] == 2
    assert "Counts are those of all time, not of the period." in answer.notes
