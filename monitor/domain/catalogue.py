"""The models that Azure sells: what they are called, where, within which limits and at which list prices.

Names are compared by their letters and digits only: "Mistral Large (2407)", "Mistral-large-2407" and
"azureml://registries/azureml-mistral/models/Mistral-large-2407/versions/1" are one. A name that the catalogue does not
know is never replaced by a similar one.
"""

import re
from datetime import date
from functools import cached_property
from typing import Literal, NamedTuple

from msgspec import Struct

from monitor.domain.records import Price


class Limits(NamedTuple):
    """What one deployment may use in one minute."""

    tokens: int
    requests: int


DEFAULT = Limits(tokens=200_000, requests=1_000)
"""Azure's limits for serverless deployments of models that have none of their own."""

Kind = Literal["serverless", "managed-compute", "azure-sold"]

_REGISTRY = re.compile(r"^azureml://.*?/models/(?P<model>[^/]+)(/versions/[^/]*)?/?$", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")
_FAMILY = re.compile(
    r"(?<![a-z])(mistral|ministral|mixtral|codestral|pixtral|magistral|devstral|voxtral)", re.IGNORECASE
)

# What may follow a name in a text: not more of the word, and not a version that would make it another model.
_BOUNDARY = r"(?![a-z0-9])(?!-\d{1,4}(?:-|$))"
_RESOURCE_TAIL = re.compile(r"^(?!\d{1,4}(?:-|$))[0-9a-f]{4,}(-[0-9a-f]+)*$")


class Model(Struct, frozen=True, kw_only=True):
    """One model as Azure sells it. Limits are per deployment; `max_tokens_default`: where a request sets none.

    `retired` is the day from which deployments stop answering; None: not announced. Models on managed compute have no
    token price and no limits of their own.
    """

    slug: str
    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    context_tokens: int | None = None
    max_tokens_default: int | None = None
    retired: date | None = None
    prices: tuple[Price, ...] = ()


class Catalogue:
    """All models, found by any of their names."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        """Index the models; ValueError if two of them answer to one name."""
        self.models = {model.slug: model for model in models}
        self._named: dict[str, str] = {}
        for model in models:
            for name in (model.slug, model.name, *model.aliases):
                if self._named.setdefault(_plain(name), model.slug) != model.slug:
                    raise ValueError(f"two models are named {name!r}")

    def canonical(self, name: str | None) -> str | None:
        """Return the slug of the model of that name, whatever its case, prefix or registry path; None if not known."""
        if not name:
            return None
        registered = _REGISTRY.match(name.strip())
        bare = registered["model"] if registered else name.strip().rstrip("/").rpartition("/")[2]
        return self._named.get(_plain(bare))

    def limits(self, model: str) -> Limits:
        """Return the limits of a model's deployments that nobody has set: each the model's own, else Azure's usual."""
        known = self.models.get(model)
        return Limits(
            tokens=known.tokens_per_minute if known and known.tokens_per_minute else DEFAULT.tokens,
            requests=known.requests_per_minute if known and known.requests_per_minute else DEFAULT.requests,
        )

    def model_in(self, text: str) -> str | None:
        """Return the slug of the model that a biller's text names (meter, product, plan); the longest name wins."""
        found = max(self._anywhere.finditer(_plain(text)), key=lambda match: len(match[0]), default=None)
        return self._named[found[0]] if found else None

    def model_of_resource(self, resource: str) -> str | None:
        """Return the slug of the model that a Marketplace resource is named after: `[model offer name]-[GUID]`.

        Azure cuts long names off, and people name things too: a family's bare name counts only before a GUID.
        """
        plain = _plain(resource.rstrip("/").rpartition("/")[2])
        found = max(self._versioned.finditer(plain), key=lambda match: len(match[0]), default=None)
        if found:
            return self._named[found[0]]
        cuts = (position for position, letter in enumerate(plain) if letter == "-")
        named = (self._named.get(plain[:cut]) for cut in cuts if _RESOURCE_TAIL.match(plain[cut + 1 :]))
        return self._named.get(plain) or next(filter(None, named), None)

    @cached_property
    def _anywhere(self) -> re.Pattern[str]:
        return _pattern(list(self._named))

    @cached_property
    def _versioned(self) -> re.Pattern[str]:
        return _pattern([name for name in self._named if re.search(r"\d", name)])


def is_mistral(text: str) -> bool:
    """Whether a text names one of Mistral's model families or Mistral itself, known to the catalogue or not."""
    return _FAMILY.search(text) is not None


def _plain(name: str) -> str:
    return _SEPARATORS.sub("-", name.lower()).strip("-")


def _pattern(names: list[str]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, longest_first))}){_BOUNDARY}")
