"""The bundled models: their names, their limits and their list prices."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.catalogue import bundled, listed_prices, settings_prices
from monitor.config.settings import Price
from monitor.domain.catalogue import Catalogue, Model
from monitor.domain.period import day_number
from monitor.domain.prices import PriceBook

SEED_REGIONS = {"eastus", "eastus2", "northcentralus", "southcentralus", "westus", "westus3", "swedencentral"}
SERVERLESS = ["mistral-large-2402", "mistral-large-2407", "mistral-small", "ministral-3b", "mistral-nemo"]
OPEN = ["mixtral-8x7b-v01", "mixtral-8x7b-instruct-v01", "mistral-7b-v01", "mistral-7b-instruct-v01"]
LATEST = day_number(date(2026, 11, 1))


@pytest.mark.parametrize("slug", SERVERLESS)
def test_the_seeds_serverless_models_have_its_regions_limits_and_prices(slug: str) -> None:
    model = bundled().models[slug]
    assert model.kind == "serverless"
    assert set(model.regions) == SEED_REGIONS
    assert (model.tokens_per_minute, model.requests_per_minute) == (200_000, 1_000)
    assert model.max_tokens_default == 8192
    assert {price.meter for price in model.prices} == {"input", "output"}


@pytest.mark.parametrize("slug", OPEN)
def test_open_models_run_on_the_customers_compute_and_have_no_token_price(slug: str) -> None:
    model = bundled().models[slug]
    assert model.kind == "managed-compute"
    assert model.prices == ()
    assert model.tokens_per_minute is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Mistral-large-2407", "mistral-large-2407"),
        ("Mistral Large (2407)", "mistral-large-2407"),
        ("azure_ai/mistral-large-latest", "mistral-large-2407"),
        ("azureml://registries/azureml-mistral/models/Mistral-large/versions/1", "mistral-large-2402"),
        ("azureml://registries/azureml-mistral/models/Mistral-small", "mistral-small"),
        ("000-000.ministral-3b-2410-offer".partition(".")[2], "ministral-3b"),
        ("Ministral-3B", "ministral-3b"),
        ("mistral/open-mistral-nemo", "mistral-nemo"),
        ("mistralai-Mixtral-8x7B-Instruct-v01", "mixtral-8x7b-instruct-v01"),
        ("Mistral-Large-3", "mistral-large-3"),
    ],
)
def test_a_model_is_known_by_any_of_its_names(name: str, slug: str) -> None:
    assert bundled().canonical(name) == slug


@pytest.mark.parametrize("name", ["", None, "mistral-large-2", "mistral-large-9999", "gpt-4o", "mistral", "large-2407"])
def test_a_name_that_is_not_known_is_never_replaced_by_a_similar_one(name: str | None) -> None:
    assert bundled().canonical(name) is None


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Mistral Large 2407 - mistral-large-2407-plan - paygo-inference-input-tokens", "mistral-large-2407"),
        ("Mistral Large - mistral-large-plan - paygo-inference-input-tokens", "mistral-large-2402"),
        ("Mistral-Large-3 Inp glbl Tokens", "mistral-large-3"),
        ("000-000.mistral-ai-large-2407-offer", "mistral-large-2407"),
        ("Mistral Large 2501 - paygo-inference-input-tokens", None),
        ("Unmistral-nemos", None),
        ("Claude Sonnet 4.6 - msft-sonnet-4-6-flat-100 - paygo-inference-input-tokens", None),
    ],
)
def test_the_longest_name_in_a_billers_text_wins_and_an_unknown_version_is_no_model(text: str, slug: str) -> None:
    assert bundled().model_in(text) == slug


@pytest.mark.parametrize(
    ("resource", "slug"),
    [
        ("mistral-large-2407-1f2e3d4c-0000-4000-8000-0123456789ab", "mistral-large-2407"),
        ("Mistral-Large-1f2e3d4c-0000-4000-8000-0123456789ab", "mistral-large-2402"),
        ("mistral-large-2-1a2b3c4d-5e6f-7-0123456789abcdef0123456789abcdef", None),
        ("mistral-large-prod", None),
        ("mistral-large-2411", "mistral-large-2411"),
        ("mistral-large-2599", None),
    ],
)
def test_a_resource_cut_off_or_named_by_people_does_not_name_a_model(resource: str, slug: str) -> None:
    assert bundled().model_of_resource(resource) == slug


def test_two_models_cannot_answer_to_one_name() -> None:
    one = Model(slug="a-1", name="A 1", kind="serverless")
    other = Model(slug="b", name="B", kind="serverless", aliases=("A (1)",))
    with pytest.raises(ValueError, match="two models"):
        Catalogue((one, other))


def test_the_list_equals_the_recorded_price_map(shared_data: Path) -> None:
    recorded = json.loads(
        (shared_data / "prices" / "litellm_azure_mistral_prices.json").read_text("utf-8"), parse_float=Decimal
    )
    book = PriceBook(listed_prices(bundled()))
    launch = recorded.pop("azure/mistral-large-2402")
    del recorded["azure/mistral-large-latest"]
    compared = 0
    for name, entry in recorded.items():
        slug = bundled().canonical(name)
        assert slug is not None, name
        if "input_cost_per_token" not in entry:
            assert bundled().models[slug].prices == ()
            continue
        for meter in ("input", "output"):
            price = book.price(slug, meter, LATEST)
            assert price is not None
            assert price.amount / price.per == entry[f"{meter}_cost_per_token"]
            compared += 1
        retired = bundled().models[slug].retired
        assert name.endswith("-latest") or (retired and retired.isoformat()) == entry.get("deprecation_date")
    assert compared == 22
    first = book.price("mistral-large-2402", "output", day_number(date(2024, 3, 1)))
    assert first is not None
    assert first.amount / first.per == launch["output_cost_per_token"]


def test_a_lowered_price_counts_from_its_day_on() -> None:
    book = PriceBook(listed_prices(bundled()))
    before = book.price("mistral-large-2407", "input", day_number(date(2024, 10, 31)))
    after = book.price("mistral-large-2407", "input", day_number(date(2024, 11, 1)))
    assert before is not None
    assert after is not None
    assert (before.amount, after.amount) == (Decimal(3), Decimal(2))
    assert book.price("mistral-large-2407", "input", day_number(date(2024, 7, 23))) is None


def test_every_list_price_names_its_source_and_divides_exactly() -> None:
    for price in listed_prices(bundled()):
        assert price.source
        assert price.per == 1_000_000
        assert price.currency == "USD"


def test_settings_mean_a_model_by_any_of_its_names() -> None:
    said = [
        Price(model=name, meter="input", amount=Decimal(1), per=1000, currency="EUR", effective_from=date(2025, 1, 1))
        for name in ("azure_ai/Mistral-Nemo", "our-own-model")
    ]
    assert [price.model for price in settings_prices(said, bundled())] == ["mistral-nemo", "our-own-model"]


@pytest.mark.parametrize(
    ("tokens", "requests", "limits"),
    [
        (None, None, (200_000, 1_000)),
        (400_000, None, (400_000, 1_000)),
        (None, 60, (200_000, 60)),
        (400_000, 60, (400_000, 60)),
    ],
)
def test_each_limit_that_a_model_does_not_have_is_azures_usual_one(
    tokens: int | None, requests: int | None, limits: tuple[int, int]
) -> None:
    model = Model(slug="m", name="M", kind="serverless", tokens_per_minute=tokens, requests_per_minute=requests)
    assert Catalogue((model,)).limits("m") == limits


def test_an_unknown_model_has_azures_usual_limits() -> None:
    assert Catalogue(()).limits("nobody-knows-it") == (200_000, 1_000)
