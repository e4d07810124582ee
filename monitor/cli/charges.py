"""`charges`: what was billed and who it belongs to."""

import click

from monitor.cli import output
from monitor.cli.collect import format_option
from monitor.cli.invocation import Invocation, Verb, Verbs, opened
from monitor.errors import SettingsError

COLUMNS = ("resource", "models", "first_day", "last_day", "rows", "billed_cost", "currency", "why")


@click.group("charges", cls=Verbs)
def charges_command() -> None:
    """Charges and who they belong to."""


@charges_command.command("map", cls=Verb)
@click.argument("resource", required=False)
@click.option("--workspace", metavar="W", help="Workspace that the resource bills.")
@click.option("--deployment", metavar="D", help="Deployment that the resource bills.")
@click.option("--remove", is_flag=True, help="Take back what was said of the resource by hand.")
@format_option
@click.pass_obj
def map_command(invocation: Invocation, /, resource: str | None, form: str, remove: bool, **whose: str | None) -> None:
    """List billed resources that belong to no deployment, or say of one to whom it belongs.

    RESOURCE is the resource's whole id or its last segment. What is said here beats saas_resource in the settings, and
    counts for charges of the past as well.
    """
    if resource is None:
        _list(invocation, form)
    elif remove:
        _remove(invocation, resource)
    elif whose["workspace"] and whose["deployment"]:
        _map(invocation, resource, whose["workspace"], whose["deployment"])
    else:
        raise SettingsError("charges map", "does not say whose the resource is", "add --workspace W --deployment D")


def _list(invocation: Invocation, form: str) -> None:
    from monitor.domain.money import text
    from monitor.domain.period import day_of
    from monitor.store.attribution import unattributed
    from monitor.store.engine import reading

    with opened(invocation.settings()) as engine, reading(engine) as connection:
        found = unattributed(connection, 0, 1_000_000)
    rows = [
        [
            one.resource_id,
            ", ".join(sorted(one.models)),
            str(day_of(one.first_day)),
            str(day_of(one.last_day)),
            one.rows,
            text(cost),
            currency,
            one.attribution or "nobody named it",
        ]
        for one in found
        for currency, cost in one.costs.items()
    ]
    if form == "json":
        output.as_json({"rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows]})
    elif rows:
        output.table(COLUMNS, rows, right=("rows", "billed_cost"))
        click.echo("Say whose one is: maas-monitor charges map RESOURCE --workspace W --deployment D")
    else:
        click.echo("Every charge belongs to a deployment.")


def _map(invocation: Invocation, resource: str, workspace: str, deployment: str) -> None:
    from monitor.describe import describe_settings
    from monitor.store.attribution import attribute, map_resource
    from monitor.store.charged import charged_like, deployment_named
    from monitor.store.engine import writing

    settings = invocation.settings()
    with opened(settings) as engine:
        describe_settings(engine, settings)
        with writing(engine) as connection:
            whole = charged_like(connection, resource)
            number = deployment_named(connection, workspace, deployment)
            map_resource(connection, whole, number, invocation.now)
            attribute(connection)
    click.echo(f"{whole} belongs to {deployment} of {workspace}.")


def _remove(invocation: Invocation, resource: str) -> None:
    from monitor.store.attribution import attribute, unmap_resource
    from monitor.store.charged import charged_like
    from monitor.store.engine import writing

    with opened(invocation.settings()) as engine, writing(engine) as connection:
        whole = charged_like(connection, resource)
        said = unmap_resource(connection, whole)
        attribute(connection)
    click.echo(f"{whole}: {'taken back' if said else 'nothing was said of it by hand'}.")
