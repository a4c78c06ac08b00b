"""The providers of environments, chosen by name. A new provider is one file and one line here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from hostler.core.errors import FailedPrecondition
from hostler.core.hosts import host_of
from hostler.core.machines import Machine, Operation
from hostler.core.projects import repository_key
from hostler.core.providers import EnvSpec, Handle, RemoteRepository, Workspace
from hostler.environments import content
from hostler.environments.credentials import GitLogins
from hostler.environments.disk import DiskWatch
from hostler.environments.egress import Egress, SubjectOf, Upstream, nobody
from hostler.environments.folders import FolderProvider, Ways
from hostler.environments.git_http import GitWay
from hostler.environments.local import GATEWAY_SOCKET, Settings, local_provider
from hostler.environments.plain import plain_provider
from hostler.environments.ways import AllWays, Serve, SocketWay

OnRefusal = Callable[[str, str, str], Awaitable[None]]
"""Told (environment, host:port, reason)."""
PROVIDERS: Mapping[str, Callable[[Path, Ways, Mapping[str, Path]], FolderProvider]] = {
    "bubblewrap": lambda root, ways, programs: local_provider(root, Settings(programs=programs), ways),
    "none": lambda root, _, __: plain_provider(root),
}


class Outside:
    """One provider with its ways out, and what the engine asks of them; `gateway` serves calls of models."""

    def __init__(
        self,
        kind: str,
        root: Path,
        environ: Mapping[str, str],
        gateway: Serve | None = None,
        logins: GitLogins | None = None,
        subject_of: SubjectOf = nobody,
        programs: Mapping[str, Path] | None = None,
    ) -> None:
        if kind not in PROVIDERS:
            raise FailedPrecondition(f"there is no sandbox {kind!r}; there are: {', '.join(PROVIDERS)}")
        self._logins = logins
        git = GitWay(logins) if logins else None
        self._egress = Egress(Upstream.of(environ), on_refusal=self._told, git=git, subject_of=subject_of)
        if logins:
            logins.on_change = self._egress.changed
        self._refusals: dict[str, str] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._gateway = SocketWay(GATEWAY_SOCKET, gateway) if gateway else None
        ways = AllWays((self._egress, self._gateway) if self._gateway else (self._egress,))
        self.provider = PROVIDERS[kind](root, ways, programs or {})
        self.disk = DiskWatch(root)
        self.on_refusal: OnRefusal | None = None

    def machine(self, handle: Handle) -> Machine:
        """Return the inside of an environment."""
        return self.provider.machine(handle)

    async def bring(self, machine: Machine, spec: EnvSpec, tries: int) -> Workspace:
        """Bring an environment's content into its workspace; raises EnvironmentFailed, MachineLost."""
        owner = f"content/{spec.id}"
        incarnation = await machine.register(owner, 1)
        self._refusals.pop(spec.id, None)
        site = content.Site(
            machine,
            Operation(owner, 1, f"content-{tries}"),
            incarnation,
            spec.network,
            lambda: self._refusals.get(spec.id),
        )
        try:
            workspace = await content.bring(site, spec.source)
        except content.NotAuthenticated as problem:
            self._note(problem.url, accepted=False)
            raise
        if isinstance(spec.source, RemoteRepository):
            self._note(spec.source.url, accepted=True)
        return workspace

    def _note(self, url: str, *, accepted: bool) -> None:
        """Remember whether a repository asked for a credential; with one, the git proxy itself remembers."""
        host = host_of(url)
        if self._logins and not self._logins.has(host):
            self._logins.note(host, repository_key(RemoteRepository(url)), None, accepted=accepted)

    async def close(self) -> None:
        """Serve no environment's ways out any more; their forwarders wait for the next server."""
        if self._gateway:
            await self._gateway.close_all()
        await self._egress.close_all()

    def _told(self, environment: str, target: str, reason: str) -> None:
        self._refusals[environment] = f"{target}: {reason}"
        if self.on_refusal is None:
            return
        telling = asyncio.ensure_future(self.on_refusal(environment, target, reason))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
