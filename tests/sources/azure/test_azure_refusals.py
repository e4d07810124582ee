"""What Azure's real refusals are told as: the role and the scope that are missing, or the true remedy.

Bodies are as Azure sent them to others; each test names where it was seen. Ids are replaced.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.errors import MonitorError
from monitor.sources.azure.refusals import MissingRoleError, Need, NotSignedInError, told
from tests.azure.parts import ACCOUNT, KEY
from tests.azure.server import Answer, Server, error, serving
from tests.azure.sessions import TOKEN, session

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
NEED = Need(role="Cost Management Reader", scope=SUBSCRIPTION)
TENANT = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def azure() -> Iterator[Server]:
    with serving() as server:
        yield server


def refused(azure: Server, answer: Answer, need: Need = NEED) -> MonitorError:
    """What a GET of Resource Manager that is answered so is told as."""
    azure.route("GET", "/thing", lambda _call: answer)
    with session(azure.address) as opened, pytest.raises(MonitorError) as raised:
        opened.arm.get("/thing", {}, subject="costs", need=need)
    assert "\n" not in str(raised.value)
    assert TOKEN not in str(raised.value)
    return raised.value


def blob_refused(azure: Server, status: int, code: str, message: str, detail: str = "") -> MonitorError:
    """What listing a container that is answered so is told as."""
    from azure.storage.blob import ContainerClient

    xml = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>" if detail else ""
    within = f"<Code>{code}</Code><Message>{message}</Message>{xml}"
    body = f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error>{within}</Error>'
    headers = {"content-type": "application/xml", "x-ms-error-code": code}
    azure.route("GET", f"/{ACCOUNT}/box", lambda _call: Answer(status=status, body=body.encode(), headers=headers))
    need = Need(role="Storage Blob Data Reader", scope="storage account 'logs'")
    with (
        ContainerClient(f"{azure.address}/{ACCOUNT}", "box", credential=KEY, retry_total=0) as client,
        pytest.raises(MonitorError) as raised,
        told("logs", need),
    ):
        list(client.list_blobs())
    assert "\n" not in str(raised.value)
    return raised.value


# Roles ----------------------------------------------------------------------------------------------------------------


def test_a_missing_role_is_named_with_the_action_and_the_scope_of_the_body(azure: Server) -> None:
    """Azure/azqr#68, Azure/Azure-Landing-Zones#3668."""
    message = (
        "The client '3c6c' with object id '3c6c' does not have authorization to perform action "
        f"'Microsoft.CostManagement/query/action' over scope '{SUBSCRIPTION}' or the scope is invalid. "
        "If access was recently granted, please refresh your credentials."
    )
    found = refused(azure, error(403, "AuthorizationFailed", message))
    assert isinstance(found, MissingRoleError)
    assert found.what == "access is refused (Microsoft.CostManagement/query/action)"
    assert found.remedy == f"give this identity the role 'Cost Management Reader' at {SUBSCRIPTION}"


@pytest.mark.parametrize(
    ("scope", "assignable"),
    [
        (f"{SUBSCRIPTION}/providers/Microsoft.CostManagement", SUBSCRIPTION),
        (f"{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces", SUBSCRIPTION),
        (f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Insights", f"{SUBSCRIPTION}/resourceGroups/rg"),
        (
            f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a",
            f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a",
        ),
        ("/providers/Microsoft.Management/managementGroups/mg", "/providers/Microsoft.Management/managementGroups/mg"),
    ],
)
def test_the_scope_named_is_one_that_a_role_can_be_given_at(azure: Server, scope: str, assignable: str) -> None:
    message = f"The client 'x' does not have authorization to perform action 'A/b/read' over scope '{scope}'."
    found = refused(azure, error(403, "AuthorizationFailed", message))
    assert isinstance(found, MissingRoleError)
    assert found.scope == assignable


def test_cost_management_says_a_missing_role_with_401(azure: Server) -> None:
    """Azure/azqr#68 and #277: nobody has to sign in again, a role is missing."""
    message = (
        "The client does not have authorization to perform action. Request ID: aefe2d4c-3134-4658-b9d1-f6a1b5c96cb2"
    )
    found = refused(azure, error(401, "RBACAccessDenied", message))
    assert isinstance(found, MissingRoleError)
    assert (found.role, found.scope) == ("Cost Management Reader", SUBSCRIPTION)


def test_log_analytics_names_no_scope_so_the_sources_own_is_told(azure: Server) -> None:
    """microsoft/foundry-dev-tools#734, and the troubleshooting guide of Azure.Monitor.Query."""
    body = {
        "error": {
            "message": "The provided credentials have insufficient access to perform the requested operation",
            "code": "InsufficientAccessError",
            "correlationId": "19312810-2150-47d2-ac01-70c07fd11088",
        }
    }
    need = Need(role="Log Analytics Reader", scope="workspace 5f1c")
    found = refused(azure, Answer(status=403, body=body), need)
    assert found.remedy == "give this identity the role 'Log Analytics Reader' at workspace 5f1c"


def test_storage_says_a_missing_role_as_a_permission_mismatch(azure: Server) -> None:
    """microsoft/AzureStorageExplorer#3767."""
    message = "This request is not authorized to perform this operation using this permission."
    found = blob_refused(azure, 403, "AuthorizationPermissionMismatch", message)
    assert isinstance(found, MissingRoleError)
    assert found.remedy == "give this identity the role 'Storage Blob Data Reader' at storage account 'logs'"


def test_a_refusal_without_a_body_still_names_role_and_scope(azure: Server) -> None:
    found = refused(azure, Answer(status=403, body=b"<html>Forbidden</html>", headers={"content-type": "text/html"}))
    assert found.remedy == f"give this identity the role 'Cost Management Reader' at {SUBSCRIPTION}"


# What no role mends ---------------------------------------------------------------------------------------------------


def test_storages_firewall_is_not_taken_for_a_missing_role(azure: Server) -> None:
    """microsoft/AzureStorageExplorer#3609: its owner had every role, and the firewall kept him out."""
    found = blob_refused(
        azure, 403, "AuthorizationFailure", "This request is not authorized to perform this operation."
    )
    assert found.what == "the storage account's firewall does not let this machine in"
    assert found.remedy.startswith("allow its network there")


def test_an_account_without_public_access_asks_for_a_sign_in(azure: Server) -> None:
    message = "Public access is not permitted on this storage account."
    found = blob_refused(azure, 409, "PublicAccessNotPermitted", message)
    assert found.what == "the storage account answers nobody unknown"


def test_an_account_that_takes_no_keys_says_so(azure: Server) -> None:
    message = "Key based authentication is not permitted on this storage account."
    found = blob_refused(azure, 403, "KeyBasedAuthenticationNotPermitted", message)
    assert (found.what, found.remedy) == ("the storage account takes no keys", "leave credential_env out")


def test_a_token_of_another_tenant_is_told_by_storage_too(azure: Server) -> None:
    """microsoft/AzureStorageExplorer#3147."""
    message = "Server failed to authenticate the request."
    found = blob_refused(azure, 401, "AuthenticationFailed", message, "Issuer validation failed. Issuer did not match.")
    assert isinstance(found, NotSignedInError)
    assert found.what == "the credential is of another tenant"


def test_hidden_costs_name_the_billing_policy(azure: Server) -> None:
    """Azure/azqr#581."""
    message = (
        "Access to cost data has been disabled for account admins. Please query for usage (Quantity dimension) and "
        "contact the billing account admin for access to costs. To enable costs, 'AO View Charges' must be enabled on "
        "the enrollment within the Enterprise portal. (Request ID: xxxxxxxxxxxxxxxxxxxxxx)"
    )
    found = refused(azure, error(400, "AccountCostDisabled", message))
    assert found.what == "the agreement hides costs from subscriptions (AccountCostDisabled)"
    assert "AO view charges" in found.remedy


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "NotFound", "Given subscription 1 doesn't have valid WebDirect/AIRS offer type. (Request ID: 0085)"),
        (
            400,
            "400",
            "Cost Management supports only Enterprise Agreement, Web direct and Microsoft Customer Agreement.",
        ),
    ],
)
def test_a_sponsored_subscription_has_no_cost_management(azure: Server, status: int, code: str, message: str) -> None:
    """Azure/azqr#674 and mivano/azure-cost-cli#24."""
    found = refused(azure, error(status, code, message))
    assert found.what.startswith("Cost Management does not serve this kind of subscription")


# Tokens ---------------------------------------------------------------------------------------------------------------


def test_a_token_of_another_tenant_names_the_right_one(azure: Server) -> None:
    """Azure/azure-sdk-for-net#49391."""
    message = (
        "The access token is from the wrong issuer 'https://sts.windows.net/99999999-9999-9999-9999-999999999999/'. It "
        f"must match the tenant 'https://sts.windows.net/{TENANT}/' associated with this subscription. Please use the "
        f"authority (URL) 'https://login.windows.net/{TENANT}' to get the token."
    )
    found = refused(azure, error(401, "InvalidAuthenticationTokenTenant", message))
    assert isinstance(found, NotSignedInError)
    assert found.remedy == f"sign in to the tenant {TENANT}: az login --tenant, or AZURE_TENANT_ID"


def test_an_expired_token_asks_for_a_new_one(azure: Server) -> None:
    """microsoft/foundry-dev-tools#461."""
    message = "The access token expiry UTC time '6/15/2026 8:22:51 AM' is earlier than current UTC time '6/15/2026'."
    found = refused(azure, error(401, "ExpiredAuthenticationToken", message))
    assert found.what == "the credential has expired"
    assert found.remedy == "take a new one, or sign in again with az login"


def test_a_token_for_another_service_says_that_it_serves_one_only(azure: Server) -> None:
    """Azure-Samples/active-directory-dotnetcore-daemon-v2#145."""
    message = (
        "The access token has been obtained for wrong audience or resource 'api://x'. It should exactly match with one "
        "of the allowed audiences 'https://management.core.windows.net/','https://management.azure.com'."
    )
    found = refused(azure, error(401, "InvalidAuthenticationTokenAudience", message))
    assert found.what == "the credential is for another of Azure's services"


def test_a_token_that_is_none_is_not_quoted(azure: Server) -> None:
    found = refused(azure, error(401, "InvalidAuthenticationToken", f"The access token is invalid: {TOKEN}"))
    assert found.what == "the credential is not accepted (InvalidAuthenticationToken)"
    assert isinstance(found, NotSignedInError)


# What is not there, and other trouble ---------------------------------------------------------------------------------


def test_an_unknown_subscription_may_be_in_another_tenant(azure: Server) -> None:
    found = refused(azure, error(404, "SubscriptionNotFound", "The subscription '1' could not be found."))
    assert found.what == "Azure knows no such thing (SubscriptionNotFound)"
    assert found.remedy == "correct the subscription, or sign in to its tenant"


def test_an_unknown_resource_group_is_corrected_in_the_settings(azure: Server) -> None:
    """pulumi/pulumi#3891."""
    found = refused(azure, error(404, "ResourceGroupNotFound", "Resource group 'xxxrg01' could not be found."))
    assert str(found) == "costs: Azure knows no such thing (ResourceGroupNotFound): correct it in the settings"


def test_a_table_that_is_not_filled_is_named_from_the_innermost_error(azure: Server) -> None:
    """The shape: MicrosoftDocs/feedback#1792; the message: Azure/azure-quickstart-templates#5174."""
    innermost = "'where' operator: Failed to resolve table or column expression named 'ApiManagementGatewayLlmLog'"
    inner = {"code": "SEM0100", "message": innermost}
    middle = {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": inner}
    outer = {"code": "BadArgumentError", "message": "The request had some invalid properties", "innererror": middle}
    found = refused(azure, Answer(status=400, body={"error": outer}))
    assert found.what == "there is no table or column 'ApiManagementGatewayLlmLog'"


def test_a_query_that_is_none_is_told_by_its_innermost_code(azure: Server) -> None:
    """MicrosoftDocs/feedback#1792."""
    inner = {"code": "SEM0003", "message": "Top-level expressions must return tabular results."}
    middle = {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": inner}
    outer = {"code": "BadArgumentError", "message": "The request had some invalid properties", "innererror": middle}
    found = refused(azure, Answer(status=400, body={"error": outer}))
    assert found.what == "Azure refused the request (SEM0003)"


def test_a_service_the_subscription_does_not_use_is_registered(azure: Server) -> None:
    message = (
        "The subscription is not registered to use namespace 'Microsoft.CostManagementExports'. See the documentation."
    )
    found = refused(azure, error(409, "MissingSubscriptionRegistration", message))
    assert found.remedy == "az provider register --namespace Microsoft.CostManagementExports"


def test_a_locked_scope_is_tried_again_later(azure: Server) -> None:
    """Azure/migAz#194."""
    found = refused(azure, error(409, "ScopeLocked", "The scope '/x' cannot perform write operation"))
    assert str(found) == "costs: something else is under way there (ScopeLocked): try again later"


def test_throttling_waits_by_the_sessions_clock_and_is_told_in_the_end(azure: Server) -> None:
    answer = error(429, "TooManyRequests", "Please retry.", retry_after="7")
    azure.route("GET", "/thing", lambda _call: answer)
    with session(azure.address) as opened, pytest.raises(MonitorError, match="Azure is asked too often"):
        opened.arm.get("/thing", {}, subject="costs", need=NEED)
    assert len(azure.calls) == 4
    assert getattr(opened.clock, "slept", 0) == 21


def test_a_failure_of_azures_is_tried_four_times(azure: Server) -> None:
    found = refused(azure, error(503, "ServiceUnavailable", "busy"))
    assert str(found) == "costs: Azure failed with status 503: try again later"
    assert len(azure.calls) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b'{"error": "text"}',
        b'{"error": {"code": 7, "details": [1]}}',
        b"{",
    ],
)
def test_no_body_breaks_the_telling(azure: Server, body: bytes) -> None:
    found = refused(azure, Answer(status=400, body=body))
    assert found.what == "Azure refused the request (400)"


def test_no_text_of_a_body_gets_through_but_what_is_looked_for(azure: Server) -> None:
    canary = "canary-prompt-77"
    message = f"{canary} perform action '{canary}?sig={canary}' over scope 'https://{canary}' named '{canary} x'"
    body: dict[str, Any] = {
        "error": {"code": "Odd", "message": message, "details": [{"code": "SEM1", "message": canary}]}
    }
    for status in (400, 401, 403, 404, 409, 422):
        with serving() as server:
            assert canary not in str(refused(server, Answer(status=status, body=json.dumps(body).encode())))
