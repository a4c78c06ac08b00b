"""What the first release of the official client needs to hear anything at all: gitpod-sdk 1.0.0.

It says that it takes gzip and does not undo it, and reads a stream in blocks of 64 KiB, each when it is full. So its
answers are not compressed, and each message of its streams fills a block with a field that no client knows.
"""

import re
from collections.abc import Mapping

from starlette.types import Message, Send

AGENT = re.compile(r"\bona-python-sdk/1\.0\.0\b")
BLOCK = 64 << 10
HEAD = 5
"""Bytes before a message: flags and its length."""
TAG = bytes.fromhex("faffffff0f")
"""The highest field number there is, as bytes of a given length."""
LENGTH = 3
"""Bytes in which the length of the filling is written, whatever it is."""


def is_first(headers: Mapping[str, str]) -> bool:
    """Say whether the caller is that release."""
    return bool(AGENT.search(headers.get("user-agent", "")))


class Blocks:
    """Sends a Connect stream of protobuf messages so that each ends with a block."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held = b""

    async def __call__(self, message: Message) -> None:
        """Pass on what the server sends, filled up."""
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._held += message.get("body", b"")
        full = b""
        while (size := HEAD + int.from_bytes(self._held[1:HEAD], "big")) <= len(self._held):
            full += filled(self._held[:size])
            self._held = self._held[size:]
        rest, self._held = (b"", self._held) if message.get("more_body") else (self._held, b"")
        await self._send({**message, "body": full + rest})


def filled(envelope: bytes) -> bytes:
    """Return an envelope as long as whole blocks; the last one of a stream stays as it is, for the end follows."""
    flags, message = envelope[:1], envelope[HEAD:]
    if flags != b"\0":
        return envelope
    missing = -(len(envelope) + len(TAG) + LENGTH) % BLOCK
    length = bytes((missing & 0x7F | 0x80, missing >> 7 & 0x7F | 0x80, missing >> 14))
    whole = message + TAG + length + bytes(missing)
    return flags + len(whole).to_bytes(HEAD - 1, "big") + whole
