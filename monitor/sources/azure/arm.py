"""Azure Resource Manager over HTTP: what no client library offers, asked with the one credential."""

import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from json import loads
from typing import TYPE_CHECKING, Any

from monitor import __version__
from monitor.errors import UnreachableError
from monitor.sources.azure.cloud import Azure
from monitor.sources.azure.refusals import Need, told

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpRequest, HttpResponse

AGENT = f"maas-monitor/{__version__}"
MAX_PAGES = 10_000


class Arm:
    """Asks Azure Resource Manager; answers are decoded JSON with its decimals exact.

    What fails for now is tried again up to three times, waiting by `sleep` as long as Azure says.
    """

    def __init__(
        self, azure: Azure, credential: "TokenCredential", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy, UserAgentPolicy
        from azure.mgmt.core import ARMPipelineClient

        from monitor.sources.azure.credentials import Bearer
        from monitor.sources.azure.waiting import Retry

        self.address = azure.addresses.resource_manager
        self._client: ARMPipelineClient[Any, Any] = ARMPipelineClient(
            base_url=self.address,
            policies=[
                RequestIdPolicy(),
                HeadersPolicy(),
                UserAgentPolicy(AGENT),
                Retry(sleep, retry_total=3),
                Bearer(credential, azure.arm_scope),
            ],
        )

    def get(self, path: str, parameters: Mapping[str, str], *, subject: str, need: Need) -> dict[str, Any]:
        """Return the JSON object at a path or a whole address (a nextLink); a MonitorError if there is none."""
        return self._json("GET", path, parameters, None, subject, need)

    def post(self, path: str, parameters: Mapping[str, str], body: Any, *, subject: str, need: Need) -> dict[str, Any]:
        """Return the JSON object that a body is answered with; a MonitorError if it is refused."""
        return self._json("POST", path, parameters, body, subject, need)

    def pages(self, path: str, parameters: Mapping[str, str], *, subject: str, need: Need) -> Iterator[Any]:
        """Yield the members of a list, page by page; a page may be empty and have a next one."""
        at, asked, seen = path, dict(parameters), set[str]()
        while at:
            refuse_endless(at, seen, subject)
            page = self.get(at, asked, subject=subject, need=need)
            yield from page.get("value") or ()
            at, asked = str(page.get("nextLink") or ""), {}

    def send_once(self, request: "HttpRequest") -> "HttpResponse":
        """Send one request whose address is whole, and never again by itself; return its answer, whatever its status.

        Raises what azure-core raises.
        """
        return self._sent(request, retry_total=0)

    def _sent(self, request: "HttpRequest", **options: Any) -> "HttpResponse":
        if not request.url.startswith(f"{self.address}/"):
            # A link in an answer decides where the token is sent to: nowhere else.
            raise UnreachableError(self.address, "its answer leads to another host", "check [azure]")
        response: HttpResponse = self._client.send_request(request, **options)
        return response

    def _json(
        self, method: str, path: str, parameters: Mapping[str, str], body: Any, subject: str, need: Need
    ) -> dict[str, Any]:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        address = path if path.startswith(("http://", "https://")) else f"{self.address}{path}"
        with told(subject, need):
            response = self._sent(HttpRequest(method, address, params=dict(parameters) or None, json=body))
            if response.status_code >= 400:
                raise HttpResponseError(response=response, error_format=ARMErrorFormat)
            text = response.text()
        try:
            answer = loads(text, parse_float=Decimal) if text.strip() else {}
        except (ValueError, RecursionError):
            raise UnreachableError(subject, "Azure's answer is not JSON", "try again later") from None
        if not isinstance(answer, dict):
            raise UnreachableError(subject, "Azure's answer is no JSON object", "try again later")
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def refuse_endless(page: str, seen: set[str], subject: str) -> None:
    """Remember by what a page is asked for; UnreachableError if it was seen before, or there were too many."""
    if page in seen or len(seen) >= MAX_PAGES:
        raise UnreachableError(subject, "Azure's list does not end", "try again later, or report this to Azure")
    seen.add(page)
