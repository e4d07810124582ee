"""What Azure has into the store: list by list, one transaction each; then deployments, quotas and charges follow it."""

from collections import defaultdict
from typing import TYPE_CHECKING

from monitor.catalogue import bundled
from monitor.collect.costs import NOT_USAGE
from monitor.describe import canonical_model
from monitor.domain.inventory import Kind, Listing
from monitor.errors import MonitorError
from monitor.store.attribution import attribute
from monitor.store.engine import writing
from monitor.store.found import settle_inventory
from monitor.store.progress import Counts, count, source_number
from monitor.store.resources import note_listed, record_listing

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from monitor.collect.collection import Collection


CONTENTS = ({Kind.ENDPOINT, Kind.SUBSCRIPTION}, {Kind.DEPLOYMENT})
"""The lists of which a workspace has all, and an account."""


def collect_resources(one: "Collection") -> None:
    """Record every list that can be had; one that cannot is told, and nothing is said of what it would have held.

    What was recorded counts even if what follows it fails.
    """
    source, tally = one.source, one.tally
    with writing(one.engine) as connection:
        number = source_number(connection, source.name, source.kind, "resources", NOT_USAGE)
    whole: dict[str, set[Kind]] = defaultdict(set)
    try:
        for answer in one.module.listings(source, one.request, one.session):
            if isinstance(answer, MonitorError):
                tally.errors.append(answer)
                continue
            with writing(one.engine) as connection:
                counts = _record(connection, number, answer, one)
                count(connection, number, counts, answer.ignored, tally.now)
            tally.add(counts, answer.ignored)
            if answer.whole:
                whole[answer.scope].add(answer.kind)
    finally:
        with writing(one.engine) as connection:
            note_listed(connection, {scope for scope, kinds in whole.items() if kinds in CONTENTS})
            settle_inventory(connection, canonical_model, bundled().limits)
            attribute(connection)


def _record(connection: "Connection", number: int, listing: Listing, one: "Collection") -> Counts:
    recorded = record_listing(connection, number, listing, one.session.now)
    ignored = sum(listing.ignored.values())
    return Counts(
        read=len(listing.resources) + ignored, stored=recorded.changed, duplicates=recorded.unchanged, ignored=ignored
    )
