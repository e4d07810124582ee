"""Log lines on stderr, as text or JSON, without secrets."""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from monitor.cli.redaction import redacted, secrets_in

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record carries; the rest was said by the caller."""


NOISY = {"azure": logging.INFO, "msal": logging.WARNING, "urllib3": logging.WARNING}
"""The libraries that speak to Azure, and from which level on they are heard under --debug.

Otherwise nothing is heard of them: what matters of it is in our errors. Below its level urllib3 writes down whole
addresses, with their signatures.
"""


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and what the caller added."""

    def __init__(self, secrets: list[str] | None = None) -> None:
        super().__init__()
        self._secrets = secrets or []

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        said = {name: value for name, value in vars(record).items() if name not in STANDARD}
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **said,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, default=str, ensure_ascii=False), self._secrets)


class TextLines(logging.Formatter):
    """Time, level, logger and message."""

    def __init__(self, secrets: list[str] | None = None) -> None:
        super().__init__()
        self._secrets = secrets or []

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        text = f"{_time(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        whole = f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
        return redacted(whole, self._secrets)


def start(*, level: str, form: str, debug: bool = False) -> None:
    """Send everything logged from `level` on to stderr; calling it again replaces what was set.

    `debug`: let the libraries that speak to Azure be heard, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    secrets = secrets_in(os.environ)
    handler.setFormatter(JsonLines(secrets) if form == "json" else TextLines(secrets))
    _send("monitor", handler, level.upper())
    for name, least in NOISY.items():
        _send(name, handler if debug else logging.NullHandler(), least)


def _send(name: str, handler: logging.Handler, level: int | str) -> None:
    logger = logging.getLogger(name)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
