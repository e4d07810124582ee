"""`init`: settings to start from."""

from pathlib import Path

import click

from monitor.cli.invocation import Verb
from monitor.config import DEFAULT_FILE
from monitor.errors import SettingsError
from monitor.folders import folder


@click.command("init", cls=Verb)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
def init_command(directory: Path) -> None:
    """Write a commented monitor.toml to start from.

    It works as it stands: response logs are read from logs/, cost exports from costs/ beside it. An existing file is
    never overwritten.
    """
    file = directory / DEFAULT_FILE
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write((folder("data") / DEFAULT_FILE).read_text("utf-8"))
    except FileExistsError:
        raise SettingsError(str(file), "is already there", "edit it, or name another folder") from None
    click.echo(f"Wrote {file}. Put response logs below {directory / 'logs'}, then run: maas-monitor collect")
