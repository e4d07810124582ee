"""`collect`: everything new, from every source, once."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from monitor.cli import output
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.cli.status import DONE, QUARANTINED
from monitor.errors import SettingsError

if TYPE_CHECKING:
    from monitor.collect.tally import SourceResult

COLUMNS = ("source", "read", "stored", "duplicates", "ignored", "quarantined", "bytes", "seconds")

strict_option = click.option("--strict", is_flag=True, help="Return status 4 if records were quarantined.")
format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)


@click.command("collect", cls=Verb)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@format_option
@strict_option
@click.pass_obj
def collect_command(invocation: Invocation, sources: tuple[str, ...], form: str, strict: bool) -> int:
    """Read every source, or those named, once.

    Everything is read exactly once however often this runs; per source it tells
    read = stored + duplicates + ignored + quarantined.
    """
    from monitor.collect import collect

    settings = invocation.settings()
    if not settings.sources:
        raise SettingsError("collect", "no source is set", "add a [[source]], or start with: maas-monitor init")
    with opened(settings) as engine, output.progress() as progress:
        results = collect(engine, settings, now=invocation.now, names=sources, progress=progress)
    return tell(results, form, strict=strict)


def tell(results: Sequence["SourceResult"], form: str, *, strict: bool) -> int:
    """Print what was collected and return the status: that of the first error, else of --strict."""
    if form == "json":
        output.as_json({"sources": [_as_json(result) for result in results]})
    else:
        rows = [[getattr(result, column) for column in COLUMNS] for result in results]
        output.table(COLUMNS, rows, right=COLUMNS[1:])
        _tell_ignored(results)
    errors = [error for result in results for error in result.errors]
    for error in errors:
        output.complain(error)
    if errors:
        return max(error.exit_status for error in errors)
    return QUARANTINED if strict and any(result.quarantined for result in results) else DONE


def _tell_ignored(results: Sequence["SourceResult"]) -> None:
    for result in results:
        for reason, records in sorted(result.ignored_reasons.items()):
            click.echo(f"{result.source}: {records:,} ignored: {reason}")
        if result.quarantined:
            click.echo(f"{result.source}: {result.quarantined:,} could not be read: see maas-monitor quarantine list")


def _as_json(result: "SourceResult") -> dict[str, Any]:
    said = {field.name: getattr(result, field.name) for field in fields(result)}
    return said | {"errors": [str(error) for error in result.errors]}
