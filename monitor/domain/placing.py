"""Which deployment a record belongs to, from what the record, the path of its log, settings and inventory say."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from monitor.domain.endpoints import Endpoint, endpoint
from monitor.domain.records import Place

NOWHERE = Endpoint(host="")


class Placed(Struct, frozen=True, kw_only=True):
    """A deployment as the store knows it; '' is "not known". `configured`: the settings describe it.

    `number` is that of its row, where it is known to have one.
    """

    workspace: str
    name: str
    region: str
    model: str
    endpoint: str = ""
    configured: bool = False
    number: int | None = None


def _storable(name: str | None) -> str | None:
    """A name without what PostgreSQL cannot keep in text: NUL and lone surrogates are replaced."""
    if name is None or (name.isprintable() and name.isascii()):
        return name
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Directory:
    """The deployments that the settings describe and those that inventory found, and how records find them.

    1 workspace and deployment named by the record, else by the path; 2 the endpoint's host, or the name and region in
    it; 3 the deployment's name alone, where only one workspace has it. Settings beat inventory in each step but one: a
    name alone is less than the host of an endpoint that inventory knows. What is known of a deployment is believed over
    the record's model, which many responses leave empty or write as an alias; a name that Azure has given to several
    models, one after another, means the one that the record names, else the last. Where nothing is known the record's
    own words are kept.
    """

    def __init__(
        self, configured: Iterable[Placed], canonical: Callable[[str], str], found: Iterable[Placed] = ()
    ) -> None:
        """Index the deployments; of those of one name the last counts."""
        self._canonical = canonical
        self._settings, self._inventory = _Index(configured), _Index(found)

    def place(self, said: Place, labels: dict[str, str]) -> Placed:
        """Return the deployment of a record; names that nothing is known of are kept as they are."""
        said = Place(*(_storable(one) for one in structs.astuple(said)))
        address = endpoint(said.endpoint) if said.endpoint else NOWHERE
        workspace = said.workspace or labels.get("workspace")
        deployment = said.deployment or labels.get("deployment")
        name = deployment or address.deployment or said.requested_model or ""
        model = self._canonical(said.model or labels.get("model") or said.requested_model or "")
        found = self._known(workspace, deployment, address, model)
        return (
            found
            or self._settings.named(workspace or address.account or "", name, model)
            or self._inventory.named(workspace or address.account or "", name, model)
            or Placed(
                workspace=workspace or address.account or "",
                name=name,
                region=labels.get("region") or address.region or "",
                model=model,
                endpoint=address.host,
            )
        )

    def _known(self, workspace: str | None, deployment: str | None, address: Endpoint, model: str) -> Placed | None:
        indexes = (self._settings, self._inventory)
        for one in indexes:
            named = one.named(workspace, deployment, model) if workspace and deployment else None
            found = named or one.hosted(address, model)
            if found:
                return found
        name = deployment or address.deployment
        if not name or workspace:
            return None
        # The host of an account says whose a deployment is, and what inventory knows of others is no news.
        return self._settings.alone(name, model) or (None if address.account else self._inventory.alone(name, model))


class _Index:
    """Deployments by their names and addresses; those of one key in the order in which they were given."""

    def __init__(self, deployments: Iterable[Placed]) -> None:
        self._by_name: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        self._by_endpoint: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        self._by_host: dict[str, list[Placed]] = defaultdict(list)
        self._by_account: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        self._alone: dict[str, list[Placed]] = defaultdict(list)
        for one in deployments:
            self._add(one)

    def _add(self, one: Placed) -> None:
        name = one.name.lower()
        self._by_name[one.workspace.lower(), name].append(one)
        self._alone[name].append(one)
        self._by_endpoint[name, one.region].append(one)
        if one.endpoint:
            said = endpoint(one.endpoint)
            # An account's host serves many deployments; only a serverless endpoint's host is one deployment.
            if said.account:
                self._by_account[said.account.lower(), name].append(one)
            else:
                self._by_host[said.host].append(one)
            if said.deployment and said.region:
                self._by_endpoint[said.deployment.lower(), said.region].append(one)

    def named(self, workspace: str, deployment: str, model: str) -> Placed | None:
        """Return the deployment of that name; a workspace may also be named by the host of its account."""
        key = workspace.lower(), deployment.lower()
        return _meant(self._by_name.get(key) or self._by_account.get(key), model)

    def hosted(self, address: Endpoint, model: str) -> Placed | None:
        """Return the deployment that answers at an address."""
        found = self._by_host.get(address.host)
        if not found and address.deployment and address.region:
            found = self._by_endpoint.get((address.deployment.lower(), address.region))
        if not found and address.deployment and address.account:
            found = self._by_account.get((address.account.lower(), address.deployment.lower()))
        return _meant(found, model)

    def alone(self, name: str, model: str) -> Placed | None:
        """Return the deployment of that name, if only one workspace has one."""
        found = self._alone.get(name.lower(), [])
        return _meant(found, model) if len({one.workspace.lower() for one in found}) == 1 else None


def _meant(found: list[Placed] | None, model: str) -> Placed | None:
    if not found:
        return None
    return next((one for one in reversed(found) if one.model == model), found[-1])
