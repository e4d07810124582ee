"""How the Azure libraries wait before they try again: by our clock, so that the waiting can be told."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from azure.core.pipeline.policies import RetryPolicy


class Retry(RetryPolicy[Any, Any]):
    """The retry policy of azure-core, which waits by the function it is given."""

    def __init__(self, sleep: Callable[[float], None], **options: Any) -> None:
        self._by = SimpleNamespace(sleep=sleep)
        super().__init__(**options)

    def sleep(self, settings: dict[str, Any], _transport: Any, response: Any = None) -> None:
        """Wait as long as the answer asks for, else longer each time."""
        super().sleep(settings, self._by, response)  # type: ignore[arg-type]
