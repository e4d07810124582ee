"""`init`: settings to start from, and what Azure needs so that its sources can be read."""

from pathlib import Path

import click

from monitor.cli.invocation import Verb
from monitor.config import DEFAULT_FILE
from monitor.errors import SettingsError
from monitor.folders import folder

BICEP = ("roles", "logs", "export")
"""The files in data/azure, in the order in which they are deployed."""
EVERY = "all"


@click.command("init", cls=Verb)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--azure",
    type=click.Choice([*BICEP, EVERY]),
    is_flag=False,
    flag_value=EVERY,
    help="Print Bicep instead: the roles that the sources need, the logs they read, or the daily cost export.",
)
def init_command(directory: Path | None, azure: str | None) -> None:
    """Write a commented monitor.toml to start from.

    It works as it stands: response logs are read from logs/, cost exports from costs/ beside it. An existing file is
    never overwritten. With --azure nothing is written: redirect one file, as in `init --azure roles > roles.bicep`, and
    deploy it as its first lines say. Without a name all three are printed one after another, to be read: together they
    are no file that can be deployed.
    """
    if azure:
        _print(azure, directory)
        return
    directory = directory or Path()
    file = directory / DEFAULT_FILE
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write((folder("data") / DEFAULT_FILE).read_text("utf-8"))
    except FileExistsError:
        raise SettingsError(str(file), "is already there", "edit it, or name another folder") from None
    click.echo(f"Wrote {file}. Put response logs below {directory / 'logs'}, then run: maas-monitor collect")


def _print(azure: str, beside: Path | None) -> None:
    """Print one Bicep file, or all of them; SettingsError if a folder is named as well."""
    if beside is not None:
        raise SettingsError("init --azure", f"takes no {str(beside)!r} beside it", f"write one of {', '.join(BICEP)}")
    names = BICEP if azure == EVERY else (azure,)
    if azure == EVERY:
        click.echo(
            f"These are {len(names)} files; init --azure {'|'.join(BICEP)} prints one, to be deployed.", err=True
        )
    click.echo("\n".join((folder("data") / "azure" / f"{name}.bicep").read_text("utf-8") for name in names), nl=False)
