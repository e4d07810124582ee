"""`quarantine`: records that could not be read."""

import os
from datetime import datetime
from pathlib import Path

import click

from monitor.cli import output
from monitor.cli.collect import format_option, strict_option, tell
from monitor.cli.invocation import Invocation, Verb, Verbs, opened
from monitor.cli.status import DONE
from monitor.domain.answer import Column
from monitor.errors import counted

EXPORTS = "cost-export"
UNITS = {"charges": "row", "minutes": "minute"}
"""What positions count by what a source yields: bytes of its objects, if it is not here; minutes are since 1970.

Sources whose objects are neither say so themselves, by a `POSITIONS`.
"""

COLUMNS = (
    Column("source", "text", "Source"),
    Column("object", "text", "Object"),
    Column("position", "text", "First at"),
    Column("records", "count", "Records"),
    Column("reason", "text", "Reason"),
    Column("recorded_at", "instant", "Last seen (UTC)"),
)


@click.group("quarantine", cls=Verbs)
def quarantine_command() -> None:
    """Records that could not be read: where they lie and why; what they say is never kept."""


@quarantine_command.command("list", cls=Verb)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@format_option
@click.pass_obj
def list_quarantine(invocation: Invocation, limit: int, form: str) -> None:
    """List what could not be read, the newest first.

    The table has one line for each object and reason; JSON has every record.
    """
    if form == "json":
        _list_all(invocation, limit)
        return
    from monitor.store.engine import reading
    from monitor.store.quarantine import count_quarantined, quarantined_alike

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        total, groups = count_quarantined(connection), quarantined_alike(connection, limit)
    if not total:
        click.echo("Nothing is in quarantine.")
        return
    rows = [
        (one.source, _near(one.object), place(one.kind, one.position), one.records, one.reason, one.recorded_at)
        for one in groups
    ]
    output.table(COLUMNS, rows, spare=("recorded_at", "source"))
    shown = sum(one.records for one in groups)
    click.echo(f"\n{total:,} in quarantine." if shown == total else f"\n{shown:,} of {total:,} in quarantine.")


def _list_all(invocation: Invocation, limit: int) -> None:
    from monitor.store.engine import reading
    from monitor.store.quarantine import count_quarantined, quarantined

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        total, records = count_quarantined(connection), quarantined(connection, limit)
    rows = [
        {
            "source": one.source,
            "object": one.object,
            "position": one.position,
            "unit": _unit(one.kind),
            "length": one.length,
            "reason": one.reason,
            "recorded_at": _second(one.recorded_at),
        }
        for one in records
    ]
    output.as_json({"total": total, "rows": rows})


def _second(instant: datetime) -> str:
    from monitor.domain.period import rfc3339

    return rfc3339(instant.replace(microsecond=0))


def _unit(kind: str) -> str:
    from monitor.config import source_kinds

    module = source_kinds().get(kind)
    said: str | None = getattr(module, "POSITIONS", None)
    return said or UNITS.get(getattr(module, "YIELDS", ""), "byte")


def place(kind: str, position: int) -> str:
    """Say where in its object a record lies; a bill that cannot be read at all lies at row 0."""
    from monitor.domain.period import instant_of, rfc3339

    match _unit(kind):
        case "row":
            return f"row {position:,}" if position else "whole file"
        case "minute":
            return f"{instant_of(position):%Y-%m-%d %H:%M}"
        case "time":
            from monitor.sources.log_rows import time_at

            at = time_at(position)
            return rfc3339(at).replace("T", " ").removesuffix("Z") if at else "no time"
    return f"byte {position:,}"


def _near(path: str) -> str:
    """Write a path below the working directory as people type it there."""
    here = f"{Path.cwd()}{os.sep}"
    return path.removeprefix(here)


@quarantine_command.command("retry", cls=Verb)
@format_option
@strict_option
@click.pass_obj
def retry(invocation: Invocation, form: str, strict: bool) -> int:
    """Read again what could not be read, as this version understands it; what can be read now leaves the quarantine."""
    from monitor.collect.retry import retry_quarantine
    from monitor.store.engine import reading
    from monitor.store.quarantine import count_quarantined

    settings = invocation.settings()
    with opened(settings) as engine:
        results = retry_quarantine(engine, settings, now=invocation.now)
        with reading(engine) as connection:
            waiting, left = count_quarantined(connection, EXPORTS), count_quarantined(connection)
    if form == "json" or results:
        status = tell(results, form, strict=strict, rows_waiting_for_a_corrected_export=waiting)
    else:
        status = DONE
    if form != "json" and waiting:
        wait = "waits" if waiting == 1 else "wait"
        click.echo(f"{counted(waiting, 'row')} of cost exports {wait} for a corrected export: put one beside the old.")
    elif form != "json" and not results:
        there = f"What is in quarantine ({counted(left, 'record')}) lies in no file or blob that could be read again."
        click.echo(there if left else "Nothing is in quarantine.")
    return status
