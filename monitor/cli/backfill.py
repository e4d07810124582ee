"""`backfill`: a past range of one source, again."""

from datetime import UTC
from typing import TYPE_CHECKING

import click

from monitor.cli import output
from monitor.cli.collect import format_option, strict_option, tell
from monitor.cli.days import Given, asked
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.errors import SettingsError, UnknownNameError

if TYPE_CHECKING:
    from monitor.config.settings import Settings


@click.command("backfill", cls=Verb)
@click.argument("source")
@click.option("--from", "since", metavar="DAY", required=True, help="First UTC day: YYYY-MM-DD, today or yesterday.")
@click.option("--to", "to", metavar="DAY", required=True, help="Last UTC day, inclusive.")
@click.option("--engine", type=click.Choice(["local"]), default="local", show_default=True, help="What does the work.")
@format_option
@strict_option
@click.pass_obj
def backfill_command(invocation: Invocation, /, source: str, form: str, strict: bool, **typed: str) -> int:
    """Read a past range of one source again.

    What is known already counts as duplicate, so it can be repeated at will.
    """
    from monitor.collect import collect_range

    settings = invocation.settings()
    _refuse(settings, source)
    period = asked(Given(since=typed["since"], to=typed["to"]), now=invocation.now, zone=UTC)
    assert period is not None
    with opened(settings) as engine, output.progress() as progress:
        result = collect_range(engine, settings, source, period=period, now=invocation.now, progress=progress)
    return tell([result], form, strict=strict)


def _refuse(settings: "Settings", name: str) -> None:
    """Refuse a source that is not there, and one of which there is never anything to backfill."""
    from monitor.config import source_kinds

    kinds = {source.name: source.kind for source in settings.sources}
    if name not in kinds:
        raise UnknownNameError("backfill", "source", name, list(kinds))
    refused = getattr(source_kinds().get(kinds[name]), "NO_BACKFILL", None)
    if refused:
        raise SettingsError(f"backfill: source {name!r}", *refused)
