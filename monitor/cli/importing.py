"""`import`: files read once, without settings for them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli import output
from monitor.cli.collect import strict_option, tell
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.errors import SettingsError

if TYPE_CHECKING:
    from monitor.collect.tally import SourceResult

COSTS = "cost-export"
LABELS = ("workspace", "deployment", "model")
COUNTED = ("read", "stored", "duplicates", "ignored", "quarantined", "bytes")


@click.command("import", cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--format", "as_format", metavar="F", default="auto", help=f"A log format, auto, or {COSTS}; default auto."
)
@click.option("--workspace", metavar="W", help="Workspace of records that name none.")
@click.option("--deployment", metavar="D", help="Deployment of records that name none.")
@click.option("--model", metavar="M", help="Model of records that name none.")
@click.option(
    "--source", "name", metavar="NAME", default="import", show_default=True, help="What the source is called."
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@strict_option
@click.pass_obj
def import_command(invocation: Invocation, /, paths: tuple[str, ...], **typed: Any) -> int:
    """Read files once, without settings for them: response logs or cost exports.

    A PATH is a file, a folder, or a quoted pattern with wildcards and {workspace}-like labels. Importing the same file
    again adds nothing.
    """
    from monitor.collect import import_files

    settings = invocation.settings()
    sources = [_source(typed["name"], path, typed["as_format"]) for path in paths]
    labels = {label: typed[label] for label in LABELS if typed[label]}
    with opened(settings) as engine, output.progress() as progress:
        results = [
            import_files(engine, settings, source, labels=labels, now=invocation.now, progress=progress)
            for source in sources
        ]
    return tell([_joined(results)], "json" if typed["as_json"] else "table", strict=typed["strict"])


def _source(name: str, path: str, log_format: str) -> Any:
    """Settings for one path; SettingsError if nothing lies there."""
    from monitor.config import source_kinds
    from monitor.sources.formats import named
    from monitor.sources.objects import find

    pattern = _pattern(path)
    if next(find(pattern, path), None) is None:
        raise SettingsError(path, "there is no such file", "check the path; it is relative to the working directory")
    if log_format == COSTS:
        return source_kinds()[COSTS].Settings(name=name, kind=COSTS, path=pattern)
    if log_format != "auto":
        named(log_format)
    return source_kinds()["files"].Settings(name=name, kind="files", path=pattern, format=log_format)


def _pattern(path: str) -> str:
    from monitor.sources.objects import literal

    if Path(path).is_dir():
        return f"{literal(path)}/**/*"
    return literal(path) if Path(path).exists() else str(Path(path).absolute())


def _joined(results: Sequence["SourceResult"]) -> "SourceResult":
    """Add up what was read from several paths as one source."""
    whole = results[0]
    for one in results[1:]:
        whole = replace(
            whole,
            **{name: getattr(whole, name) + getattr(one, name) for name in COUNTED},
            seconds=round(whole.seconds + one.seconds, 3),
            ignored_reasons=_sum(whole.ignored_reasons, one.ignored_reasons),
            formats=_sum(whole.formats, one.formats),
            errors=(*whole.errors, *one.errors),
        )
    return whole


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
