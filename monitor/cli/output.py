"""What verbs print: aligned tables, JSON, and a progress bar where somebody watches."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from monitor.cli.redaction import redacted
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from rich.progress import Progress

    from monitor.domain.answer import Answer, Column, Row

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that could move the cursor or change a terminal's state; names come from other people's logs."""


def table(
    columns: "Sequence[Column | str]", rows: "Sequence[Row] | list[list[Any]]", *, spare: Sequence[str] = ()
) -> None:
    """Print rows under their columns as reports look; a column given as text is one of text under that name.

    A terminal too narrow for them loses the `spare` columns, in their order; elsewhere nothing is ever left out.
    """
    from monitor.cli.tables import laid_out
    from monitor.domain.answer import Column

    described = [Column(one, "text", one.capitalize()) if isinstance(one, str) else one for one in columns]
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    color = terminal and _colors() is not None
    for line in laid_out(described, [tuple(row) for row in rows], width=width, color=color, spare=spare):
        click.echo(line)


def answer(answered: "Answer", form: str) -> None:
    """Print a report's answer, in the width and colours of the terminal if stdout is one."""
    from monitor.reporting.presenting import render

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    click.echo(render(answered, form, width=width, color=terminal and _colors() is not None), nl=False)


def _colors() -> Literal["auto"] | None:
    return None if os.environ.get("NO_COLOR") else "auto"


def cell(value: Any) -> str:
    """Write one value for people; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def as_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def complain(error: MonitorError, source: str = "") -> None:
    """Tell an error that does not end the run, in the same form as one that does; a bare source's name is called so."""
    subject = f"source {source!r}" if source and error.subject == source else error.subject
    warn(f"{subject}: {error.what}: {error.remedy}")


def warn(text: str) -> None:
    """Tell something on stderr in one line."""
    click.echo("maas-monitor: " + redacted(" ".join(text.split())), err=True)


class Watched:
    """What is shown while sources are read: one bar each, and what it waits for."""

    def __init__(self, bars: "Progress") -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def __call__(self, source: str, size: int) -> None:
        """Show that so many bytes of a source were read."""
        self._bars.update(self._task(source), advance=size)

    def waits(self, source: str, seconds: float) -> None:
        """Show that a source waits for so long, or, by 0, that it works."""
        text = f"{source}: waits {seconds:.0f} s for Azure" if seconds else source
        self._bars.update(self._task(source), description=text, refresh=bool(seconds))

    def _task(self, source: str) -> Any:
        if source not in self._tasks:
            for done in self._tasks.values():
                self._bars.stop_task(done)
            self._tasks[source] = self._bars.add_task(source, total=None)
        return self._tasks[source]


@contextmanager
def progress() -> Iterator[Watched | None]:
    """Show how much was read of which source, and what it waits for; where stderr is no terminal, yield None."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    shown = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*shown, console=Console(stderr=True, color_system=_colors()), transient=True) as bars:
        yield Watched(bars)
