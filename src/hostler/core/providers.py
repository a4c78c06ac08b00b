"""Environments from outside: what is asked of a provider, and what it answers.

A `Provider` makes machines and hands back a byte stream to each one's supervisor; what is done inside is the part of
`hostler.core.machines`. Every method is idempotent, so that a crashed server simply asks again.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Feature = Literal["ptrace", "nested_namespaces"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one environment may use; sizes in bytes, times in seconds."""

    cpus: float = 2.0
    memory_bytes: int = 4 << 30
    disk_bytes: int = 10 << 30
    tmp_bytes: int = 1 << 30
    processes: int = 512
    open_files: int = 4096
    idle_seconds: float = 24 * 3600.0
    """The supervisor ends itself after this long without contact and without a running operation."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Which hosts an environment may reach through the egress proxy; with neither hosts nor `open` it reaches none."""

    allow: tuple[str, ...] = ()
    """`example.org`, `*.example.org` (the suffix and all below it), either with `:port`; without it 80 and 443."""
    private: tuple[str, ...] = ()
    """Hosts (or host:port) that may resolve to an address that is not public, such as a mirror in the own network."""
    open: bool = False
    """Any public host; private addresses stay refused unless listed in `private`."""


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """Content cloned inside the environment, through the egress proxy."""

    url: str
    ref: str | None = None
    """A branch, tag, commit or full ref such as refs/pull/7/head; None is the remote's default branch."""
    shallow: bool = True
    branch: str | None = None
    """A local branch that is made of it; None: the remote's branch, or none where `ref` is none."""


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """Content from a repository on the server's machine; uncommitted changes come along as one commit on top."""

    path: str
    ref: str | None = None
    branch: str | None = None
    """A local branch that is made of it."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """An empty workspace."""


@dataclass(frozen=True, slots=True)
class KeptSource:
    """What was kept of an execution's work, on top of what its environment was made from."""

    execution: str
    turn: int
    commit: str
    base: str = ""
    """The commit that the change is measured from; empty: everything is the change."""
    anchor: str = ""
    """The commit that has to be had from where the first environment came; empty: nothing has."""
    head: str = ""
    branch: str = ""
    repository: bool = True
    files: int = 0
    url: str = ""
    path: str = ""

    @property
    def below(self) -> "RemoteRepository | LocalRepository | Scratch":
        """Return what it lies on."""
        if self.anchor and self.url:
            return RemoteRepository(self.url, self.anchor)
        return LocalRepository(self.path, self.anchor) if self.anchor and self.path else Scratch()


Source = RemoteRepository | LocalRepository | Scratch | KeptSource


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """One environment to be made; the id is the caller's and makes `create` idempotent."""

    id: str
    limits: Limits = Limits()
    network: NetworkPolicy = NetworkPolicy()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables for every command inside; secrets of the user's own are among them, so nobody outside may read them."""
    source: Source = Scratch()
    features: frozenset[Feature] = frozenset()
    checkout: str = ""
    """Where below /workspaces the workspace is seen too, for those who asked for it there."""
    mirror: str = ""
    """The folder of its repository's mirror on the server's machine, seen read-only inside."""


@dataclass(frozen=True, slots=True)
class Handle:
    """Names one environment of one provider, for good; pids and sockets are looked up in the world, not kept here."""

    provider: str
    environment: str

    def to_json(self) -> dict[str, str]:
        """Return the handle as a JSON object."""
        return {"provider": self.provider, "environment": self.environment}

    @classmethod
    def from_json(cls, body: Mapping[str, str]) -> "Handle":
        """Return the handle that `to_json` wrote."""
        return cls(provider=body["provider"], environment=body["environment"])


@dataclass(frozen=True, slots=True)
class Protection:
    """One limit or wall, by which means it is held, and whether it really holds on this machine."""

    limit: str
    means: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with the machine, and how to mend it."""

    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """Whether a provider can work here: found by trying, not by version."""

    verdict: Literal["ok", "degraded", "unusable"]
    findings: tuple[Finding, ...] = ()
    protections: tuple[Protection, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the world shows about one environment right now."""

    state: Literal["absent", "stopped", "running"]
    incarnation: str | None = None
    protections: tuple[Protection, ...] = ()


@dataclass(frozen=True, slots=True)
class Workspace:
    """What was brought into an environment, and the commit that later diffs are measured from."""

    base: str | None
    """None in an empty workspace."""
    branch: str | None = None
    notes: tuple[str, ...] = ()
    """Said to people, such as that uncommitted changes came along."""
    anchor: str | None = None
    """The commit that can be had again from where the base came; None: the base itself."""


class Channel(Protocol):
    """A duplex byte stream to a supervisor."""

    async def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; raises EOFError when the stream ends first."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`; raises OSError when the other end is gone."""
        ...

    def close(self) -> None:
        """Close at once; safe to repeat."""
        ...


class Provider(Protocol):
    """Makes machines. Every method may be repeated after a crash, and ends in the same place."""

    name: str

    async def preflight(self) -> Preflight:
        """Try what this provider needs, within a few seconds."""
        ...

    async def create(self, spec: EnvSpec) -> Handle:
        """Make the environment's storage; nothing runs yet. Raises EnvironmentFailed."""
        ...

    async def start(self, handle: Handle) -> None:
        """Return when the supervisor answers; starts it when none runs. Raises EnvironmentFailed."""
        ...

    async def stop(self, handle: Handle) -> None:
        """End every process of the environment; its files stay."""
        ...

    async def delete(self, handle: Handle) -> None:
        """Leave nothing of the environment, also when its creation is under way or never happened."""
        ...

    async def observe(self, handle: Handle) -> Observed:
        """Say what is there, read from the world."""
        ...

    def list(self) -> AsyncIterator[Handle]:
        """Yield every environment of this provider that left anything here, for the reconciliation at boot."""
        ...

    async def connect(self, handle: Handle) -> Channel:
        """Open a stream to the supervisor; raises MachineLost when none runs."""
        ...
