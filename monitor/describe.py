"""What the settings say, put into the store's own terms: workspaces, deployments, quotas and prices."""

from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import json

from monitor.catalogue import bundled, listed_prices, settings_prices
from monitor.config.settings import Deployment, Settings, Workspace
from monitor.domain.money import to_store
from monitor.domain.period import day_number
from monitor.domain.placing import Placed
from monitor.domain.records import Quota
from monitor.store.attribution import attribute
from monitor.store.engine import reading, writing
from monitor.store.found import settle_inventory
from monitor.store.inventory import SETTINGS, DescribedDeployment, DescribedWorkspace, Registry, describe
from monitor.store.meta import noted, write_down
from monitor.store.prices import sync_prices

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

DIGEST = "settings"
"""Under this key the store remembers which settings and which bundled prices it was last brought in line with."""


def describe_settings(engine: "Engine", settings: Settings) -> None:
    """Bring the store in line with the settings and the bundled price list, unless it is already."""
    described = [settings.workspaces, settings.deployments, settings.quotas, settings.prices]
    listed, own = listed_prices(bundled()), settings_prices(settings.prices, bundled())
    digest = sha256(json.encode([described, listed], order="deterministic")).hexdigest()
    with reading(engine) as connection:
        before = noted(connection, DIGEST)
    # Without a settings file there is nothing to say of a store that somebody's settings have described already.
    if before == digest or (before and settings.file is None and not any(described)):
        return
    with writing(engine) as connection:
        describe(
            connection,
            [_workspace(one) for one in settings.workspaces],
            [_deployment(one, settings) for one in settings.deployments],
        )
        sync_prices(connection, listed, "list")
        sync_prices(connection, own, "settings")
        settle_inventory(connection, canonical_model, bundled().limits)
        attribute(connection)
        write_down(connection, DIGEST, digest)


def registry(settings: Settings) -> Registry:
    """Return what finds the deployments of records, given these settings and what inventory has found."""
    return Registry([_placed(one) for one in settings.deployments], canonical_model)


def canonical_model(name: str) -> str:
    """Return the catalogue's name of a model; one it does not know stays as it is written."""
    return bundled().canonical(name) or name


def _workspace(one: Workspace) -> DescribedWorkspace:
    return DescribedWorkspace(
        name=one.name,
        cost_center=one.cost_center,
        region=one.region,
        budget_monthly=to_store(one.budget.monthly)[0] if one.budget else None,
        budget_currency=one.budget.currency if one.budget else None,
    )


def _placed(one: Deployment) -> Placed:
    return Placed(
        workspace=one.workspace,
        name=one.name,
        region=one.region or "",
        model=canonical_model(one.model),
        endpoint=one.endpoint or "",
        configured=True,
    )


def _deployment(one: Deployment, settings: Settings) -> DescribedDeployment:
    return DescribedDeployment(placed=_placed(one), saas_resource=one.saas_resource, quotas=_quotas(one, settings))


def _quotas(one: Deployment, settings: Settings) -> tuple[Quota, ...]:
    """The deployment's own limits count from the beginning, those in [[quota]] from their days on.

    None where the settings give no limit at all: then what inventory found counts, else the model's usual limits.
    """
    default = bundled().limits(canonical_model(one.model))
    first = Quota(
        tokens_per_minute=one.tokens_per_minute or default.tokens,
        requests_per_minute=one.requests_per_minute or default.requests,
        effective_from=0,
        source=SETTINGS,
    )
    later = [
        Quota(
            tokens_per_minute=quota.tokens_per_minute,
            requests_per_minute=quota.requests_per_minute,
            effective_from=day_number(quota.effective_from),
            source=SETTINGS,
        )
        for quota in settings.quotas
        if (quota.workspace, quota.deployment) == (one.workspace, one.name)
    ]
    if not later and one.tokens_per_minute is None and one.requests_per_minute is None:
        return ()
    return (first, *sorted(later, key=lambda quota: quota.effective_from))
