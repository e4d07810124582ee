"""The engines: bulk rows in, rollups added up, transactions alone, mistakes told."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.errors import SettingsError, UnreachableError
from monitor.store.engine import add_up, insert, open_engine, reading, stage, writing
from monitor.store.tables import SUMMED, alert_change, meta, usage_event, usage_minute

LARGEST = 2**53


def numbers(*values: int) -> NDArray[Any]:
    return np.array(values, dtype=np.int64)


def events(**changed: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Two events; columns may be replaced."""
    columns = {
        "minute": numbers(28_000_000, 28_000_001),
        "identity": numbers(1, 2**63 - 1),
        "deployment_id": numbers(1, 1),
        "millisecond": numbers(0, 59_999),
        "source_id": numbers(1, 1),
        "cause": numbers(0, 0),
    }
    return columns | changed


def minutes(**changed: int) -> dict[str, NDArray[Any]]:
    """One rollup row of a minute; columns may be replaced."""
    sums = dict.fromkeys(SUMMED, 0) | {"longest_retry_after_ms": 0}
    keys = {"deployment_id": 1, "source_id": 1, "minute": 28_000_000}
    return {name: numbers(value) for name, value in (keys | sums | changed).items()}


def test_bulk_rows_come_back_as_they_went_in(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        insert(connection, usage_event, events(prompt_tokens=numbers(0, LARGEST), status=numbers(200, 429)))
    with reading(engine) as connection:
        found = connection.execute(sa.select(usage_event).order_by(usage_event.c.minute)).mappings().all()
    assert [row["identity"] for row in found] == [1, 2**63 - 1]
    assert [row["prompt_tokens"] for row in found] == [0, LARGEST]
    assert [row["status"] for row in found] == [200, 429]
    assert [row["completion_tokens"] for row in found] == [None, None]


def test_minus_one_in_a_nullable_column_is_null_and_zero_stays_zero(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        insert(connection, usage_event, events(prompt_tokens=numbers(-1, 0), completion_tokens=numbers(7, -1)))
    with reading(engine) as connection:
        query = sa.select(usage_event.c.prompt_tokens, usage_event.c.completion_tokens).order_by(usage_event.c.minute)
        assert [tuple(row) for row in connection.execute(query)] == [(None, 7), (0, None)]


def test_no_rows_are_no_statement(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        insert(connection, usage_event, events(**{name: numbers() for name in events()}))
        add_up(connection, usage_minute, {name: numbers() for name in minutes()})
        assert connection.scalar(sa.select(sa.func.count()).select_from(usage_event)) == 0


def test_a_rollup_adds_up_and_keeps_the_largest(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        for tokens, wait in ((5, 300), (LARGEST, 200)):
            row = minutes(requests=1, prompt_tokens=tokens, longest_retry_after_ms=wait)
            add_up(connection, usage_minute, row, largest=["longest_retry_after_ms"])
    with reading(engine) as connection:
        (found,) = connection.execute(sa.select(usage_minute)).mappings().all()
    assert (found["requests"], found["prompt_tokens"]) == (2, LARGEST + 5)
    assert found["longest_retry_after_ms"] == 300


def test_staged_rows_are_those_of_the_last_staging_only(engine: sa.Engine) -> None:
    types = {"minute": sa.Integer(), "identity": sa.BigInteger()}
    with writing(engine) as connection:
        stage(connection, "staged", types, {"minute": numbers(1, 2), "identity": numbers(3, 4)})
        name = stage(connection, "staged", types, {"minute": numbers(9), "identity": numbers(8)})
        assert [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name}")] == [(9, 8)]


def test_a_writing_transaction_that_fails_leaves_nothing(engine: sa.Engine) -> None:
    with pytest.raises(ZeroDivisionError), writing(engine) as connection:
        insert(connection, usage_event, events())
        raise ZeroDivisionError
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(usage_event)) == 0


def test_everything_read_in_one_reading_transaction_is_of_one_moment(engine: sa.Engine) -> None:
    count = sa.select(sa.func.count()).select_from(meta)
    with reading(engine) as before:
        assert before.scalar(count) == 0
        with writing(engine) as connection:
            connection.execute(meta.insert().values(key="color", value="blue"))
        assert before.scalar(count) == 0
    with reading(engine) as after:
        assert after.scalar(count) == 1


def test_writers_take_turns_so_that_no_increment_is_lost(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(meta.insert().values(key="count", value="0"))

    def increment() -> None:
        for _ in range(25):
            with writing(engine) as connection:
                found = int(connection.scalar(sa.select(meta.c.value)) or 0)
                connection.execute(meta.update().values(value=str(found + 1)))

    run_together(increment, 4)
    with reading(engine) as connection:
        assert connection.scalar(sa.select(meta.c.value)) == "100"


def run_together(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_instant_comes_back_aware_exact_and_in_utc(engine: sa.Engine) -> None:
    local = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    early = datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)
    with writing(engine) as connection:
        for number, instant in enumerate((local, early)):
            values = {"fingerprint": "f", "state_before": "", "state_after": "", "reason": ""}
            connection.execute(alert_change.insert().values(id=number, changed_at=instant, **values))
    with reading(engine) as connection:
        found = connection.execute(sa.select(alert_change.c.changed_at).order_by(alert_change.c.changed_at)).scalars()
        assert [(instant, instant.tzinfo) for instant in found] == [(early, UTC), (local, UTC)]


def test_an_instant_without_a_zone_is_refused(engine: sa.Engine) -> None:
    with pytest.raises(sa.exc.StatementError, match="needs a time zone"), writing(engine) as connection:
        query = sa.select(alert_change).where(alert_change.c.changed_at == datetime(2026, 1, 1))  # noqa: DTZ001
        connection.execute(query)


@pytest.mark.parametrize(
    ("url", "what"),
    [("monitor.db", "is not a database URL"), ("mysql://host/db", "mysql is not supported")],
)
def test_a_url_that_names_no_store_is_a_mistake_in_the_settings(url: str, what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        open_engine(url)


@pytest.fixture
def out_of_reach(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path}/no/such/folder/monitor.db")
    yield opened
    opened.dispose()


@pytest.mark.parametrize("transaction", [reading, writing])
def test_a_file_that_cannot_be_opened_is_told_with_its_name(out_of_reach: sa.Engine, transaction: Any) -> None:
    with (
        pytest.raises(UnreachableError, match=r"no/such/folder/monitor\.db: unable to open"),
        transaction(out_of_reach),
    ):
        pass


def test_a_sqlite_store_is_durable_and_logs_ahead(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/monitor.db")
    with engine.connect() as connection:
        told = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
    engine.dispose()
    assert told == {"journal_mode": "wal", "synchronous": 2}
