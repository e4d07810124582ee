"""One collection of one source: everything that whoever carries it out is handed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from monitor.collect.tally import Tally
    from monitor.sources.request import Request
    from monitor.sources.session import Session
    from monitor.store.inventory import Registry


@dataclass(frozen=True, kw_only=True)
class Collection:
    """`source`: the settings of the source; `module`: what reads sources of its kind (monitor.sources)."""

    engine: "Engine"
    source: Any
    module: Any
    request: "Request"
    tally: "Tally"
    session: "Session"
    registry: "Registry"
