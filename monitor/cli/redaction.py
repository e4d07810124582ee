"""What must never be printed, taken out of what is: the last door before a terminal or a log.

Nothing of ours writes secrets; texts of other libraries, shown by --debug, may.
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
LEAST = 8
"""Shorter values of variables are words that occur anywhere."""

_SECRET_NAME = re.compile(r"(?i)token|key|secret|password|passwd|pwd|sas|signature|connection_string|credential")
_PROXY_NAME = re.compile(r"(?i)_proxy$")
_SIGNED = re.compile(r"(?i)(\bsig=)[^&\s\"'<>\\]+")
_NAMED = re.compile(
    r"(?i)(\b(?:client_secret|client_assertion|access_token|refresh_token|password|accountkey|sharedaccesssignature)"
    r"\"?'?\s*[=:]\s*\"?'?)[^&\s\"',;}]+"
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|sharedkey)\s+)[\w.~+/=:-]{6,}")
_USER = re.compile(r"(://[^\s:/@\"']*:)[^\s/@\"']+(@)")
_JWT = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")
_ACCOUNT_KEY = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{86}==")


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without signatures, tokens, keys and passwords, and without the secrets named."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern in (_SIGNED, _NAMED, _BEARER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    text = _USER.sub(rf"\1{HIDDEN}\2", text)
    return _ACCOUNT_KEY.sub(HIDDEN, _JWT.sub(HIDDEN, text))


def secrets_in(environ: Mapping[str, str]) -> list[str]:
    """Return the secrets that variables hold, by the names of the variables, in every spelling; longest first."""
    found: set[str] = set()
    for name, value in environ.items():
        if _PROXY_NAME.search(name):
            found.update(_passwords(value))
        elif _SECRET_NAME.search(name) and not value.startswith(("/", "http://", "https://")):
            found.add(value.strip())
    spellings = {spelt for secret in found for spelt in (secret, quote(secret, safe=""), unquote(secret))}
    return sorted((one for one in spellings if len(one) >= LEAST), key=len, reverse=True)


def _passwords(address: str) -> list[str]:
    try:
        password = urlsplit(address if "://" in address else f"http://{address}").password
    except ValueError:
        return [address]
    return [password] if password else []
