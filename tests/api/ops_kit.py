"""An environment's operations as a client calls them, over a real supervisor without a sandbox around it."""

import asyncio
import base64
import json
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from hostler.core.desk import NewEnvironment
from hostler.core.machines import Command, Operation
from hostler.core.providers import EnvSpec, Scratch
from hostler.environments.plain import plain_provider
from tests.api.conftest import CLASSES, OWNER, Api

SETUP = """
git init -q -b main . && git config user.email a@h && git config user.name a
printf 'one\\ntwo\\nthree\\n' > kept.txt && cp kept.txt gone.txt && cp kept.txt 'with blank.txt'
git add . && git commit -qm first
"""


@dataclass
class Ops:
    """An environment's operations as a client with its token calls them."""

    api: Api
    environment: str
    token: str
    restart: Callable[[], Awaitable[None]] | None = None
    """Ends the environment's life and begins another."""

    def path(self, method: str) -> str:
        return f"environments/{self.environment}/ops/supervisor.v1.EnvironmentOpsService/{method}"

    async def call(self, method: str, **body: Any) -> dict[str, Any]:
        return await self.api.call(self.path(method), body, token=self.token)

    async def refused(self, method: str, **body: Any) -> dict[str, Any]:
        return await self.api.refused(self.path(method), body, token=self.token)

    async def sh(self, command: str, **more: Any) -> dict[str, Any]:
        return await self.call("Exec", command=command, **more)

    async def until(self, ask: Callable[[], Awaitable[Response]]) -> None:
        """Ask again and again until it is answered well."""
        async with asyncio.timeout(30):
            while not (await ask()).is_success:
                pass

    @asynccontextmanager
    async def stream(self, method: str, **body: Any) -> AsyncGenerator[AsyncIterator[str]]:
        """Open a stream and yield its lines; time moves until its headers are sent."""
        url, headers = f"{self.api.url}/api/{self.path(method)}", self.api.headers(token=self.token)
        request = self.api.http.build_request("POST", url, headers=headers, content=json.dumps(body))
        sending = asyncio.ensure_future(self.api.http.send(request, stream=True))
        for _ in range(600):
            if (await asyncio.wait({sending}, timeout=0.05))[0]:
                break
            self.api.clock.advance(1)
        yield sending.result().aiter_lines()
        await sending.result().aclose()


@pytest.fixture
async def ops(api: Api) -> AsyncIterator[Ops]:
    root = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    api.environments.inside = machine = provider.machine(handle)
    incarnation = await machine.register("setup", 1)
    await machine.exec(Operation("setup", 1, "setup"), Command(("sh", "-c", SETUP)), incarnation=incarnation)
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    answer = await api.call("gitpod.v1.EnvironmentService/CreateEnvironmentAccessToken", {"environmentId": environment})

    async def restart() -> None:
        await provider.stop(handle)
        await provider.start(handle)

    yield Ops(api, environment, answer["accessToken"], restart)
    await provider.delete(handle)
    subprocess.run(["rm", "-rf", str(root)], check=True)


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()
