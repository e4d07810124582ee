"""`collect`: everything new, from every source, once."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from monitor.cli import output
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.cli.status import DONE, QUARANTINED
from monitor.domain.answer import Column, Row
from monitor.errors import SettingsError

if TYPE_CHECKING:
    from monitor.collect.tally import SourceResult
    from monitor.config.settings import Settings

COUNTED = ("read", "stored", "duplicates", "ignored", "quarantined", "bytes")
COLUMNS = (
    Column("source", "text", "Source"),
    *(Column(name, "count", name.capitalize()) for name in COUNTED),
    Column("seconds", "seconds", "Seconds"),
)

logger = logging.getLogger(__name__)

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
    status = tell(results, form, strict=strict)
    _tell_missing(settings, results)
    return status


def tell(results: Sequence["SourceResult"], form: str, *, strict: bool, **more: Any) -> int:
    """Print what was collected and return the status: that of the first error, else of --strict.

    `more` is said beside the sources in JSON.
    """
    for result in results:
        _log(result)
    if form == "json":
        output.as_json({"sources": [_as_json(result) for result in results], **more})
    else:
        rows: list[Row] = [(result.source, *_counts(result).values(), round(result.seconds, 2)) for result in results]
        output.table(COLUMNS, rows, spare=("bytes",))
        _tell_ignored(results)
    errors = [(error, result.source) for result in results for error in result.errors]
    for error, source in errors:
        output.complain(error, source)
    if errors:
        return max(error.exit_status for error, _ in errors)
    return QUARANTINED if strict and any(result.quarantined for result in results) else DONE


def _counts(result: "SourceResult") -> dict[str, int]:
    return {name: getattr(result, name) for name in COUNTED}


def _log(result: "SourceResult") -> None:
    said = {"source": result.source, **_counts(result), "seconds": round(result.seconds, 2)}
    told = ", ".join(f"{number} {name}" for name, number in _counts(result).items())
    logger.info("%s: %s in %.2f s", result.source, told, result.seconds, extra=said)


def _tell_missing(settings: "Settings", results: Sequence["SourceResult"]) -> None:
    """Name the sources whose paths match nothing, which zeros alone would not tell from sources without news."""
    from monitor.sources.objects import find

    paths = {source.name: getattr(source, "path", "") for source in settings.sources}
    for result in results:
        path = paths.get(result.source, "")
        if path and "://" not in path and not result.read and not result.errors and next(find(path, ""), None) is None:
            output.warn(
                f"source {result.source!r}: no file matches {path}: correct its path, or wait for its first file"
            )


def _tell_ignored(results: Sequence["SourceResult"]) -> None:
    for result in results:
        for reason, records in sorted(result.ignored_reasons.items()):
            click.echo(f"{result.source}: {records:,} ignored: {reason}")
        if result.quarantined:
            click.echo(f"{result.source}: {result.quarantined:,} could not be read: see maas-monitor quarantine list")


def _as_json(result: "SourceResult") -> dict[str, Any]:
    said = {field.name: getattr(result, field.name) for field in fields(result)}
    return said | {"errors": [str(error) for error in result.errors]}
