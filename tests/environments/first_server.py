"""A server that starts a command and is then killed: run by a test as a process of its own."""

import asyncio
import sys
from pathlib import Path

from hostler.core.machines import Command, Operation
from hostler.core.providers import EnvSpec
from hostler.environments.local import local_provider
from hostler.environments.plain import plain_provider

SCRIPT = "echo once >> count; echo begun; while [ ! -e go ]; do sleep 0.01; done; cat count; echo done"


async def main(kind: str, root: Path) -> None:
    provider = {"local": local_provider, "none": plain_provider}[kind](root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    machine = provider.machine(handle)
    incarnation = await machine.register("work", 1)

    async def look(_stream: str, data: bytes) -> None:
        if b"begun" in data:
            sys.stdout.write(f"{incarnation}\n")
            sys.stdout.flush()

    command = Command(("/bin/sh", "-c", SCRIPT), timeout=60.0)
    await machine.exec(Operation("work", 1, "long"), command, incarnation=incarnation, on_output=look)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
