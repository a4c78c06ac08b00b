"""Starts the supervisor: limits first, then the sockets, then nothing until it is over."""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import signal
import sys
from typing import NamedTuple

from .keepers import PR_SET_DUMPABLE, Spawner, prctl


class Options(NamedTuple):
    """What a provider says about the environment, as one JSON object on the command line."""

    listener: int
    """Descriptor of the listening socket, made outside."""
    incarnation: str
    state: str
    """Folder for outputs and results."""
    workspace: str
    idle: float
    processes: int
    open_files: int
    file_size: int
    memory: int
    """Bytes of private memory per process, 0: unlimited."""
    forwards: dict[str, str]
    """Local port to socket."""


def limit(options: Options) -> None:
    """Take the limits that all processes inherit; set inside, where they count for this environment only."""
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, options.processes or None),
        (resource.RLIMIT_NOFILE, options.open_files or None),
        (resource.RLIMIT_FSIZE, options.file_size or None),
    ):
        if value is not None:
            with contextlib.suppress(ValueError, OSError):  # A lower hard limit than ours holds already.
                resource.setrlimit(kind, (value, value))


def serve(options: Options, spawner: Spawner) -> None:
    """Serve until idle for too long, told to end, or crippled."""
    # asyncio imports TLS when it can; nothing here speaks it, and it costs a fifth of the start.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio
    import socket

    from .forward import listen
    from .server import Supervisor

    # Hostile code may send signals; without a handler the first process of a namespace is deaf to them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def run() -> None:
        supervisor = Supervisor(spawner, options.incarnation, options.state, options.workspace, options.memory)
        servers = [await supervisor.serve(socket.socket(fileno=options.listener))]
        for port, path in options.forwards.items():
            servers.append(await listen(int(port), path))
        gc.freeze()
        gc.enable()
        supervisor.processes.need_spawner()
        ways = (supervisor.over.wait(), supervisor.idle(options.idle))
        ends = {asyncio.ensure_future(way) for way in ways}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await supervisor.processes.kill_all()
        for server in servers:
            server.close()

    asyncio.run(run())


def main() -> None:
    """Run as a program."""
    # Collecting would write to memory that the spawner shares with us, and find nothing while we only import.
    gc.disable()
    gc.freeze()
    # Hostile code has the same uid; this keeps our memory and descriptors out of its reach in /proc.
    prctl(PR_SET_DUMPABLE, 0)
    options = Options(**json.loads(sys.argv[1]))
    limit(options)
    serve(options, Spawner.fork())


if __name__ == "__main__":
    main()
