"""Why Azure was not reached at all, told from the exceptions of the network libraries by their names.

Their texts are never shown: they quote addresses with signatures, and proxies with passwords. They are looked at only
where azure-identity has kept nothing else of them.
"""

from collections.abc import Iterator

CAUSES = (
    (
        ("ProxyError", "InvalidProxyURL", "ProxySchemeUnknown", "ProxySchemeUnsupported"),
        ("Unable to connect to proxy", "Tunnel connection failed"),
        "the proxy lets nothing through",
        "correct HTTPS_PROXY and NO_PROXY",
    ),
    (
        ("SSLError", "SSLCertVerificationError", "CertificateError"),
        ("CERTIFICATE_VERIFY_FAILED",),
        "the certificate that Azure shows is not trusted",
        "name your proxy's certificate authority in REQUESTS_CA_BUNDLE",
    ),
    (
        ("NameResolutionError", "gaierror"),
        ("Failed to resolve", "Name or service not known"),
        "the name of Azure's host cannot be resolved",
        "check DNS, the proxy and [azure]",
    ),
    (
        ("ConnectTimeout", "ConnectTimeoutError", "ReadTimeout", "ReadTimeoutError", "TimeoutError"),
        ("timed out",),
        "Azure did not answer in time",
        "try again later, or check the network and its firewall",
    ),
    (
        ("NewConnectionError", "ConnectionRefusedError"),
        ("Connection refused",),
        "the connection to Azure is refused",
        "check the network, the proxy and [azure]",
    ),
    (
        ("IncompleteRead", "ProtocolError", "RemoteDisconnected", "ConnectionResetError", "ChunkedEncodingError"),
        ("Connection aborted",),
        "the connection broke in the middle of an answer",
        "try again",
    ),
)
"""Names of exceptions from requests, urllib3 and the standard library, phrases of theirs, meaning, and the remedy.

The first that fits counts: a proxy's refusal is also a failed connection.
"""

DEEPEST = 20


def unreached(error: BaseException) -> tuple[str, str] | None:
    """Return what was in the way of an error, and the remedy; None if it is no failure of the network."""
    names = {type(one).__name__ for one in _behind(error)}
    return next(((what, remedy) for fitting, _, what, remedy in CAUSES if names.intersection(fitting)), None)


def unreached_by(text: str) -> tuple[str, str] | None:
    """Return what was in the way of an error of which only the text is left, and the remedy."""
    return next(((what, remedy) for _, phrases, what, remedy in CAUSES if any(one in text for one in phrases)), None)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all those that led to it: libraries hand them on as causes, arguments and attributes."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        further = [one.__cause__, one.__context__, *one.args]
        further += [getattr(one, name, None) for name in ("inner_exception", "reason", "original_error")]
        waiting += [next_ for next_ in further if isinstance(next_, BaseException)]
