"""Stores filled row by row for tests of reading: minutes with their days, deployments, quotas, prices and charges."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa

from monitor.config.settings import Settings
from monitor.domain.answer import Answer, Row, Value
from monitor.domain.money import to_store
from monitor.domain.period import MINUTES_A_DAY, Period, day_number, minute_number, zone_named
from monitor.domain.quota import Busiest
from monitor.reporting import run
from monitor.store import tables
from monitor.store.engine import writing

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MARCH = date(2026, 3, 10)


def at(text: str) -> int:
    """The minute of an RFC 3339 time."""
    return minute_number(datetime.fromisoformat(text))


class Filled:
    """A store that tests fill and ask."""

    def __init__(self, engine: sa.Engine, folder: Any) -> None:
        self.engine, self.settings = engine, Settings(folder=folder)
        self._workspaces: dict[str, int] = {}
        self._pull: int | None = None

    def add(self, table: sa.Table, **values: Any) -> int:
        with writing(self.engine) as connection:
            key = connection.execute(table.insert().values(**values)).inserted_primary_key
            return int(key[0]) if key and "id" in table.c else 0

    def source(self, name: str, authority: int = 10, **counts: Any) -> int:
        zero = dict.fromkeys(("read", "stored", "duplicates", "ignored", "quarantined", "bytes"), 0)
        kind, yields = ("cost-export", "charges") if name == "costs" else ("files", "events")
        said = {"name": name, "kind": kind, "yields": yields, "authority": authority}
        return self.add(tables.source, **{**said, **zero, **counts})

    def workspace(self, name: str, **described: Any) -> int:
        if name not in self._workspaces:
            self._workspaces[name] = self.add(tables.workspace, name=name, recorded_from="settings", **described)
        return self._workspaces[name]

    def deployment(self, name: str, workspace: str = "search", model: str = "mistral-large-2407") -> int:
        return self.add(
            tables.deployment,
            workspace_id=self.workspace(workspace),
            name=name,
            region="eastus2",
            model=model,
            created_at=0,
            recorded_from="settings",
        )

    def quota(self, deployment: int, effective_from: date, tokens: int, requests: int) -> None:
        self.add(
            tables.quota,
            deployment_id=deployment,
            effective_from=day_number(effective_from),
            tokens_per_minute=tokens,
            requests_per_minute=requests,
            source="settings",
        )

    def price(
        self, model: str, meter: str, amount: str, *, currency: str = "USD", since: date = date(2024, 1, 1)
    ) -> None:
        self.add(
            tables.price,
            model=model,
            meter=meter,
            effective_from=day_number(since),
            recorded_from="settings",
            amount=amount,
            per=1_000_000,
            currency=currency,
            source="test",
        )

    def prices(self, model: str = "mistral-large-2407", *, currency: str = "USD") -> None:
        """2 for a million input tokens, 6 for a million output tokens."""
        self.price(model, "input", "2.00", currency=currency)
        self.price(model, "output", "6.00", currency=currency)

    def minutes(self, source: int, deployment: int, rows: Iterable[dict[str, int]], *, settled: bool = True) -> None:
        """Write minutes and the days they add up to; a row has `minute` and what of the summed columns is not 0."""
        whole = [
            dict.fromkeys((*tables.SUMMED, "longest_retry_after_ms"), 0)
            | {"requests": 1, "deployment_id": deployment, "source_id": source}
            | row
            for row in rows
        ]
        by_day: dict[int, list[dict[str, int]]] = defaultdict(list)
        for row in whole:
            by_day[row["minute"] // MINUTES_A_DAY].append(row)
        days = [_day(day, some, settled) for day, some in by_day.items()]
        with writing(self.engine) as connection:
            connection.execute(tables.usage_minute.insert(), whole)
            connection.execute(tables.usage_day.insert(), days)

    def charge(self, deployment: int | None, day: date, cost: str, **more: Any) -> None:
        """Bill a deployment (None: nobody knows whose it is) for a meter on a UTC day."""
        recorded_at = more.pop("recorded_at", NOW)
        resource = f"/resources/{deployment}-{more.get('meter', 'input')}"
        nano, remainder = to_store(Decimal(cost))
        self.add(
            tables.charge,
            **{
                "pull_id": self.pull(),
                "resource": self._resource(resource, deployment),
                "scope": "sub",
                "charge_period_start": day_number(day),
                "meter": "input",
                "meter_name": "",
                "marketplace": True,
                "billed_cost": nano,
                "billed_cost_remainder": remainder,
                "billed_cost_text": cost,
                "billing_currency": "USD",
                "recorded_at": recorded_at,
                **dict.fromkeys(
                    ("pricing_unit", "sub_account_id", "billing_account_id", "publisher_name", "charge_category"), ""
                ),
                **more,
            },
        )

    def pull(self) -> int:
        if self._pull is None:
            source = self.source("costs")
            self._pull = self.add(
                tables.cost_pull,
                source_id=source,
                object="export.csv",
                fingerprint="f",
                written_at=0,
                recorded_at=NOW,
                rows=0,
            )
        return self._pull

    def _resource(self, name: str, deployment: int | None) -> int:
        with writing(self.engine) as connection:
            column = tables.charged_resource.c
            known = connection.scalar(sa.select(column.id).where(column.resource_id == name))
        described = {"resource_id": name, "model": "", "described_as": ""}
        return known or self.add(tables.charged_resource, **described, deployment_id=deployment)

    def ask(self, report: str, first: date = MARCH, last: date | None = None, zone: str = "UTC", **more: Any) -> Answer:
        period = Period(first=first, last=last or first, zone=zone_named(zone))
        return run(self.engine, self.settings, report, period=period, **{"now": NOW, **more})


def _day(day: int, rows: list[dict[str, int]], settled: bool) -> dict[str, Any]:
    sums = {name: sum(row[name] for row in rows) for name in tables.SUMMED}
    columns = (
        [row["minute"] for row in rows],
        [row["prompt_tokens"] + row["completion_tokens"] for row in rows],
        [row["requests"] for row in rows],
    )
    return {
        **sums,
        "deployment_id": rows[0]["deployment_id"],
        "source_id": rows[0]["source_id"],
        "day": day,
        "longest_retry_after_ms": max(row["longest_retry_after_ms"] for row in rows),
        "busiest": Busiest.encode(*map(np.array, columns)) if settled else None,
    }


def rows(answer: Answer, *names: str) -> list[Row]:
    """The named columns of every row."""
    places = [[column.name for column in answer.columns].index(name) for name in names]
    return [tuple(row[place] for place in places) for row in answer.rows]


def only(answer: Answer) -> dict[str, Value]:
    """The one row of an answer, by column."""
    (row,) = answer.rows
    return dict(zip((column.name for column in answer.columns), row, strict=True))
