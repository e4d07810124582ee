"""`import`: files read once, without settings for them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli import output
from monitor.cli.collect import strict_option, tell
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.errors import SettingsError, UnknownNameError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from monitor.collect.tally import SourceResult

AUTO = "auto"
COSTS = "cost-export"
LOGS_NAME, COSTS_NAME = "import", "imported-costs"
LABELS = ("workspace", "deployment", "model")
COUNTED = ("read", "stored", "duplicates", "ignored", "quarantined", "bytes")


@click.command("import", cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--format", "as_format", metavar="F", default=AUTO, help=f"A log format, {AUTO}, or {COSTS}; default {AUTO}."
)
@click.option("--workspace", metavar="W", help="Workspace of records that name none.")
@click.option("--deployment", metavar="D", help="Deployment of records that name none.")
@click.option("--model", metavar="M", help="Model of records that name none.")
@click.option(
    "--source", "name", metavar="NAME", help=f"What the source is called; default {LOGS_NAME}, of costs {COSTS_NAME}."
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@strict_option
@click.pass_obj
def import_command(invocation: Invocation, /, paths: tuple[str, ...], **typed: Any) -> int:
    """Read files once, without settings for them: response logs or cost exports.

    A PATH is a file, a folder, or a quoted pattern with wildcards and {workspace}-like labels. Cost exports are known
    by their header. Importing the same file again adds nothing.
    """
    from monitor.collect import import_files
    from monitor.store.migrate import ensure

    settings = invocation.settings()
    sources = [_source(typed["name"], path, typed["as_format"]) for path in paths]
    labels = {label: typed[label] for label in LABELS if typed[label]}
    with opened(settings) as engine, output.progress() as progress:
        ensure(engine)
        results: dict[str, list[SourceResult]] = defaultdict(list)
        for source in sources:
            believed = _believed(engine, source)
            results[source.name].append(
                import_files(engine, settings, believed, labels=labels, now=invocation.now, progress=progress)
            )
    told = [_joined(of_one) for of_one in results.values()]
    return tell(told, "json" if typed["as_json"] else "table", strict=typed["strict"])


def _source(name: str | None, path: str, said_format: str) -> Any:
    """Settings for one path; SettingsError if nothing lies there, UnknownNameError for a format nobody knows."""
    from monitor.config import source_kinds
    from monitor.sources.formats import formats, named

    if said_format not in (AUTO, COSTS):
        try:
            named(said_format)
        except UnknownNameError:
            raise UnknownNameError("import", "format", said_format, [*formats(), AUTO, COSTS]) from None
    pattern = _pattern(path)
    found = _found(pattern, path)
    if said_format == COSTS or (said_format == AUTO and _are_costs(found, path)):
        return source_kinds()[COSTS].Settings(name=name or COSTS_NAME, kind=COSTS, path=pattern)
    return source_kinds()["files"].Settings(name=name or LOGS_NAME, kind="files", path=pattern, format=said_format)


def _found(pattern: str, path: str) -> list[str]:
    from monitor.sources.objects import find

    found = [one.path for one in find(pattern, path)]
    if not found and Path(path).is_dir():
        raise SettingsError(path, "there is no file in this folder", "name one that has logs or cost exports in it")
    if not found:
        raise SettingsError(path, "there is no such file", "check the path; it is relative to the working directory")
    return found


def _are_costs(found: Sequence[str], path: str) -> bool:
    """Whether files are cost exports; SettingsError if only some are. Empty ones and manifests are of either kind."""
    from monitor.sources.cost_export import is_export
    from monitor.sources.export_manifest import MANIFEST

    telling = [file for file in found if Path(file).name != MANIFEST and Path(file).stat().st_size]
    costs = [file for file in telling if is_export(file)]
    if costs and len(costs) < len(telling):
        raise SettingsError(
            path, "holds both cost exports and other files", "import them by paths of their own, or say --format"
        )
    return bool(costs)


def _believed(engine: "Engine", source: Any) -> Any:
    """Let a source of logs stay as believed as it was: a less believed format that comes later takes nothing back.

    With `auto` the formats of all that was ever imported are asked anyway.
    """
    from msgspec import structs

    from monitor.sources.formats import named
    from monitor.store.engine import reading
    from monitor.store.progress import authority_of

    if source.kind == COSTS or source.format == AUTO:
        return source
    with reading(engine) as connection:
        before = authority_of(connection, source.name)
    own = named(source.format).AUTHORITY
    return structs.replace(source, priority=own if before is None else min(own, before))


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
