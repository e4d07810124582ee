"""What LiteLLM's two logs, the standard logging payload and the spend logs, have in common."""

from msgspec import Struct

from monitor.domain import throttle
from monitor.domain.records import Cause, Ignored
from monitor.sources.completion import UNREPORTED, Count, Tokens, Usage, tokens

FROM_CACHE = Ignored("answered from the gateway's cache, not billed")
NEVER_SENT = Ignored("refused by the gateway, never sent")

OK = 200
PROVIDERS = ("azure_ai/", "azure/", "mistral/")
VENDOR = "vendor_rate_limit"
OWN_ERRORS = frozenset({"BudgetExceededError", "ProxyRateLimitError"})


class Error(Struct, gc=False):
    """`error_information`: what a failed call ran into."""

    error_code: str | int | None = None
    error_class: str | None = None
    error_message: str | None = None
    error_rate_limit_category: str | None = None
    error_rate_limit_type: str | None = None


class Counts(Struct, gc=False):
    """The token counts of one logged call, and the usage object they come from, if it is there."""

    prompt_tokens: Count | None
    completion_tokens: Count | None
    total_tokens: Count | None
    usage_object: Usage | None


def ignored(cache_hit: bool | str | None, error: Error) -> Ignored | None:
    """Say why a call is none that Azure answered or refused, or None. Spend logs write booleans as text."""
    if str(cache_hit).lower() == "true":
        return FROM_CACHE
    category = error.error_rate_limit_category
    if (category and category != VENDOR) or error.error_class in OWN_ERRORS:
        return NEVER_SENT
    return None


def status_of(said: str | None, error: Error) -> int | None:
    """Return the HTTP status: 200 of a success, that of the error, or None where it is not known.

    For an answer that it could not read itself LiteLLM writes 500, although Azure answered 200 and bills it.
    """
    if said == "success":
        return OK
    code = str(error.error_code or "")
    return int(code) if code.isascii() and code.isdigit() and len(code) == 3 and code[0] != "0" else None


def tokens_of(status: int | None, counts: Counts) -> Tokens:
    """Return the tokens; the zeros that LiteLLM writes for failures and for calls without any usage report nothing.

    The usage object, which keeps explicit zeros, comes first.
    """
    if counts.usage_object is not None:
        return tokens(counts.usage_object)
    if status != OK or not (counts.prompt_tokens or counts.completion_tokens):
        return UNREPORTED
    return tokens(
        Usage(
            prompt_tokens=counts.prompt_tokens,
            completion_tokens=counts.completion_tokens,
            total_tokens=counts.total_tokens,
        )
    )


def cause_of(status: int | None, error: Error, said: throttle.Headers) -> Cause:
    """Say which limit refused the call: LiteLLM's own reading of the error, else the error's words and headers."""
    if status == throttle.THROTTLED:
        if error.error_rate_limit_type == "tokens":
            return Cause.TOKENS
        if error.error_rate_limit_type in {"requests", "concurrent_requests"}:
            return Cause.REQUESTS
    return throttle.classify(status, error.error_message or "", said)


def bare_model(model: str | None) -> str | None:
    """Return the model without the provider that LiteLLM puts in front: azure_ai/mistral-large -> mistral-large."""
    for provider in PROVIDERS:
        if model and model.startswith(provider):
            return model[len(provider) :] or None
    return model or None
