"""Which deployment a record belongs to, from what the record, the path of its log and the settings say."""

from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from monitor.domain.endpoints import Endpoint, endpoint
from monitor.domain.records import Place

NOWHERE = Endpoint(host="")


class Placed(Struct, frozen=True, kw_only=True):
    """A deployment as the store knows it; '' is "not known". `configured`: the settings describe it."""

    workspace: str
    name: str
    region: str
    model: str
    endpoint: str = ""
    configured: bool = False


def _storable(name: str | None) -> str | None:
    """A name without what PostgreSQL cannot keep in text: NUL and lone surrogates are replaced."""
    if name is None or (name.isprintable() and name.isascii()):
        return name
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Directory:
    """The deployments that the settings describe, and the rule by which records find them.

    1 workspace and deployment named by the record, else by the path; 2 the endpoint's host, or the name and region in
    it; 3 the deployment's name alone, where only one workspace has it. What the settings describe is believed over the
    record's model, which many responses leave empty or write as an alias; else the record's own words are kept.
    """

    def __init__(self, configured: Iterable[Placed], canonical: Callable[[str], str]) -> None:
        self._canonical = canonical
        self._by_name: dict[tuple[str, str], Placed] = {}
        self._by_endpoint: dict[tuple[str, str], Placed] = {}
        self._by_host: dict[str, Placed] = {}
        self._alone: dict[str, list[Placed]] = {}
        for one in configured:
            name = one.name.lower()
            self._by_name[one.workspace.lower(), name] = one
            self._alone.setdefault(name, []).append(one)
            self._by_endpoint[name, one.region] = one
            if one.endpoint:
                said = endpoint(one.endpoint)
                # An account's host serves many deployments; only a serverless endpoint's host is one deployment.
                if not said.account:
                    self._by_host[said.host] = one
                if said.deployment and said.region:
                    self._by_endpoint[said.deployment.lower(), said.region] = one

    def place(self, said: Place, labels: dict[str, str]) -> Placed:
        """Return the deployment of a record; names that nothing is known of are kept as they are."""
        said = Place(*(_storable(one) for one in structs.astuple(said)))
        address = endpoint(said.endpoint) if said.endpoint else NOWHERE
        workspace = said.workspace or labels.get("workspace")
        deployment = said.deployment or labels.get("deployment")
        found = self._configured(workspace, deployment, address)
        if found:
            return found
        name = deployment or address.deployment or said.requested_model or ""
        return self._by_name.get(((workspace or address.account or "").lower(), name.lower())) or Placed(
            workspace=workspace or address.account or "",
            name=name,
            region=labels.get("region") or address.region or "",
            model=self._canonical(said.model or labels.get("model") or said.requested_model or ""),
            endpoint=address.host,
        )

    def _configured(self, workspace: str | None, deployment: str | None, address: Endpoint) -> Placed | None:
        if workspace and deployment:
            named = self._by_name.get((workspace.lower(), deployment.lower()))
            if named:
                return named
        hosted = self._by_host.get(address.host)
        if not hosted and address.deployment and address.region:
            hosted = self._by_endpoint.get((address.deployment.lower(), address.region))
        name = deployment or address.deployment
        alone = self._alone.get(name.lower(), []) if name and not workspace else []
        return hosted or (alone[0] if len(alone) == 1 else None)
