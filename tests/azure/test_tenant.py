"""A day in the life of a tenant, and the nine after it: on each of them every answer is what happened.

The whole tenant, of 20 workspaces and 40 days, lives with MONITOR_THOROUGH=1 on SQLite, and by `make demo-azure`.
"""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from monitor.store.engine import reading
from monitor.store.tables import metadata
from tests.azure.tenant.bills import Bills
from tests.azure.tenant.contend import contend
from tests.azure.tenant.records import SECRET
from tests.azure.tenant.run import Run, living
from tests.azure.tenant.shape import SMALL, Tenant
from tests.azure.tenant.traffic import Traffic

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

pytestmark = pytest.mark.long


@pytest.mark.timeout(1800)
def test_every_answer_is_true_on_every_day_and_as_of_every_day(
    store_url: str, azurite_address: str, tmp_path: Path
) -> None:
    whole = os.environ.get("MONITOR_THOROUGH") == "1" and store_url.startswith("sqlite")
    tenant = Tenant() if whole else SMALL
    with living(tenant, azurite_address, store_url, tmp_path) as run:
        days = list(run.days())
        assert [one for day in days for one in day.wrong] == []
        assert [one for number in range(len(tenant.collects)) for one in run.asked_again(number)] == []
        assert len(days) == tenant.days
        assert not _kept(run.engine, SECRET)
        assert _notices(run, tenant)


@pytest.mark.timeout(600)
def test_four_processes_never_ask_for_more_than_azure_allows_and_bill_everything_once(
    store_url: str, tmp_path: Path
) -> None:
    together = contend(Tenant(), tmp_path, store_url)
    assert together.wrong == ()
    assert together.requests - together.refused >= 4 * 2 * 16
    assert together.busiest["of a scope in 60 s"] == 4


def test_the_tenant_has_every_trouble_that_is_told_of() -> None:
    traffic = Traffic(SMALL)
    bills = Bills(SMALL, traffic)
    ends = Counter(one.end for one in traffic.asked)
    assert all(ends[end] for end in ("tokens", "requests", "capacity", "gateway", "gone", "forbidden", "unmeasured"))
    assert any(one.halved for one in traffic.asked)
    assert any(one.again for one in traffic.asked)
    assert any(one.refund for one in bills.bookings)
    assert bills.changes
    assert {one.log for one in SMALL.deployments} == {"blobs", "apim", "metrics"}
    assert any(one.moved for one in SMALL.deployments)
    assert any(one.lowered for one in SMALL.deployments)
    assert any(one.ambiguous for one in SMALL.deployments)
    assert [one.name for one in SMALL.deployments].count("assistant") == 2


def _notices(run: Run, tenant: Tenant) -> bool:
    """Whether one token more and one charge less, in the truth, would be told of."""
    last = tenant.collects[-1]
    key = next(iter(run.truth.used))
    run.truth.used[key] = run.truth.used[key]._replace(prompt=run.truth.used[key].prompt + 1)
    bookings = run.world.bills.by_subscription[tenant.exported]
    bookings.remove(next(one for one in bookings if one.stands(last - timedelta(days=1)) and one.stands(last)))
    return bool([*run.checks.usage(last)]) and bool([*run.checks.money(last, None)])


def _kept(engine: "Engine", secret: str) -> bool:
    """Whether a text stands anywhere in the store."""
    with reading(engine) as connection:
        rows = (row for table in metadata.sorted_tables for row in connection.execute(sa.select(table)))
        return any(secret in repr(tuple(row)) for row in rows)
