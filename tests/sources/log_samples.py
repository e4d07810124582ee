"""A gateway whose logs are collected from Log Analytics: for tests that look at what is then in the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from monitor.collect import collect, collect_range
from monitor.collect.tally import SourceResult
from monitor.config.settings import Settings, Store
from monitor.domain.period import Period
from monitor.sources import log_analytics
from monitor.sources.azure.cloud import Azure
from monitor.store.engine import reading
from monitor.store.tables import usage_day
from tests.azure.log_analytics import GATEWAY, LLM, LogAnalytics
from tests.azure.server import Server, serving
from tests.azure.sessions import NOW, SetClock

WORKSPACE = "63613592-b6f7-4c3d-a390-22ba13102111"
T = NOW - timedelta(hours=5)
"""When the first call of a test is made, five hours before it is collected."""


class Tenant:
    """A gateway's logs, the clock they are read by, and the store they are collected into."""

    def __init__(self, engine: sa.Engine, server: Server) -> None:
        self.engine, self.server = engine, server
        self.clock = SetClock(NOW)
        self.logs = LogAnalytics(lambda: self.clock.time)
        self.logs.register(server)
        for name in (LLM, GATEWAY):
            self.logs.table(WORKSPACE, name)

    def call(self, request: str, at: datetime = T, **changes: Any) -> None:
        self.logs.call(WORKSPACE, request, at, **changes)

    def settings(self, **source: Any) -> Settings:
        fields = {"name": "gateway", "kind": "log-analytics", "workspace_id": WORKSPACE, **source}
        azure = Azure(credential="token", log_analytics=self.server.address)
        sources = (log_analytics.Settings(**fields),)
        return Settings(folder=Path(), store=Store(url="sqlite:///unused"), sources=sources, azure=azure)

    def collect(self, *, after: float = 0.0, **source: Any) -> SourceResult:
        """Collect so many minutes later."""
        self.clock.time += timedelta(minutes=after)
        (result,) = collect(self.engine, self.settings(**source), now=self.clock.time, clock=self.clock)
        assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
        return result

    def backfill(self, first: date, last: date, **source: Any) -> SourceResult:
        period = Period(first=first, last=last)
        settings = self.settings(**source)
        return collect_range(self.engine, settings, "gateway", period=period, now=self.clock.time, clock=self.clock)

    def rows(self, query: "sa.Select[Any]") -> list[Any]:
        with reading(self.engine) as connection:
            return list(connection.execute(query))

    def sum(self, column: str) -> int:
        return int(self.rows(sa.select(sa.func.sum(usage_day.c[column])))[0][0] or 0)


@contextmanager
def gateway(engine: sa.Engine) -> Iterator[Tenant]:
    """Serve the logs of a gateway that nobody has called yet."""
    with serving() as server:
        yield Tenant(engine, server)
