"""`quarantine`: records that could not be read."""

import click

from monitor.cli import output
from monitor.cli.collect import format_option, strict_option, tell
from monitor.cli.invocation import Invocation, Verb, Verbs, opened

COLUMNS = ("source", "object", "position", "length", "reason", "recorded_at")


@click.group("quarantine", cls=Verbs)
def quarantine_command() -> None:
    """Records that could not be read: where they lie and why; what they say is never kept."""


@quarantine_command.command("list", cls=Verb)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, the newest first.")
@format_option
@click.pass_obj
def list_quarantine(invocation: Invocation, limit: int, form: str) -> None:
    """List what could not be read, the newest first."""
    from monitor.domain.period import rfc3339
    from monitor.store.engine import reading
    from monitor.store.quarantine import count_quarantined, quarantined

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        total, records = count_quarantined(connection), quarantined(connection, limit)
    rows = [[one.source, one.object, one.position, one.length, one.reason, rfc3339(one.recorded_at)] for one in records]
    if form == "json":
        output.as_json({"total": total, "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows]})
        return
    output.table(COLUMNS, rows, right=("position", "length"))
    click.echo(f"{total:,} in quarantine." if len(rows) == total else f"{len(rows):,} of {total:,} in quarantine.")


@quarantine_command.command("retry", cls=Verb)
@format_option
@strict_option
@click.pass_obj
def retry(invocation: Invocation, form: str, strict: bool) -> int:
    """Read again what could not be read, as this version understands it; what can be read now leaves the quarantine."""
    from monitor.collect.retry import retry_quarantine

    settings = invocation.settings()
    with opened(settings) as engine:
        results = retry_quarantine(engine, settings, now=invocation.now)
    return tell(results, form, strict=strict)
