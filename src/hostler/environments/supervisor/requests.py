"""Reading requests: the fields of a header, checked, and the names under which operations are kept."""

from __future__ import annotations

import os
from _blake2 import blake2b  # hashlib would load OpenSSL into every environment: 2 MB.
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar, cast

from .fences import Refused

T = TypeVar("T")
Send = Callable[..., Awaitable[None]]


def field(header: dict[str, Any], name: str, kind: type[T]) -> T:
    """Return a field of the header; raises Refused when it is missing or of another type."""
    value: Any = header.get(name)
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused("bad", f"{name}: a {kind.__name__} is needed")
    return value


class Key(NamedTuple):
    """Names one operation of one execution."""

    execution: str
    operation: str

    def folder(self, root: str) -> str:
        """Return the folder of this operation's files; ids are hashed because they may hold anything."""
        return os.path.join(root, blake2b("\0".join(self).encode(), digest_size=16).hexdigest())


class Call(NamedTuple):
    """One request: its header, its body, and how to send frames back."""

    header: dict[str, Any]
    body: bytes
    send: Send

    def get(self, name: str, kind: type[T]) -> T:
        """Return a checked field of the header."""
        return field(self.header, name, kind)

    def words(self, name: str) -> list[str]:
        """Return a list of texts."""
        values = cast("list[Any]", self.get(name, list))
        return [str(value) for value in values]

    def table(self, name: str) -> dict[str, str]:
        """Return a mapping of texts."""
        values = cast("dict[Any, Any]", self.get(name, dict))
        return {str(key): str(value) for key, value in values.items()}

    @property
    def key(self) -> Key:
        """Return the operation this request names."""
        return Key(self.get("execution", str), self.get("operation", str))
