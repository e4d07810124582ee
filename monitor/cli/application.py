"""`maas-monitor` itself: its verbs, its global options, and how an end of any kind becomes one line and a status."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from monitor import __version__
from monitor.cli.invocation import GLOBAL_OPTIONS, Verbs, begin
from monitor.cli.redaction import redacted, secrets_in
from monitor.cli.status import INTERNAL, INTERRUPTED, UNREACHABLE, WRONG_USAGE
from monitor.errors import MonitorError

VERBS = {
    "init": ("init", "Write a commented monitor.toml to start from."),
    "demo": ("demo", "Show the main job on sample logs and costs, without an Azure account."),
    "collect": ("collect", "Read every source, or those named, once."),
    "backfill": ("backfill", "Read a past range of one source again."),
    "import": ("importing", "Read files once, without settings for them."),
    "report": ("report", "Run one report."),
    "reports": ("report", "List the reports."),
    "export": ("export", "Write finance files, with a manifest beside each."),
    "quarantine": ("quarantine", "Records that could not be read."),
    "charges": ("charges", "Charges and who they belong to."),
    "db": ("db", "Schema and integrity of the store."),
    "doctor": ("doctor", "Check settings, store and sources; name the remedy of whatever is wrong."),
}
"""Module and one-line help of every verb; a test holds them against the modules, which --help does not import."""

LATER = ("serve", "alerts")
"""Verbs of a later version."""


class Application(Verbs):
    """The group of all verbs; imports a verb's module when the verb is asked for, and tells every error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of a first day with them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb and return its command; None if there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"monitor.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def main(self, args: Sequence[str] | None = None, *positional: Any, **extra: Any) -> Any:
        """Run and exit, with the status the verb returned or that of its error, which is told in one line on stderr."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        extra["prog_name"] = "maas-monitor"
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A terminal that cannot show a character gets a question mark, not a failure.
                stream.reconfigure(errors="replace")
        run = super().main
        sys.exit(_guarded(lambda: run(given, **extra), debug="--debug" in given))

    def make_context(self, *positional: Any, **extra: Any) -> click.Context:
        """Parse the arguments; --help and --version write and end here."""
        with _forgiving():
            return super().make_context(*positional, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb and flush what it wrote while a closed pipe can still be forgiven."""
        with _forgiving():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


class DeafError(Exception):
    """Whoever read our output has seen enough."""


@contextmanager
def _forgiving() -> Iterator[None]:
    """Take a closed pipe out of the hands of click, which would make status 1 of it."""
    try:
        yield
    except BrokenPipeError:
        raise DeafError from None


def _guarded(run: Callable[[], Any], *, debug: bool) -> int:
    """Return the status of a run; every error becomes one line on stderr, with a traceback before it under --debug."""
    try:
        status = run()
        return status if isinstance(status, int) else 0
    except DeafError:
        # The interpreter would complain when it flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # The last frame of the program: a bug too must end in one line.
        if debug:
            click.echo(redacted(traceback.format_exc(), secrets_in(os.environ)), err=True, nl=False)
        line, status = _told(error)
        click.echo(line, err=True)
        return status


def _told(error: Exception) -> tuple[str, int]:
    """Return the line and the status of an error."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), WRONG_USAGE
    if isinstance(error, click.ClickException):
        return _usage(error), WRONG_USAGE
    if isinstance(error, MonitorError):
        return _line(str(error)), error.exit_status
    if isinstance(error, OSError):
        name = error.filename or "the system"
        return _line(f"{name}: {error.strerror or error}: check that it is there, permitted and not full"), UNREACHABLE
    if type(error).__module__.startswith("sqlalchemy"):
        said = str(getattr(error, "orig", None) or type(error).__name__)
        return _line(f"store: {said}: run maas-monitor doctor"), UNREACHABLE
    return _line(
        f"internal error: {type(error).__name__}: run it again with --debug and report what it shows"
    ), INTERNAL


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "maas-monitor"
    subject = path.removeprefix("maas-monitor").strip() or "usage"
    return _line(f"{subject}: {error.format_message().rstrip('.')}: see {path} --help")


def _line(text: str) -> str:
    return "maas-monitor: " + redacted(" ".join(text.split()))


@click.command(
    cls=Application,
    params=GLOBAL_OPTIONS,
    later=LATER,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0 done, 1 a check found something, 2 wrong usage or settings, 3 a source or the store out of "
    "reach, 4 records were quarantined under --strict.",
)
@click.version_option(__version__, prog_name="maas-monitor", message="%(prog)s %(version)s")
@click.pass_context
def application(context: click.Context, /, **_options: Any) -> None:
    """Know what Mistral models sold as serverless APIs on Azure cost, and how near their quota they are."""
    begin(context)
