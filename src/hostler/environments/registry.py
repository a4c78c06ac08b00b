"""The providers of environments, chosen by name. A new provider is one file and one line here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.egress import split_port
from hostler.core.errors import EnvironmentFailed, FailedPrecondition, NotAuthenticated
from hostler.core.hosts import host_of
from hostler.core.machines import Machine, Operation
from hostler.core.mcp_client import McpFailed, Streams
from hostler.core.projects import repository_key
from hostler.core.providers import EnvSpec, Handle, KeptSource, NetworkPolicy, RemoteRepository, Workspace
from hostler.environments import content
from hostler.environments.credentials import GitLogins
from hostler.environments.disk import DiskWatch
from hostler.environments.egress import (
    Denied,
    Egress,
    More,
    Refusal,
    SubjectOf,
    Target,
    Upstream,
    never,
    nobody,
    nothing,
    permit,
)
from hostler.environments.folders import FolderProvider, Ways
from hostler.environments.forge_http import ForgeHttp
from hostler.environments.forges import Api, CodeHosts
from hostler.environments.git_http import GitWay
from hostler.environments.local import GATEWAY_SOCKET, MIRROR, Settings, local_provider
from hostler.environments.mirrors import Mirrors, Wanted
from hostler.environments.places import place
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
        ambient: Ambient | None = None,
        mirror_bytes: int = 0,
    ) -> None:
        if kind not in PROVIDERS:
            raise FailedPrecondition(f"there is no sandbox {kind!r}; there are: {', '.join(PROVIDERS)}")
        self._kind = kind
        self._root = root
        self._logins = logins
        self._subject_of = subject_of
        git = GitWay(logins) if logins else None
        self._egress = Egress(
            Upstream.of(environ),
            on_refusal=self._told,
            git=git,
            subject_of=self._subject,
            more=self._more,
            denied=lambda host, port: self.denied(host, port),
        )
        if logins:
            logins.on_change = self._egress.changed
        self._refusals: dict[str, str] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._gateway = SocketWay(GATEWAY_SOCKET, gateway) if gateway else None
        ways = AllWays((self._egress, self._gateway) if self._gateway else (self._egress,))
        self.provider = PROVIDERS[kind](root, ways, programs or {})
        self.disk = DiskWatch(root)
        self.mirrors = Mirrors(
            root.parent / "mirrors",
            self._egress,
            mirror_bytes if kind == "bubblewrap" else 0,
            ambient or SystemAmbient(),
            lives=lambda environment: (root / environment).exists(),
        )
        self.provider.before_creation = self._with_mirror
        self.on_refusal: OnRefusal | None = None
        self.more: More = nothing
        """What somebody has allowed an environment beyond its policy."""
        self.denied: Denied = never
        """What nobody can allow."""

    def machine(self, handle: Handle) -> Machine:
        """Return the inside of an environment."""
        return self.provider.machine(handle)

    async def dial(self, environment: str, host: str, port: int) -> Streams:
        """Connect for an environment by its own rules; raises McpFailed with the reason.

        Without a sandbox an environment may reach what this machine may.
        """
        try:
            if self._kind == "none":
                return await asyncio.open_connection(host, port)
            return await self._egress.connect(environment, host, port)
        except (Refusal, OSError) as problem:
            raise McpFailed(f"{host}:{port}: {problem}") from problem

    async def reach(self, host: str, port: int, private: tuple[str, ...]) -> Streams:
        """Connect for the server itself; raises Refusal unless the address is public or the host among `private`."""
        return await self._egress.reach(Target(host, port), private)

    async def _more(self, environment: str) -> Sequence[str]:
        return await self.more(environment)

    async def _subject(self, environment: str) -> str:
        """Return whose credentials are used on a way out: an environment's, or a mirror's."""
        own = self.mirrors.subjects.get(environment)
        return await self._subject_of(environment) if own is None else own

    async def _mirror_of(self, spec: EnvSpec) -> Wanted | None:
        """Return which mirror an environment may borrow from; None when mirrors are switched off."""
        lower = spec.source.below if isinstance(spec.source, KeptSource) else spec.source
        if not self.mirrors.on or not isinstance(lower, RemoteRepository):
            return None
        try:
            url, target = content.address_of(lower.url), content.host_of(lower.url)
            host, port = split_port(target)
            private = permit(Target(host, port or 0), spec.network)
        except (EnvironmentFailed, Refusal):
            return None
        subject = await self._subject_of(spec.id)
        known = self._logins.find(subject, host_of(url)) if self._logins else None
        identity = f"{known.token.id}:{known.token.sealed}" if known else ""
        policy = NetworkPolicy((target,), (target,) if private else ())
        return Wanted(url, subject if known else "", identity, policy)

    async def _with_mirror(self, spec: EnvSpec) -> EnvSpec:
        wanted = await self._mirror_of(spec)
        if wanted is None:
            return spec
        return replace(spec, mirror=str(await asyncio.to_thread(self.mirrors.use, wanted.key, spec.id)))

    def _sees(self, environment: str, wanted: Wanted) -> bool:
        """Return whether an environment was made with this mirror."""
        record = place(self._root, environment).record()
        return record is not None and record.mirror == str(self.mirrors.folder(wanted.key))

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
        wanted = await self._mirror_of(spec)
        if wanted and not self._sees(spec.id, wanted):
            wanted = None  # A credential was stored or taken away since the environment was made.
        if wanted and (generation := await self.mirrors.ready(wanted)):
            damaged = partial(self.mirrors.suspect, wanted)
            site = replace(site, mirror=f"{MIRROR}/{generation}", damaged=damaged)
        try:
            workspace = await content.bring(site, spec.source)
        except NotAuthenticated as problem:
            await self._note(spec.id, problem.url, accepted=False)
            raise
        if isinstance(spec.source, RemoteRepository):
            await self._note(spec.id, spec.source.url, accepted=True)
        if wanted:
            self.mirrors.begin(wanted)
        return workspace

    async def _note(self, environment: str, url: str, *, accepted: bool) -> None:
        """Remember whether a repository asked for a credential; with one, the git proxy itself remembers."""
        host = host_of(url)
        if self._logins and host not in self._logins.hosts(await self._subject_of(environment)):
            self._logins.note(host, repository_key(RemoteRepository(url)), None, accepted=accepted)

    def code_hosts(self, runner: str, configured: Mapping[str, Api]) -> CodeHosts:
        """Return the code hosts, reached by the rules of environments with the credentials of their creators."""
        assert self._logins is not None
        http = ForgeHttp(runner, self._logins, self._egress.on_behalf, self._subject_of)

        async def permitted(environment: str, target: Target) -> None:
            await self._egress.permitted(environment, target)

        return CodeHosts(http, permitted, configured)

    async def close(self) -> None:
        """Serve no environment's ways out any more; their forwarders wait for the next server."""
        await self.mirrors.close()
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
