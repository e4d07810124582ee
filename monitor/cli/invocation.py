"""One run of the program: what was asked of it, when, and the settings and the store it runs on.

The clock is read here, once; everything below is told what time it is. The global options may stand before the verb or
after it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, structs

from monitor.cli import logs
from monitor.errors import SettingsError, UnknownNameError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from monitor.config.settings import Settings

FILLING = ("collect", "import")
"""Verbs that begin a store where there is none."""

LEVELS = ["debug", "info", "warning", "error"]


class Invocation(Struct, frozen=True, kw_only=True):
    """What the global options say, and the moment this run counts as now."""

    now: datetime
    config: str | None = None
    store: str | None = None
    log_level: str = "warning"
    log_format: str = "text"
    debug: bool = False

    def settings(self) -> "Settings":
        """Load the settings, with --store in place of theirs; its path is relative to the working directory."""
        from monitor.config import load, sqlite_beside

        loaded = load(self.config, os.environ)
        if not self.store:
            return loaded
        return structs.replace(loaded, store=structs.replace(loaded.store, url=sqlite_beside(self.store, Path.cwd())))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Note a global option; one after the verb beats one before it."""
    if parameter.name and value is not None and value is not False:
        context.meta.setdefault("maas_monitor.options", {})[parameter.name] = value


def _option(*names: str, **keywords: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **keywords)


GLOBAL_OPTIONS = [
    _option("--config", metavar="FILE", help="Settings; default $MONITOR_CONFIG, then ./monitor.toml."),
    _option(
        "--store", metavar="URL", help="Store; default from the settings, $MONITOR_STORE, then sqlite:///monitor.db."
    ),
    _option("--log-level", type=click.Choice(LEVELS), envvar="MONITOR_LOG_LEVEL", help="Least level logged to stderr."),
    _option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        envvar="MONITOR_LOG_FORMAT",
        help="How log lines are written.",
    ),
    _option("--debug", is_flag=True, help="Show tracebacks, and log everything."),
]


def _hidden(option: click.Option) -> click.Option:
    return _option(*option.opts, metavar=option.metavar, type=option.type, is_flag=option.is_flag, hidden=True)


class Verb(click.Command):
    """A command that also takes the global options after its name, and whose mistakes are told like all others."""

    def __init__(self, *positional: Any, **keywords: Any) -> None:
        super().__init__(*positional, **keywords)
        self.params += [_hidden(option) for option in GLOBAL_OPTIONS]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the callback with everything said so far."""
        begin(ctx)
        return super().invoke(ctx)


class Verbs(click.Group):
    """A group of commands; a name that is none of them is answered with the nearest."""

    command_class = Verb

    def __init__(self, *positional: Any, later: tuple[str, ...] = (), **keywords: Any) -> None:
        """`later`: commands that the contract promises and this version does not bring."""
        super().__init__(*positional, **keywords)
        self.later = later

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; UnknownNameError if there is none of that name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            subject = ctx.command_path.removeprefix("maas-monitor").strip() or "usage"
            if name in self.later:
                whole = f"{ctx.command_path} {name}".removeprefix("maas-monitor ")
                raise SettingsError(whole, "is not in this version", f"see {ctx.command_path} --help for what is")
            raise UnknownNameError(subject, "command", name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def begin(context: click.Context) -> None:
    """Make the invocation of this run known to the verb, and start logging as it says."""
    known = context.obj if isinstance(context.obj, Invocation) else Invocation(now=datetime.now(UTC))
    context.obj = structs.replace(known, **context.meta.get("maas_monitor.options", {}))
    debug = context.obj.debug
    logs.start(level="debug" if debug else context.obj.log_level, form=context.obj.log_format, debug=debug)


@contextmanager
def opened(settings: "Settings") -> Iterator["Engine"]:
    """Open the store of the settings, filled or refused as its schema demands, and close it at the end."""
    from monitor.store import migrate

    _refuse_to_begin(settings)
    with opened_as_is(settings) as engine:
        migrate.require_current(engine)
        yield engine


@contextmanager
def opened_as_is(settings: "Settings") -> Iterator["Engine"]:
    """Open the store of the settings, whatever its schema, and close it; an unreadable one is named in the error."""
    from sqlalchemy.exc import DatabaseError

    from monitor.store.engine import open_engine
    from monitor.store.health import told

    engine = open_engine(settings.store.url)
    try:
        yield engine
    except DatabaseError as error:
        raise told(engine, error) or error from error
    finally:
        engine.dispose()


def _refuse_to_begin(settings: "Settings") -> None:
    """Refuse to make an empty store where nobody asked for one: only verbs that fill a store begin the default one."""
    from monitor.config.settings import Store

    context = click.get_current_context(silent=True)
    if context is None or context.info_name in FILLING or settings.file or _named_store(context):
        return
    default = Path.cwd() / Store().url.removeprefix("sqlite:///")
    if settings.store.url == f"sqlite:///{default}" and not default.exists():
        raise SettingsError(
            "store",
            f"there are neither settings nor a store in {default.parent}",
            "run maas-monitor init or add --store URL",
        )


def _named_store(context: click.Context) -> bool:
    invocation = context.find_object(Invocation)
    return bool(invocation and invocation.store)
