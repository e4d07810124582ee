"""Which rows of a bill are charges of a model offer, by what the biller says.

Either the Marketplace bills it (publisher type, SaaS resource or meter category) and its meter, publisher, product,
plan, offer or resource names a model offer; or Azure bills it itself, on a Foundry account, for a meter of a Mistral
model. Other Marketplace purchases are other services.
"""

from typing import NamedTuple

from monitor.domain.catalogue import Catalogue, is_mistral
from monitor.domain.meters import classify, is_model_meter
from monitor.domain.records import MeterClass


class Words(NamedTuple):
    """What a row says about what is billed."""

    publisher_type: str
    publisher_name: str
    meter_category: str
    meter_subcategory: str
    meter_name: str
    product: str
    plan: str
    offer: str
    service: str
    resource: str
    resource_type: str


class Recognised(NamedTuple):
    """What the words of a row mean."""

    is_model: bool
    marketplace: bool
    model: str | None
    meter: MeterClass


def recognise(words: Words, catalogue: Catalogue) -> Recognised:
    """Decide what is billed; the model is None where the words name none that the catalogue knows."""
    marketplace = _is_marketplace(words)
    billed = (words.meter_name, words.product, words.plan, words.meter_subcategory, words.offer)
    model = next(filter(None, map(catalogue.model_in, billed)), None)
    if marketplace:
        model = model or catalogue.model_of_resource(words.resource)
        named = any(map(is_mistral, (words.publisher_name, *billed)))
        is_model = named or model is not None or is_model_meter(words.meter_name)
    else:
        is_model = _is_foundry(words) and any(map(is_mistral, billed))
    if not is_model:
        return Recognised(False, marketplace, None, "other")
    return Recognised(True, marketplace, model, classify(words.meter_name))


def _is_marketplace(words: Words) -> bool:
    return (
        words.publisher_type.lower() in {"marketplace", "vendor"}
        or "/providers/microsoft.saas/" in words.resource.lower()
        or "microsoft.saas" in words.resource_type.lower()
        or words.meter_category.lower() == "saas"
    )


def _is_foundry(words: Words) -> bool:
    said = f"{words.service} {words.meter_category} {words.product} {words.resource} {words.resource_type}".lower()
    return any(name in said for name in ("cognitiveservices", "cognitive services", "foundry", "machinelearning"))
