"""Addresses of both generations of serverless endpoints, of Foundry and of Azure OpenAI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.endpoints import Endpoint, endpoint

NEWER = "mistral-large-prod.eastus2.models.ai.azure.com"
OLDER = "mistral-large-prod-serverless.eastus2.inference.ai.azure.com"
OPENAI = "contoso.openai.azure.com"


@pytest.mark.parametrize(
    "address",
    [
        NEWER,
        f"https://{NEWER}",
        f"HTTPS://{NEWER.upper()}/v1/chat/completions?api-version=2024-05-01-preview",
        f"{NEWER}:443/v1",
        f"{NEWER}.",
        f"//{NEWER}./v1#part",
        f"https://user:secret@{NEWER}:8443/v1/chat/completions",
        f"  {NEWER}  ",
    ],
)
def test_a_serverless_host_names_deployment_and_region(address: str) -> None:
    assert endpoint(address) == Endpoint(host=NEWER, deployment="mistral-large-prod", region="eastus2")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (OLDER, "mistral-large-prod"),
        (OLDER.replace(".ai.azure", ".ml.azure"), "mistral-large-prod"),
        ("mistral-nemo.westus3.inference.ai.azure.com", "mistral-nemo"),
        ("mistral-nemo.swedencentral.inference.ml.azure.com", "mistral-nemo"),
        ("a-serverless-serverless.westus.inference.ai.azure.com", "a-serverless"),
    ],
)
def test_an_older_host_names_the_same_deployment(host: str, name: str) -> None:
    found = endpoint(f"https://{host}/v1/chat/completions")
    assert (found.deployment, found.region) == (name, host.split(".")[1])


def test_a_foundry_host_names_the_account_only() -> None:
    found = endpoint("https://contoso.services.ai.azure.com/models/chat/completions")
    assert found == Endpoint(host="contoso.services.ai.azure.com", account="contoso")


@pytest.mark.parametrize("host", [OPENAI, "contoso.cognitiveservices.azure.com", "contoso.services.ai.azure.com"])
def test_a_deployment_in_the_path_is_taken_as_written(host: str) -> None:
    found = endpoint(f"https://{host}/openai/deployments/Mistral%20Large/chat/completions?api-version=1")
    assert found == Endpoint(host=host, deployment="Mistral Large", account="contoso")


def test_an_account_without_a_deployment_in_the_path_has_none() -> None:
    assert endpoint(f"https://{OPENAI}/openai/v1/responses") == Endpoint(host=OPENAI, account="contoso")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://127.0.0.1:14020/r/shared/x.json", "127.0.0.1"),
        ("http://[::1]:8080/v1", "::1"),
        ("localhost:4000", "localhost"),
        ("gateway.example/openai/deployments/x", "gateway.example"),
        ("a.b.eastus2.models.ai.azure.com", "a.b.eastus2.models.ai.azure.com"),
        (f"{NEWER}.evil.example", f"{NEWER}.evil.example"),
        ("", ""),
    ],
)
def test_an_unknown_host_is_kept_and_says_nothing_more(address: str, host: str) -> None:
    assert endpoint(address) == Endpoint(host=host)


@given(st.text(max_size=80))
def test_no_address_raises(address: str) -> None:
    assert isinstance(endpoint(address), Endpoint)
