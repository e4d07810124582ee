"""Crashes in the middle of collecting.

Kill -9, a database that stops at once, a full disk. Nothing is lost or doubled.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.collect import usage as collect_usage
from monitor.errors import UnreachableError
from monitor.sources import files
from monitor.store.engine import open_engine
from monitor.store.migrate import upgrade
from tests.samples import NOW, expected, records, settings, totals, totals_at

THOROUGH = os.environ.get("MONITOR_THOROUGH") == "1"
NUMBERS = range(1, 20_001)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.jsonl"
    path.write_bytes(records(NUMBERS[::2]) + records(NUMBERS[1::2], named=False))
    return path


def collect_all(url: str, log: Path) -> None:
    """Collect in small batches, so that a crash falls between two of them as often as into one."""
    collect_usage.BATCH_EVENTS = 400
    files.RANGE_BYTES = 64 * 1024
    engine = open_engine(url)
    (result,) = collect(engine, settings(log), now=NOW)
    engine.dispose()
    if result.errors:
        raise result.errors[0]


def _prepare(url: str) -> None:
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()


def _collect_quietly(url: str, log: Path) -> None:
    with contextlib.suppress(UnreachableError):
        collect_all(url, log)


@pytest.mark.timeout(1200)
def test_kill_9_at_random_instants_loses_and_doubles_nothing(tmp_path: Path, log: Path) -> None:
    rng = random.Random(9)
    fork = multiprocessing.get_context("fork")
    kills = rounds = 0
    while kills < (200 if THOROUGH else 12):
        rounds += 1
        url = f"sqlite:///{tmp_path / f'{rounds}.db'}"
        _prepare(url)
        while True:
            process = fork.Process(target=collect_all, args=(url, log))
            process.start()
            process.join(rng.uniform(0.02, 0.6))
            if process.exitcode is not None:
                assert process.exitcode == 0
                break
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        assert totals_at(url) == expected(NUMBERS)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_postgresql_that_stops_at_once_loses_and_doubles_nothing(store_url: str, log: Path) -> None:
    rng = random.Random(20)
    fork = multiprocessing.get_context("fork")
    stops = 0
    server = _Server(store_url)
    while stops < (20 if THOROUGH else 3):
        _empty(store_url)
        for _ in range(3):
            process = fork.Process(target=_collect_quietly, args=(store_url, log))
            process.start()
            process.join(rng.uniform(0.05, 0.8))
            server.stop_immediately()
            stops += 1
            process.join()
            server.start()
        collect_all(store_url, log)
        assert totals_at(store_url) == expected(NUMBERS)


def _empty(url: str) -> None:
    engine = sa.create_engine(_psycopg(url))
    with engine.begin() as connection:
        for table in ("usage_event", "usage_minute", "usage_day", "cursor", "quarantine", "source"):
            connection.execute(sa.text(f"TRUNCATE {table} CASCADE"))
    engine.dispose()


def _psycopg(url: str) -> sa.engine.URL:
    return sa.engine.make_url(url).set(drivername="postgresql+psycopg")


class _Server:
    """The PostgreSQL server behind a URL, stopped and started with its own pg_ctl."""

    def __init__(self, url: str) -> None:
        engine = sa.create_engine(_psycopg(url))
        with engine.connect() as connection:
            self.data = Path(str(connection.scalar(sa.text("SHOW data_directory"))))
            self.pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            self.options = (self.data / "postmaster.opts").read_text().strip()
        engine.dispose()
        self.uid = self.data.stat().st_uid

    def stop_immediately(self) -> None:
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while (self.data / "postmaster.pid").exists() and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)

    def start(self) -> None:
        import shlex

        command = shlex.split(self.options)
        control = str(Path(command[0]).with_name("pg_ctl"))
        options = " ".join(shlex.quote(word) for word in command[1:])
        subprocess.run(
            [control, "-D", str(self.data), "-o", options, "-l", str(self.data / "log"), "-w", "start"],
            check=True,
            user=self.uid,
            stdout=subprocess.DEVNULL,
        )


def test_a_full_disk_stores_nothing_of_the_batch_and_everything_once_there_is_room(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'full.db'}"
    engine = open_engine(url)
    upgrade(engine)
    monkeypatch.setattr(collect_usage, "BATCH_EVENTS", 400)
    monkeypatch.setattr(files, "RANGE_BYTES", 64 * 1024)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0

    def limit(driver: object, _record: object) -> None:
        driver.execute(f"PRAGMA max_page_count = {pages + 60}").close()  # type: ignore[attr-defined]

    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    (result,) = collect(engine, settings(log), now=NOW)
    assert [type(error) for error in result.errors] == [UnreachableError]
    assert "full" in str(result.errors[0])
    stored, _ = totals(engine)
    assert 0 < stored == result.stored < len(NUMBERS)
    sa.event.remove(engine, "connect", limit)
    engine.dispose()
    collect_all(url, log)
    assert totals_at(url) == expected(NUMBERS)
