"""Cuts a stream of server-sent events at their ends, so that a meter can read along while the bytes pass."""

import json
from typing import cast

from hostler.models.gateway.meters import Body, Meter

MOST = 64 << 20
"""Bytes of one event; a provider that sends more is not read any further."""


class Events:
    """One stream. Its bytes pass as they are, the end of its last event excepted.

    Until that end has come no client takes the event for whole, so the call's end can be recorded first.
    """

    def __init__(self, meter: Meter, *, drop_usage: bool = False) -> None:
        self._meter = meter
        self._drop_usage = drop_usage
        self._open = bytearray()
        self._passed = 0
        """How much of the open event has passed already."""
        self._looked = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what may pass now, and what may pass once the end of the call is recorded."""
        self._open += data
        now = bytearray()
        while end := self._end():
            event, passed, complete = bytes(self._open[:end]), self._passed, self._meter.complete
            del self._open[:end]
            self._passed = self._looked = 0
            dropped = self._show(event)
            if self._meter.complete and not complete:
                rest = bytes(self._open)
                self._open.clear()
                return bytes(now), event[passed:] + rest
            now += b"" if dropped else event[passed:]
        if not self._drop_usage:
            now += self._open[self._passed :]
            self._passed = len(self._open)
        if len(self._open) > MOST:
            raise ValueError("an event without an end")
        return bytes(now), b""

    def rest(self) -> bytes:
        """Return what was kept of an event that never ended."""
        return bytes(self._open[self._passed :])

    def _end(self) -> int:
        """Return where the open event ends, behind its blank line; 0 when that has not come."""
        start = max(0, self._looked - 2)
        ends = [at + len(mark) for mark in (b"\n\n", b"\n\r\n") if (at := self._open.find(mark, start)) >= 0]
        self._looked = len(self._open)
        return min(ends, default=0)

    def _show(self, event: bytes) -> bool:
        """Show a whole event to the meter; return whether it is only here because we asked for the count."""
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if data == b"[DONE]":
            self._meter.done()
            return False
        try:
            body: object = json.loads(data)
        except (ValueError, RecursionError):
            return False
        if not isinstance(body, dict):
            return False
        fields = cast("Body", body)
        self._meter.event(fields)
        return self._drop_usage and fields.get("choices") == [] and bool(fields.get("usage"))
