"""Response logs for tests: small records whose truth is easy to say."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.config.settings import Settings
from monitor.sources import files
from monitor.store.engine import open_engine, reading
from monitor.store.tables import usage_day
from monitor.store.verify import verify

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def record(number: int, *, named: bool = True, **changes: Any) -> bytes:
    """One answered request: `number` prompt tokens and one completion token, a second after the one before."""
    usage = {"prompt_tokens": number, "completion_tokens": 1, "total_tokens": number + 1}
    body = {"object": "chat.completion", "model": "mistral-large-2407", "usage": usage}
    log = {
        "time": (START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
        "status": 200,
        "workspace": "search-prod",
        "deployment": "mistral-large-prod",
        "response": {"id": f"cmpl-{number}", **body} if named else body,
    }
    return json.dumps(log | changes).encode() + b"\n"


def records(numbers: Iterable[int], *, named: bool = True) -> bytes:
    """Several of them, as a log."""
    return b"".join(record(number, named=named) for number in numbers)


def settings(path: Path | str, *, url: str = "sqlite:///unused", **source: Any) -> Settings:
    """Settings with one source of files, called `log`."""
    from monitor.config.settings import Store

    fields = {"name": "log", "kind": "files", "path": str(path), **source}
    return Settings(folder=Path(), store=Store(url=url), sources=(files.Settings(**fields),))


def totals(engine: sa.Engine) -> tuple[int, int]:
    """Requests and prompt tokens in the store, after proving that its rollups are true."""
    with reading(engine) as connection:
        assert list(verify(connection)) == []
        day = usage_day.c
        sums = sa.select(sa.func.sum(day.requests), sa.func.sum(day.prompt_tokens))
        requests, tokens = connection.execute(sums).one()
    return int(requests or 0), int(tokens or 0)


def totals_at(url: str) -> tuple[int, int]:
    """The same, of a store that nobody has opened."""
    engine = open_engine(url)
    try:
        return totals(engine)
    finally:
        engine.dispose()


def expected(numbers: Iterable[int]) -> tuple[int, int]:
    """What `totals` gives when exactly these records are stored."""
    listed = list(numbers)
    return len(listed), sum(listed)


def chunks(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """Cut bytes into pieces of the given sizes, wherever that falls."""
    position = 0
    while position < len(data):
        size = next(sizes)
        yield data[position : position + size]
        position += size
