"""`charges`: what was billed and who it belongs to."""

from typing import TYPE_CHECKING

import click

from monitor.cli import output
from monitor.cli.collect import format_option
from monitor.cli.invocation import Invocation, Verb, Verbs, opened
from monitor.domain.answer import Column, Row
from monitor.errors import SettingsError, UnknownNameError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("resource", "text", "Resource"),
    Column("models", "text", "Models"),
    Column("first_day", "day", "First day"),
    Column("last_day", "day", "Last day"),
    Column("charges", "count", "Charges"),
    Column("billed_cost", "money", "Billed"),
    Column("currency", "text", "Cur."),
    Column("why", "text", "Why"),
)


@click.group("charges", cls=Verbs)
def charges_command() -> None:
    """Charges and who they belong to."""


@charges_command.command("map", cls=Verb)
@click.argument("resource", required=False)
@click.option("--workspace", metavar="W", help="Workspace that the resource bills.")
@click.option("--deployment", metavar="D", help="Deployment that the resource bills.")
@click.option("--model", metavar="M", help="Only what it bills for this model, where it bills several.")
@click.option("--remove", is_flag=True, help="Take back what was said of the resource by hand.")
@format_option
@click.pass_obj
def map_command(invocation: Invocation, /, resource: str | None, form: str, remove: bool, **whose: str | None) -> None:
    """List billed resources that belong to no deployment, or say of one to whom it belongs.

    RESOURCE is the resource's whole id or its last segment. What is said here beats saas_resource in the settings and
    what inventory found, and counts for charges of the past as well.
    """
    model = whose["model"] or ""
    if resource is None:
        _list(invocation, form)
    elif remove:
        _remove(invocation, resource, model)
    elif whose["workspace"] and whose["deployment"]:
        _map(invocation, resource, model, (whose["workspace"], whose["deployment"]))
    else:
        raise SettingsError("charges map", "does not say whose the resource is", "add --workspace W --deployment D")


def _list(invocation: Invocation, form: str) -> None:
    from monitor.domain.period import day_of
    from monitor.reporting.presenting.cells import exact
    from monitor.store.attribution import unattributed
    from monitor.store.engine import reading
    from monitor.store.health import billed_resources

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        found = unattributed(connection, 0, 1_000_000)
        billed = billed_resources(connection).billed
    rows: list[Row] = [
        (
            one.resource_id,
            ", ".join(sorted(one.models)),
            day_of(one.first_day),
            day_of(one.last_day),
            one.rows,
            cost,
            currency,
            one.attribution or "nobody named it",
        )
        for one in found
        for currency, cost in one.costs.items()
    ]
    if form == "json":
        names = [column.name for column in COLUMNS]
        output.as_json({"rows": [dict(zip(names, map(exact, row), strict=True)) for row in rows]})
    elif rows:
        # The last segment of an id is what this command takes; the whole of it would fill the line.
        short = [(str(whole).rpartition("/")[2], *rest) for whole, *rest in rows]
        output.table(COLUMNS, short, spare=("why", "first_day", "last_day", "models"))
        click.echo("\nSay whose one is: maas-monitor charges map RESOURCE --workspace W --deployment D")
    elif billed:
        click.echo("Every charge belongs to a deployment.")
    else:
        click.echo("No charge is known yet: add a source of costs to the settings, and run maas-monitor collect.")


def _map(invocation: Invocation, resource: str, model: str, whose: tuple[str, str]) -> None:
    from monitor.describe import describe_settings
    from monitor.store.attribution import attribute, map_resource
    from monitor.store.charged import charged_like, deployment_named
    from monitor.store.engine import writing

    settings = invocation.settings()
    with opened(settings) as engine:
        describe_settings(engine, settings)
        with writing(engine) as connection:
            whole = charged_like(connection, resource)
            meant = _meant(connection, whole, model, must_choose=True)
            number = deployment_named(connection, *whose)
            map_resource(connection, whole, number, invocation.now, meant)
            attribute(connection)
    of_model = f" of {meant}" if meant else ""
    click.echo(f"{whole}{of_model} belongs to {whose[1]} of {whose[0]}.")


def _remove(invocation: Invocation, resource: str, model: str) -> None:
    from monitor.store.attribution import attribute, unmap_resource
    from monitor.store.charged import charged_like
    from monitor.store.engine import writing

    with opened(invocation.settings()) as engine, writing(engine) as connection:
        whole = charged_like(connection, resource)
        said = unmap_resource(connection, whole, _meant(connection, whole, model))
        attribute(connection)
    click.echo(f"{whole}: {'taken back' if said else 'nothing was said of it by hand'}.")


def _meant(connection: "Connection", resource: str, model: str, *, must_choose: bool = False) -> str:
    """Return the model that is meant of those a resource bills, '' for all; an account bills many, each for itself."""
    from monitor.catalogue import bundled
    from monitor.store.charged import models_charged

    models = models_charged(connection, resource)
    meant = bundled().canonical(model) or model
    if meant and meant not in models:
        raise UnknownNameError("charges map", "model billed by the resource", model, [one for one in models if one])
    if must_choose and not meant and len(models) > 1:
        named = ", ".join(one or "(none named)" for one in models)
        raise SettingsError("charges map", f"the resource bills {len(models)} models ({named})", "add --model M")
    return meant
