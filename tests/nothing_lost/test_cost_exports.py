"""Cost exports in any order, over several collections: the one written last counts."""

import os
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.config.settings import Settings, Store
from monitor.errors import SettingsError
from monitor.sources import cost_export, files
from monitor.store.billed_days import unattributed
from monitor.store.engine import reading
from tests.samples import NOW
from tests.sources.cost_samples import row, write

SERIES = [
    [row("2024-11-01", "1")],
    [row("2024-11-01", "1.5"), row("2024-11-02", "2")],
    [row("2024-11-01", "1.25"), row("2024-11-02", "2"), row("2024-11-03", "4")],
]
"""A month's exports, each with all that was known: the first day was restated twice."""


def settings(path: Path, **source: str) -> Settings:
    fields = {"name": "costs", "kind": "cost-export", "path": str(path), **source}
    return Settings(folder=Path(), store=Store(url="sqlite:///unused"), sources=(cost_export.Settings(**fields),))  # type: ignore[arg-type]


def billed(engine: sa.Engine) -> Decimal:
    with reading(engine) as connection:
        return sum((one.cost for one in unattributed(connection, 0, 100_000, None)), Decimal(0))


def deliver(path: Path, rows: list[list[str]], written: int) -> None:
    os.utime(write(path, rows), (written, written))


@pytest.mark.parametrize("same_name", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_cumulative_exports_come_to_the_same_in_every_order(
    engine: sa.Engine, tmp_path: Path, order: tuple[int, ...], same_name: bool
) -> None:
    for number, one in enumerate([*order, *order]):
        deliver(tmp_path / ("month.csv" if same_name else f"{one}.csv"), SERIES[one], 1000 + one)
        (result,) = collect(engine, settings(tmp_path / "*.csv"), now=NOW + timedelta(hours=number))
        assert (result.quarantined, result.errors) == (0, ())
    assert billed(engine) == Decimal("7.25")


def test_an_export_that_returns_to_what_it_said_counts_again(engine: sa.Engine, tmp_path: Path) -> None:
    for written, cost in enumerate(["1", "2", "1"]):
        deliver(tmp_path / "month.csv", [row(cost=cost)], written)
        collect(engine, settings(tmp_path / "*.csv"), now=NOW + timedelta(hours=written))
        assert billed(engine) == Decimal(cost)
    (again,) = collect(engine, settings(tmp_path / "*.csv"), now=NOW + timedelta(hours=9))
    assert (again.read, again.bytes) == (0, 0)


def test_what_is_kept_of_an_export_can_be_changed_and_changed_back(engine: sa.Engine, tmp_path: Path) -> None:
    machine = row(
        cost="5", publisher_type="Azure", category="VM", meter="B1s", product="VM", publisher="", resource="x"
    )
    deliver(tmp_path / "month.csv", [row(cost="1"), machine], 1)
    for number, (include, cost) in enumerate([("models", 1), ("all", 6), ("models", 1)]):
        collect(engine, settings(tmp_path / "*.csv", include=include), now=NOW + timedelta(hours=number))
        assert billed(engine) == cost


def test_a_source_does_not_change_its_kind(engine: sa.Engine, tmp_path: Path) -> None:
    collect(engine, settings(tmp_path / "*.csv"), now=NOW)
    logs = files.Settings(name="costs", kind="files", path=str(tmp_path / "*.jsonl"))
    (result,) = collect(engine, Settings(folder=Path(), store=Store(url="sqlite:///unused"), sources=(logs,)), now=NOW)
    assert [type(error) for error in result.errors] == [SettingsError]
    assert "--source" in str(result.errors[0])
