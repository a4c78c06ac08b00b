"""What a support bundle tells of the server itself: its versions, its settings without secrets, its last log lines."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Support(Protocol):
    """The server as somebody who is to help would want to know it."""

    async def versions(self) -> Mapping[str, Any]:
        """Return the versions of Hostler and of what it stands on; what cannot be found out is said in its place."""
        ...

    def settings(self, *, admin: bool) -> Mapping[str, Any]:
        """Return the settings without secrets; for others than administrators also without prompts and variables."""
        ...

    def server_log(self, *naming: str) -> Sequence[str]:
        """Return the last lines of the server's log as JSON, oldest first; `naming`: only those with one of the ids."""
        ...


class NoSupport:
    """A server of which nothing is known."""

    async def versions(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def settings(self, *, admin: bool) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def server_log(self, *naming: str) -> Sequence[str]:
        """Return nothing."""
        return ()
