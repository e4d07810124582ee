"""What to do about each thing that inventory finds wrong with a deployment."""

import re

OTHERWISE = "look at it in the Azure portal"

REMEDIES = (
    (r" was retired on ", "move its callers to a deployment of a successor, and delete it"),
    (r" retires on ", "move its callers to a deployment of a successor before that day"),
    (r" is not offered in ", "deploy the model in a region that offers it"),
    (r"^its marketplace subscription ", "subscribe to the offer again in its workspace, or delete the endpoint"),
    (r" deploys? the same model: ", "delete one of them, or map the charges by hand: maas-monitor charges map"),
    (r"^it is ", f"{OTHERWISE}: it may still be made, or have failed"),
)
"""Patterns of what monitor.domain.inventory finds, with the remedy; the first that fits counts."""


def remedy_of(what: str) -> str:
    """Return the remedy of a finding of inventory."""
    return next((remedy for pattern, remedy in REMEDIES if re.search(pattern, what)), OTHERWISE)
