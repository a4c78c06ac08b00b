"""The server as a process: it listens, says where, drains when told to stop, and ends."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hostler.api.call import PEER
from hostler.app import Server, opened
from hostler.config import Settings
from hostler.core.ambient import SystemAmbient
from hostler.core.errors import HostlerError
from hostler.reloading import Load

log = structlog.get_logger(__name__)

COLLECT_AFTER = 20_000, 20, 20
"""Objects made between two looks for cycles, and how many looks make an older generation's; Python's own is 700."""


class Peer:
    """Notes whom a connection is with, before a proxy's headers say for whom it asks."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass one request on."""
        client = scope.get("client")
        await self._app({**scope, PEER: client[0] if client else ""}, receive, send)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that lets Hostler drain as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, server: Server, ready: Callable[[int], Awaitable[None]]) -> None:
        super().__init__(config)
        self._hostler = server
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            await self._ready(self.servers[0].sockets[0].getsockname()[1])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain and stop; unlike uvicorn's own, the signal is not raised again afterwards, so the exit code is ours."""
        self._hostler.drain()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


async def run(
    settings: Settings, environ: Mapping[str, str], say: Callable[[str], None], load: Load | None = None
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. SIGHUP has the settings read again."""
    async with opened(settings, environ, load) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_soon, server)
        host = settings.server.host

        async def ready(port: int) -> None:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{port}"
            server.home.write_server(url)
            await server.reached_at(url)
            if server.new_token:
                say(f"API token of the owner, shown once and kept in {server.home.token_file}: {server.new_token}")
            say(f"Hostler is ready at {url}")
            _collect_less()

        config = uvicorn.Config(
            Peer(ProxyHeadersMiddleware(server.asgi, "127.0.0.1")),
            proxy_headers=False,
            host=host,
            port=settings.server.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            timeout_keep_alive=75,
            ws="websockets-sansio",
            ws_max_size=1 << 20,
        )
        uvicorn_server = _Uvicorn(config, server, ready)
        idle = asyncio.create_task(_idle_exit(settings, server, uvicorn_server))
        try:
            await uvicorn_server.serve()
        finally:
            idle.cancel()
            server.home.remove_server()
        return 0 if uvicorn_server.started else 1


def _collect_less() -> None:
    """Leave what was made at the start alone for ever, and look for cycles less often: nearly all is freed without."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


_reloading: set[asyncio.Task[None]] = set()


def _reload_soon(server: Server) -> None:
    """Read the settings again; what became of it is in the log."""

    async def reload() -> None:
        try:
            await server.reloading.reload()
        except HostlerError as problem:
            log.error("the settings were not taken", problem=problem.message)

    task = asyncio.get_running_loop().create_task(reload())
    _reloading.add(task)
    task.add_done_callback(_reloading.discard)


async def _idle_exit(settings: Settings, server: Server, uvicorn_server: uvicorn.Server) -> None:
    """Stop the server after it had nothing to do for as long as the settings say; 0 means never."""
    if not settings.idle_exit_minutes:
        return
    ambient = SystemAmbient()
    limit = settings.idle_exit_minutes * 60
    quiet_since = ambient.monotonic()
    while ambient.monotonic() - quiet_since < limit:
        await ambient.until(ambient.now() + timedelta(seconds=5))
        if server.desk.busy() or uvicorn_server.server_state.connections:
            quiet_since = ambient.monotonic()
    uvicorn_server.handle_exit(signal.SIGTERM, None)


def serve(settings: Settings, environ: Mapping[str, str], load: Load | None = None) -> int:
    """Run a server in this process; return its exit code and print why it could not start.

    `load` reads the settings again.
    """

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            return runner.run(run(settings, environ, say, load))
    except HostlerError as problem:
        sys.stderr.write(f"hostler: {problem.message}\n")
        return 1


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()
