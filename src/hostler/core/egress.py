"""Which hosts environments may reach: how they are written, what is allowed beyond the settings, and by whom."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from hostler.core.errors import FailedPrecondition, InvalidArgument
from hostler.core.ports import Principal

WEB_PORTS = (80, 443)
"""The ports that are meant where none is written."""
Until = Literal["once", "class"]
"""How long a host is allowed: until the environment stops, or for every environment of the class from now on."""
Why = Literal["settings", "environment class", "repository", "private", "class", "once"]
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:[0-9]{1,5})?")
LONGEST_HOST = 260


@dataclass(frozen=True, slots=True)
class Allowed:
    """A host that an environment may reach, and why; `by` names who allowed it where a person did."""

    host: str
    why: Why
    by: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClassHost:
    """A host that is allowed for every environment of a class; `by` is the principal's name."""

    class_id: str
    host: str
    by: str
    at: datetime


class ClassHosts(Protocol):
    """What was allowed for classes, kept in the database."""

    async def add(self, host: ClassHost) -> bool:
        """Allow a host for a class; return whether it was not allowed yet, and leave it as it was otherwise."""
        ...

    async def remove(self, class_id: str, host: str) -> bool:
        """Allow it no more; return whether it was there."""
        ...

    async def find(self, class_id: str) -> tuple[ClassHost, ...]:
        """Return what is allowed for a class, by host."""
        ...


class HostDesk(Protocol):
    """Allows hosts and tells what is allowed. Every change holds at once, also where environments run."""

    async def of_environment(self, environment: str) -> tuple[Allowed, ...]:
        """Return what an environment may reach; NotFound."""
        ...

    async def of_class(self, class_id: str) -> tuple[Allowed, ...]:
        """Return what was allowed for a class beyond the settings; NotFound."""
        ...

    async def allow(self, environment: str, host: str, until: Until, by: Principal) -> bool:
        """Allow a host; return whether it was not allowed yet.

        NotFound, InvalidArgument when it is not written as a host, FailedPrecondition for an address that no
        environment may reach, and with `once` for an environment that does not run.
        """
        ...

    async def allow_class(self, class_id: str, host: str, by: Principal) -> bool:
        """Allow a host for a class; return whether it was not allowed yet."""
        ...

    async def forbid(self, environment: str, host: str) -> bool:
        """Take back what was allowed for an environment until it stops; return whether it was."""
        ...

    async def forbid_class(self, class_id: str, host: str) -> bool:
        """Take back what was allowed for a class; return whether it was."""
        ...


class NoHosts:
    """Allows nothing beyond the settings, and knows of none."""

    async def of_environment(self, environment: str) -> tuple[Allowed, ...]:
        """Return nothing."""
        return ()

    async def of_class(self, class_id: str) -> tuple[Allowed, ...]:
        """Return nothing."""
        return ()

    async def allow(self, environment: str, host: str, until: Until, by: Principal) -> bool:
        """Refuse."""
        raise FailedPrecondition("hosts cannot be allowed here", field="host")

    async def allow_class(self, class_id: str, host: str, by: Principal) -> bool:
        """Refuse."""
        raise FailedPrecondition("hosts cannot be allowed here", field="host")

    async def forbid(self, environment: str, host: str) -> bool:
        """Find nothing."""
        return False

    async def forbid_class(self, class_id: str, host: str) -> bool:
        """Find nothing."""
        return False


def split_port(text: str) -> tuple[str, int | None]:
    """Return host and port of `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else None
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        return host, int(port)
    return text, None


def matches(pattern: str, host: str, port: int, ports: tuple[int, ...] = WEB_PORTS) -> bool:
    """Say whether `HOST`, `*.SUFFIX`, either with `:PORT`, means this host; without a port, `ports` are meant (all)."""
    name, own = split_port(pattern.strip().lower())
    if port != own if own is not None else ports and port not in ports:
        return False
    if name.startswith("*."):
        return host == name[2:] or host.endswith(name[1:])
    return host == name


def covers(pattern: str, refused: str) -> bool:
    """Say whether allowing `pattern` opens what was refused, HOST:PORT."""
    host, port = split_port(refused)
    return matches(pattern, host, WEB_PORTS[1] if port is None else port)


def host_pattern(text: str) -> str:
    """Return a host as it is kept; InvalidArgument when it is no `HOST`, `*.SUFFIX`, or either with `:PORT`."""
    host = text.strip().lower()
    port = split_port(host)[1]
    if len(host) > LONGEST_HOST or not _HOST.fullmatch(host) or (port is not None and not 0 < port < 1 << 16):
        shown = "example.org, *.example.org or example.org:8443"
        raise InvalidArgument(f"{text[:LONGEST_HOST]!r} is not a host such as {shown}", field="host")
    return host
