"""The server's own log: structured lines on standard error, through the redactor, and the last of them in memory.

What libraries say through Python's own logging goes the same way, so that no line passes the redactor by.
"""

import asyncio
import json
import logging
import sys
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog

from hostler.core.redaction import Redactor

LINES = 2000
LONGEST = 4000
"""Characters of a line that are remembered."""
SOON = 0.1
"""Seconds that a line waits for others."""


_least = logging.INFO
"""The level below which nothing is written."""


class Recent:
    """The last lines of the server's log as JSON, bounded in number and length; they are redacted when they come."""

    def __init__(self, lines: int = LINES) -> None:
        self._lines: deque[str] = deque(maxlen=lines)

    def remember(self, event: MutableMapping[str, Any]) -> None:
        """Take one more line."""
        short = {key: _shortened(value) for key, value in event.items()}
        self._lines.append(json.dumps(short, ensure_ascii=False, default=repr))

    def take(self, lines: Iterable[str]) -> None:
        """Take lines that are short and masked."""
        self._lines.extend(lines)

    def lines(self, *naming: str) -> list[str]:
        """Return the lines, oldest first; with `naming`, only those that hold one of these ids."""
        return [line for line in self._lines if not naming or any(one in line for one in naming)]


class Lines:
    """Writes lines that are JSON already, all of a moment at once: masking many together costs as much as one."""

    def __init__(self, redactor: Redactor, recent: Recent, *, json: bool) -> None:
        self._redactor = redactor
        self._recent = recent
        self._json = json
        self._waiting: list[str] = []

    def add(self, line: str) -> None:
        """Write a line of the level info, `SOON` at the latest; called in the event loop."""
        if _least > logging.INFO:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_later(SOON, self.flush)
        self._waiting.append(line)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not self._json:
            for line in waiting:
                structlog.get_logger().info(**json.loads(line))
        elif waiting:
            text = self._redactor.text("\n".join(waiting))
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
            self._recent.take(text.split("\n"))


class _Ours(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a line of ours; one that cannot be written is left out."""
        try:
            level = max(logging.INFO, min(record.levelno, logging.CRITICAL))
            structlog.get_logger().log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 logging must not end what is logged
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: the standard library would print the record as it is."""


def is_json(log_format: str) -> bool:
    """Return whether lines are written as JSON: where the setting says so, or where nobody reads along."""
    return log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())


def set_level(level: str) -> None:
    """Leave out what is below a level from now on."""
    global _least
    _least = number = getattr(logging, level.upper())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))


def configure(redactor: Redactor, *, json: bool, level: str = "info") -> Recent:
    """Write structured lines to standard error: JSON when `json`, else for people; return the last of them."""
    recent = Recent()

    def mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Mask every value, also one that is only made text of when it is written."""
        plain = {key: _plain(value) for key, value in event.items()}
        masked = redactor.json(plain)
        recent.remember(masked)
        return masked

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
    set_level(level)
    root = logging.getLogger()
    for known in [handler for handler in root.handlers if isinstance(handler, _Ours)]:
        root.removeHandler(known)
    root.addHandler(_Ours(logging.WARNING))
    return recent


def _plain(value: Any) -> Any:
    """Return a value as text unless JSON has it as it is or as a container, whose own values are looked at then."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else ""
    return f"{text[:LONGEST]}…" if len(text) > LONGEST else value
