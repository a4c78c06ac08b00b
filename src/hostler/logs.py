"""The server's own log: structured lines on standard error, through the redactor."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from hostler.core.redaction import Redactor


def configure(redactor: Redactor, *, json: bool) -> None:
    """Write structured lines to standard error: JSON when `json`, else for people."""

    def mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return redactor.json(event)

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
