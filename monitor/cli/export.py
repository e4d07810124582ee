"""`export`: finance files, each with a manifest that says what it holds."""

from pathlib import Path

import click

from monitor.cli.days import named_month, parse_instant
from monitor.cli.invocation import Invocation, Verb, Verbs, opened
from monitor.errors import counted


@click.group("export", cls=Verbs, later=("focus",))
def export_command() -> None:
    """Write finance files, with a manifest beside each."""


@export_command.command("charges", cls=Verb)
@click.option("--month", metavar="YYYY-MM", required=True, help="Billing month, in UTC days.")
@click.option(
    "-o", "--output", "target", required=True, type=click.Path(dir_okay=False, path_type=Path), help="CSV to write."
)
@click.option("--as-of", metavar="T", help="What was known then: a day (its end) or an RFC 3339 time.")
@click.pass_obj
def charges(invocation: Invocation, month: str, target: Path, as_of: str | None) -> None:
    """Write every charge of a month as CSV, and FILE.manifest.json with its sums and its SHA-256.

    Both files appear whole or not at all.
    """
    from datetime import UTC

    from monitor.reporting.charge_export import export_charges
    from monitor.store.engine import reading

    period = named_month(month, UTC)
    known_at = parse_instant(as_of) if as_of else None
    with opened(invocation.settings()) as engine, reading(engine) as connection:
        manifest = export_charges(connection, period, target, now=invocation.now, as_of=known_at)
    if manifest["state"] == "missing":
        click.echo(f"Wrote {target} without rows: no charges are known of {month}.")
        return
    sums = ", ".join(f"{cost} {currency}" for currency, cost in manifest["billed_cost"].items()) or "nothing"
    click.echo(f"Wrote {target}: {counted(manifest['rows'], 'charge')}, {sums}; the month is {manifest['state']}.")
