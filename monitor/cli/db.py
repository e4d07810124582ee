"""`db`: schema and integrity of the store."""

import click

from monitor.cli.invocation import Invocation, Verb, Verbs, opened, opened_as_is
from monitor.cli.status import DONE, FOUND
from monitor.errors import counted


@click.group("db", cls=Verbs)
def db_command() -> None:
    """Schema and integrity of the store."""


@db_command.command("upgrade", cls=Verb)
@click.pass_obj
def upgrade(invocation: Invocation) -> None:
    """Bring the schema to what this version needs; an empty store is filled."""
    from monitor.store import migrate

    with opened_as_is(invocation.settings()) as engine:
        before = migrate.current(engine)
        migrate.upgrade(engine)
        after = migrate.current(engine)
    click.echo(
        f"The schema is {after}, as it was."
        if before == after
        else f"The schema went from {before or 'nothing'} to {after}."
    )


@db_command.command("current", cls=Verb)
@click.pass_obj
def current(invocation: Invocation) -> None:
    """Tell which schema the store has, and which this version needs."""
    from monitor.store import migrate

    with opened_as_is(invocation.settings()) as engine:
        click.echo(f"{migrate.current(engine) or 'empty'} (this version needs {migrate.head()})")


@db_command.command("check", cls=Verb)
@click.pass_obj
def check(invocation: Invocation) -> int:
    """Compare the store's tables with those this version expects; status 1 if they differ."""
    from monitor.store import migrate

    with opened(invocation.settings()) as engine:
        differences = migrate.check(engine)
    for difference in differences:
        click.echo(difference)
    if not differences:
        click.echo("The schema is as it should be.")
    return FOUND if differences else DONE


@db_command.command("verify", cls=Verb)
@click.pass_obj
def verify(invocation: Invocation) -> int:
    """Recompute every sum from the events that are kept; status 1 if a sum differs."""
    from monitor.store.engine import reading
    from monitor.store.verify import verify as verified

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        differences = list(verified(connection))
    for difference in differences:
        click.echo(difference)
    if not differences:
        click.echo("Every sum equals the events below it.")
    return FOUND if differences else DONE


@db_command.command("prune", cls=Verb)
@click.pass_obj
def prune(invocation: Invocation) -> None:
    """Drop single requests older than `store.keep_events_days`; their sums by minute and day stay.

    Records from before that are refused from then on, because a repetition among them could no longer be told.
    """
    from datetime import timedelta

    from monitor.domain.period import instant_of, minute_number
    from monitor.store.engine import writing
    from monitor.store.usage import prune as pruned
    from monitor.store.usage import pruned_before

    settings = invocation.settings()
    before = invocation.now - timedelta(days=settings.store.keep_events_days)
    with opened(settings) as engine, writing(engine) as connection:
        dropped = pruned(connection, minute_number(before))
        horizon = pruned_before(connection)
    click.echo(f"Dropped {counted(dropped, 'request')} from before {before:%Y-%m-%d %H:%M} UTC; their sums stay.")
    if horizon:
        click.echo(
            f"From now on records from before {instant_of(horizon):%Y-%m-%d %H:%M} UTC are refused as too old, because "
            "a repetition among them could no longer be told."
        )
