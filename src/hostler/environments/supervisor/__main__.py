"""Starts the supervisor: limits first, then the sockets, then nothing until it is over."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys

from .keepers import PR_SET_DUMPABLE, Spawner, prctl


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line, written by a provider."""
    parser = argparse.ArgumentParser(prog="hostler-supervisor")
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the listening socket, made outside")
    parser.add_argument("--incarnation", required=True)
    parser.add_argument("--state", required=True, help="folder for outputs and results")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--idle", type=float, default=86400.0)
    parser.add_argument("--memory", type=int, default=0, help="bytes of private memory per process, 0: unlimited")
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--open-files", type=int, default=0)
    parser.add_argument("--file-size", type=int, default=0)
    parser.add_argument("--forward", action="append", default=[], metavar="PORT=SOCKET")
    return parser.parse_args(words)


def limit(options: argparse.Namespace) -> None:
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


def serve(options: argparse.Namespace, spawner: Spawner) -> None:
    """Serve until idle for too long, told to end, or crippled."""
    # asyncio imports TLS when it can; nothing here speaks it, and it costs a fifth of the start.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio
    import gc
    import socket

    from .forward import listen
    from .server import Supervisor

    async def run() -> None:
        supervisor = Supervisor(spawner, options.incarnation, options.state, options.workspace, options.memory)
        servers = [await supervisor.serve(socket.socket(fileno=options.listener))]
        for forward in options.forward:
            port, _, path = forward.partition("=")
            servers.append(await listen(int(port), path))
        gc.freeze()
        ways = (supervisor.over.wait(), supervisor.idle(options.idle), supervisor.processes.spawner_ended())
        ends = {asyncio.ensure_future(way) for way in ways}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await supervisor.processes.kill_all()
        for server in servers:
            server.close()

    asyncio.run(run())


def main() -> None:
    """Run as a program."""
    # Hostile code has the same uid; this keeps our memory and descriptors out of its reach in /proc.
    prctl(PR_SET_DUMPABLE, 0)
    options = arguments(sys.argv[1:])
    limit(options)
    serve(options, Spawner.fork())


if __name__ == "__main__":
    main()
