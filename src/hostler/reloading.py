"""Reading the settings again while the server runs: what can change changes, what cannot is named.

Each part that can change says so with `takes`. A file that cannot be used changes nothing, and every fault of it is
said. What a start or a command has taken over already, such as an agent's definition, stays as it was there.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from hostler.api.operations import Reloaded
from hostler.config import BadConfiguration, Settings
from hostler.core.errors import InvalidArgument
from hostler.core.redaction import Redactor
from hostler.definitions import Definitions, mcp_servers, overrides, stand_ins
from hostler.engine.engine import Engine
from hostler.engine.environments import Environments
from hostler.engine.keeping import Keeping
from hostler.engine.mcp import McpServers
from hostler.logs import set_level
from hostler.models.registry import Registry

log = structlog.get_logger(__name__)

Load = Callable[[], Settings]
Take = Callable[[Settings], None]


class Reloading:
    """Holds the settings as they are now."""

    def __init__(self, settings: Settings, load: Load | None) -> None:
        self._settings = settings
        self._load = load
        self._takes: dict[str, Take] = {}
        self._lock = asyncio.Lock()

    def takes(self, name: str, take: Take) -> None:
        """Let a setting, or a table of settings, change while the server runs."""
        self._takes[name] = take

    def current(self) -> Settings:
        """Return the settings as they are now."""
        return self._settings

    async def reload(self) -> Reloaded:
        """Read the settings again; InvalidArgument with every fault, and then nothing has changed."""
        async with self._lock:
            if self._load is None:
                raise InvalidArgument("this server was not started with settings that can be read again")
            try:
                read = await asyncio.to_thread(self._load)
            except BadConfiguration as fault:
                raise InvalidArgument(f"nothing was changed: {fault}") from None
            return self._take(read)

    def _take(self, read: Settings) -> Reloaded:
        before: dict[str, Any] = dict(self._settings)
        differs = [name for name, value in dict(read).items() if value != before[name]]
        taken = [name for name in differs if name in self._takes]
        self._settings = self._settings.model_copy(update={name: getattr(read, name) for name in taken})
        for take in dict.fromkeys(self._takes[name] for name in taken):
            take(self._settings)
        left = [name for name in differs if name not in self._takes]
        log.info("the settings were read again", changed=taken, needs_restart=left)
        return Reloaded(taken, left)


def change_with(
    reloading: Reloading,
    models: Registry,
    redactor: Redactor,
    definitions: Definitions,
    environments: Environments,
    servers: McpServers,
    engine: Engine,
    keeping: Keeping,
) -> None:
    """Let the parts of a server follow the settings."""

    def agents(settings: Settings) -> None:
        models.reconfigure(overrides(settings), stand_ins(settings))
        redactor.add(models.secrets())
        servers.own = mcp_servers(settings)
        definitions.become(settings)

    for name in ("agents", "model", "models", "mcp", "policy", "approvals"):
        reloading.takes(name, agents)

    def network(settings: Settings) -> None:
        environments.rules(settings.allow, settings.private_hosts)

    reloading.takes("allow", network)
    reloading.takes("private_hosts", network)
    reloading.takes("secrets", lambda settings: redactor.add(settings.secrets))
    reloading.takes("slots", lambda settings: engine.slots.resize(settings.turn_slots))
    reloading.takes("log_level", lambda settings: set_level(settings.log_level))
    reloading.takes("allowed_models", lambda settings: None)
    reloading.takes("audit_days", lambda settings: None)

    def kept(settings: Settings) -> None:
        keeping.days = settings.keep_days

    reloading.takes("keep_days", kept)
