"""The providers of environments, chosen by name. A new provider is one file and one line here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from hostler.core.errors import FailedPrecondition
from hostler.core.machines import Machine, Operation
from hostler.core.providers import EnvSpec, Handle, Workspace
from hostler.environments import content
from hostler.environments.egress import Egress, Upstream
from hostler.environments.folders import FolderProvider, Ways
from hostler.environments.local import GATEWAY_SOCKET, local_provider
from hostler.environments.plain import plain_provider
from hostler.environments.ways import AllWays, Serve, SocketWay

OnRefusal = Callable[[str, str, str], Awaitable[None]]
"""Told (environment, host:port, reason)."""
PROVIDERS: Mapping[str, Callable[[Path, Ways], FolderProvider]] = {
    "bubblewrap": lambda root, ways: local_provider(root, ways=ways),
    "none": lambda root, _: plain_provider(root),
}


class Outside:
    """One provider with its ways out, and what the engine asks of them; `gateway` serves calls of models."""

    def __init__(self, kind: str, root: Path, environ: Mapping[str, str], gateway: Serve | None = None) -> None:
        if kind not in PROVIDERS:
            raise FailedPrecondition(f"there is no sandbox {kind!r}; there are: {', '.join(PROVIDERS)}")
        self._egress = Egress(Upstream.of(environ), on_refusal=self._told)
        self._refusals: dict[str, str] = {}
        self._telling: set[asyncio.Future[None]] = set()
        self._gateway = SocketWay(GATEWAY_SOCKET, gateway) if gateway else None
        ways = AllWays((self._egress, self._gateway) if self._gateway else (self._egress,))
        self.provider = PROVIDERS[kind](root, ways)
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
        return await content.bring(site, spec.source)

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
