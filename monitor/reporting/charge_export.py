"""The charges of a month as a file for finance: CSV with FOCUS column names in snake_case, and a manifest beside it."""

import csv
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from monitor import __version__
from monitor.domain.ledger import CLOSING_DAY, BillingState
from monitor.domain.money import EXACT, from_store, quantity_of, text
from monitor.domain.period import Period, day_number, day_of, rfc3339
from monitor.reporting.presenting.as_csv import harmless
from monitor.store.charged import charges_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    "charge_period_start",
    "charge_period_end",
    "billing_account_id",
    "sub_account_id",
    "resource_id",
    "workspace",
    "deployment",
    "attribution",
    "model",
    "meter",
    "meter_name",
    "publisher_name",
    "charge_category",
    "pricing_quantity",
    "pricing_unit",
    "consumed_quantity",
    "billed_cost",
    "billing_currency",
    "recorded_at",
)
NUMBERS = frozenset({"pricing_quantity", "consumed_quantity", "billed_cost"})


def export_charges(
    connection: "Connection", month: Period, target: Path, *, now: datetime, as_of: datetime | None = None
) -> dict[str, Any]:
    """Write the charges of a month to `target` and its manifest beside it; return the manifest.

    Each file is written under another name and renamed when it is complete: a reader never sees half of one.
    """
    rows, sums = 0, defaultdict[str, Decimal](Decimal)
    with _replacing(target) as stream:
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for charge in charges_of(connection, day_number(month.first), day_number(month.last), as_of):
            cost = from_store(charge.billed_cost, charge.billed_cost_remainder)
            sums[charge.billing_currency] = EXACT.add(sums[charge.billing_currency], cost)
            rows += 1
            writer.writerow(_cells(charge, cost))
    manifest = {
        "file": target.name,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "rows": rows,
        "billed_cost": {currency: text(sums[currency]) for currency in sorted(sums)},
        "period": {"start": rfc3339(month.start), "end": rfc3339(month.end)},
        "state": _state(rows, month, now),
        "as_of": rfc3339(as_of or now),
        "written_at": rfc3339(now),
        "written_by": f"maas-monitor {__version__}",
    }
    with _replacing(target.with_name(f"{target.name}.manifest.json")) as stream:
        json.dump(manifest, stream, indent=2)
        stream.write("\n")
    return manifest


def _state(rows: int, month: Period, now: datetime) -> BillingState:
    """Say how final a month's charges are; of one without any, nothing is known that could be final."""
    if not rows:
        return "missing"
    return "open" if now < month.end + timedelta(days=CLOSING_DAY - 1) else "closed"


def _cells(charge: Any, cost: Decimal) -> list[str]:
    start, quantity = day_of(charge.charge_period_start), quantity_of(charge.consumed_quantity)
    said = charge._asdict() | {
        "charge_period_start": f"{start}T00:00:00Z",
        "charge_period_end": f"{start + timedelta(days=1)}T00:00:00Z",
        "pricing_quantity": charge.pricing_quantity_text,
        "consumed_quantity": None if quantity is None else f"{quantity:f}",
        "billed_cost": text(cost),
        "recorded_at": rfc3339(charge.recorded_at),
    }
    return [_cell(name, said[name]) for name in COLUMNS]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    return str(value) if name in NUMBERS else harmless(str(value))


@contextmanager
def _replacing(target: Path) -> Iterator[IO[str]]:
    """Open a file that takes the target's place when it is complete and on the disk; a failure leaves the old one."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
