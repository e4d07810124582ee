"""`demo`: the main job on the sample."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.cli import output
from monitor.cli.invocation import Invocation, Verb
from monitor.errors import SettingsError

if TYPE_CHECKING:
    from monitor.domain.answer import Answer


@click.command("demo", cls=Verb)
@click.option(
    "--keep", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Where to leave everything."
)
@click.option("--serve", is_flag=True, help="Open the dashboard on it (not in this version).")
@click.pass_obj
def demo_command(invocation: Invocation, /, keep: Path | None, serve: bool) -> None:
    """Show the main job on sample logs and costs, without an Azure account.

    Writes a week of response logs and its bill, collects them into SQLite, prints daily spend, quota headroom and
    throttle events, and writes every report as HTML and CSV. With --keep the folder holds monitor.toml and monitor.db,
    ready for every other command; it may be moved, and a second run changes nothing.
    """
    if serve:
        raise SettingsError(
            "demo --serve", "the dashboard is not in this version", "leave out --serve and open the HTML files"
        )
    if invocation.config or invocation.store:
        raise SettingsError("demo", "has settings and a store of its own", "leave out --config and --store")
    from monitor.demo import run

    said = run(keep or Path(tempfile.mkdtemp(prefix="maas-monitor-demo-")), _show)
    click.echo(said, nl=False)


def _show(answer: "Answer") -> None:
    output.answer(answer, "table")
    click.echo()
