"""A store of 10 million minutes to ask: 232 deployments over 30 days, in which every minute has requests.

Working hours are busy, weekends quiet; one deployment in twelve is near its quota every afternoon, one in six has one
bad day; a second source saw one deployment in ten as well. Rows go in as numpy columns, days are summed from them.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.domain.period import MINUTES_A_DAY, Period, day_number
from monitor.domain.quota import Busiest
from monitor.store import tables
from monitor.store.engine import insert, writing

DEPLOYMENTS = 232
PERIOD = Period(first=date(2026, 9, 1), last=date(2026, 9, 30))
WORKSPACES = 40
MODELS = ("mistral-large-2407", "mistral-small-2402", "ministral-3b-2410", "mistral-nemo-2407", "mixtral-8x7b-v01")
GATEWAY, TRACES, COSTS = 1, 2, 3

Columns = dict[str, NDArray[Any]]


def fill(engine: sa.Engine) -> int:
    """Fill an empty, migrated store; return the number of minute rows."""
    days = (PERIOD.last - PERIOD.first).days + 1
    first = day_number(PERIOD.first)
    _inventory(engine)
    rows = 0
    for deployment in range(1, DEPLOYMENTS + 1):
        random = np.random.default_rng(deployment)
        minutes = _minutes(random, deployment, days, first)
        seen = [(GATEWAY, minutes)]
        if deployment % 10 == 0:
            seen.append((TRACES, {name: column[: MINUTES_A_DAY * 2] for name, column in minutes.items()}))
        with writing(engine) as connection:
            for source, columns in seen:
                rows += len(columns["minute"])
                _store(connection, deployment, source, columns)
    _charges(engine, first, days)
    return rows


def _inventory(engine: sa.Engine) -> None:
    source = dict.fromkeys(("read", "stored", "duplicates", "ignored", "quarantined", "bytes"), 0)
    with writing(engine) as connection:
        connection.execute(
            tables.source.insert(),
            [
                {"id": GATEWAY, "name": "gateway", "kind": "files", "yields": "events", "authority": 10, **source},
                {"id": TRACES, "name": "traces", "kind": "files", "yields": "events", "authority": 30, **source},
                {"id": COSTS, "name": "costs", "kind": "cost-export", "yields": "charges", "authority": 0, **source},
            ],
        )
        connection.execute(
            tables.workspace.insert(),
            [
                {"id": number, "name": f"workspace-{number:02}", "recorded_from": "bench"}
                for number in range(1, WORKSPACES + 1)
            ],
        )
        connection.execute(tables.deployment.insert(), [_deployment(number) for number in range(1, DEPLOYMENTS + 1)])
        connection.execute(
            tables.price.insert(), [_price(model, meter) for model in MODELS[:-1] for meter in ("input", "output")]
        )


def _deployment(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "workspace_id": number % WORKSPACES + 1,
        "name": f"deployment-{number:03}",
        "region": "eastus2",
        "model": MODELS[number % len(MODELS)],
        "created_at": 0,
        "recorded_from": "bench",
    }


def _price(model: str, meter: str) -> dict[str, Any]:
    amount = "2.00" if meter == "input" else "6.00"
    return {
        "model": model,
        "meter": meter,
        "effective_from": 0,
        "recorded_from": "settings",
        "amount": amount,
        "per": 1_000_000,
        "currency": "USD",
        "source": "bench",
    }


def _minutes(random: np.random.Generator, deployment: int, days: int, first: int) -> Columns:
    count = days * MINUTES_A_DAY
    minute = np.arange(count)
    hour, day = minute // 60 % 24, minute // MINUTES_A_DAY
    load = 0.15 + np.exp(-(((hour - 14) / 4.0) ** 2)) * np.where(day % 7 < 5, 1.0, 0.25)
    # Traffic swells and ebbs over some ten minutes; only a little of it is noise from one minute to the next.
    swell = np.convolve(random.normal(0, 1.0, count + 9), np.full(10, 0.1), mode="valid")
    load *= np.exp(swell + random.normal(0, 0.05, count)) * random.lognormal(0, 0.15, days)[day]
    level = 130_000 if deployment % 12 == 0 else random.integers(5_000, 60_000)
    tokens = (load * level).astype(np.int64)
    if deployment % 6 == 1:
        tokens[(day == deployment % days) & (hour >= 9) & (hour < 12)] *= 6
    requests = np.maximum(1, tokens // random.integers(300, 1_500))
    throttled = np.where(tokens > 190_000, np.maximum(1, requests // 20), 0)
    prompt = tokens * 4 // 5
    zero = np.zeros(count, np.int64)
    return {
        "minute": minute + first * MINUTES_A_DAY,
        "requests": requests + throttled,
        "prompt_tokens": prompt,
        "completion_tokens": tokens - prompt,
        "cached_tokens": zero,
        "failed_requests": (random.random(count) < 0.01).astype(np.int64),
        "throttled_requests": throttled,
        "throttled_by_tokens": throttled // 2,
        "throttled_by_requests": zero,
        "throttled_by_capacity": zero,
        "unmeasured_requests": (random.random(count) < 0.005).astype(np.int64),
        "longest_retry_after_ms": np.where(throttled > 0, 20_000, 0),
    }


def _store(connection: sa.Connection, deployment: int, source: int, minutes: Columns) -> None:
    count = len(minutes["minute"])
    same = {"deployment_id": np.full(count, deployment), "source_id": np.full(count, source)}
    insert(connection, tables.usage_minute, {**same, **minutes})
    days = _days(minutes)
    for row in days:
        row |= {"deployment_id": deployment, "source_id": source}
    connection.execute(tables.usage_day.insert(), days)


def _days(minutes: Columns) -> list[dict[str, Any]]:
    shaped = {name: column.reshape(-1, MINUTES_A_DAY) for name, column in minutes.items()}
    tokens = shaped["prompt_tokens"] + shaped["completion_tokens"]
    rows = []
    for position, minute in enumerate(shaped["minute"]):
        row: dict[str, Any] = {name: int(column[position].sum()) for name, column in shaped.items() if name != "minute"}
        row["longest_retry_after_ms"] = int(shaped["longest_retry_after_ms"][position].max())
        row["day"] = int(minute[0]) // MINUTES_A_DAY
        row["busiest"] = Busiest.encode(minute, tokens[position], shaped["requests"][position])
        rows.append(row)
    return rows


def _charges(engine: sa.Engine, first: int, days: int) -> None:
    """Bill two meters of every priced deployment for every day but the last two, which are not known yet."""
    recorded_at = datetime(2026, 10, 5, tzinfo=UTC)
    pull = {
        "id": 1,
        "source_id": COSTS,
        "object": "bench",
        "fingerprint": "bench",
        "written_at": 0,
        "recorded_at": recorded_at,
        "rows": 0,
    }
    numbers = range(1, DEPLOYMENTS + 1)
    with writing(engine) as connection:
        connection.execute(tables.cost_pull.insert(), pull)
        connection.execute(
            tables.charged_resource.insert(),
            [
                {
                    "id": number,
                    "resource_id": f"/resource/{number}",
                    "model": "",
                    "described_as": "",
                    "deployment_id": number,
                }
                for number in numbers
            ],
        )
        known = [
            {
                "scope": "bench",
                "day": first + day,
                "pull_id": 1,
                "confirmed_by": 1,
                "fingerprint": "",
                "recorded_at": recorded_at,
                "rows": 2 * DEPLOYMENTS,
            }
            for day in range(days - 2)
        ]
        connection.execute(tables.cost_day.insert(), known)
        connection.execute(
            tables.charge.insert(),
            [
                _charge(number, first + day, meter, recorded_at)
                for day in range(days - 2)
                for number in numbers
                for meter in ("input", "output")
            ],
        )


def _charge(number: int, day: int, meter: str, recorded_at: datetime) -> dict[str, Any]:
    nano = number * 1_000_000_007 + day
    empty = ("pricing_unit", "sub_account_id", "billing_account_id", "publisher_name", "charge_category", "meter_name")
    return {
        "pull_id": 1,
        "resource": number,
        "scope": "bench",
        "charge_period_start": day,
        "meter": meter,
        "marketplace": True,
        "billed_cost": nano,
        "billed_cost_remainder": day,
        "billed_cost_text": str(nano),
        "billing_currency": "USD",
        "consumed_quantity": number * 1_000_000_000_000,
        "recorded_at": recorded_at,
        **dict.fromkeys(empty, ""),
    }
