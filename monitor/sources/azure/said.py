"""What the body of a refusal says, whichever of Azure's services and libraries it comes from.

Resource Manager and Log Analytics answer with JSON, one error within another (details, innererror); Storage with XML
and a header x-ms-error-code; the libraries keep of it what they like.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

LONGEST = 64 * 1024
"""Characters of a body that are looked at."""
DEEPEST = 6

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_XML = re.compile(r"<(Code|Message|AuthenticationErrorDetail)>([^<]*)</")


class Said(Struct, frozen=True, kw_only=True):
    """A refusal in parts: `codes` and `messages` from the outermost error to the innermost.

    Codes are names and may be shown; messages may hold whatever was sent, and are only for looking things up in.
    """

    status: int = 0
    codes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """The outermost code, '' if there is none."""
        return self.codes[0] if self.codes else ""

    @property
    def text(self) -> str:
        """All messages; for looking things up in, not for showing."""
        return "\n".join(self.messages)


def said(error: Exception) -> Said:
    """Return what an error of the Azure libraries says."""
    # The body first: what a library keeps may be the innermost of its errors.
    parts = [*_body(error), *_kept(error)]
    codes = [_plain(getattr(error, "error_code", None)), *(code for code, _ in parts), _header(error)]
    return Said(
        status=getattr(error, "status_code", None) or 0,
        codes=tuple(dict.fromkeys(code for code in codes if code_like(code))),
        messages=tuple(dict.fromkeys(filter(None, (message for _, message in parts)))),
    )


def code_like(text: str) -> bool:
    """Whether a text is the name of an error, and not a sentence that may hold anything."""
    return _CODE.fullmatch(text) is not None


def _kept(error: Exception) -> Iterator[tuple[str, str]]:
    """What a library has kept: a model of its own, or the error as azure-core parses it."""
    body: Any = getattr(error, "model", None) or getattr(error, "error", None)
    # What azure-core parses has no error within; asking it for one is deprecated.
    inner = body if hasattr(body, "innererror") else getattr(body, "error", None) or body
    yield _plain(getattr(inner, "code", None)), _plain(getattr(inner, "message", None))


def _body(error: Exception) -> Iterator[tuple[str, str]]:
    from azure.core.exceptions import AzureError

    try:
        text = error.response.text()[:LONGEST]  # type: ignore[attr-defined]
    except (AttributeError, AzureError, RuntimeError, ValueError):
        # There never was a body, or it is gone, or it is no text.
        return
    try:
        yield from _nested(json.loads(text), 0)
    except ValueError:
        found = dict(_XML.findall(text))
        yield found.get("Code", ""), found.get("Message", "")
        yield "", found.get("AuthenticationErrorDetail", "")


def _nested(body: Any, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(body, dict) or depth > DEEPEST:
        return
    lower = {str(name).lower(): value for name, value in body.items()}
    yield _plain(lower.get("code")), _plain(lower.get("message"))
    within = [lower.get("error"), lower.get("innererror")]
    details = lower.get("details")
    for inner in [*within, *(details if isinstance(details, list) else [])]:
        yield from _nested(inner, depth + 1)


def _header(error: Exception) -> str:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return _plain(headers.get("x-ms-error-code"))


def _plain(value: Any) -> str:
    value = getattr(value, "value", value)
    return value if isinstance(value, str) else ""
