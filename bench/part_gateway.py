"""What the gateway costs an agent inside: the same streamed call with it and without it, and from a sandbox."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvloop
from tests.server import short_folder

from bench.figures import Figure, series
from bench.provider import END
from hostler.core.ambient import SystemAmbient
from hostler.core.providers import NetworkPolicy
from hostler.environments.supervisor import forward
from hostler.environments.ways import SocketWay
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.ledger import Grant
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.testing.ledger import FakeLedger

BODY = json.dumps({"model": "gpt-x", "stream": True, "input": "what an agent says first " * 1_600}).encode()
"""As long as the first request of an agent with its rules and tools."""
PACE = 0.002
"""Seconds between two events; a fast model takes more."""


class Caller:
    """One connection that is kept, through which calls go."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = (
            f"POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self) -> float:
        """Return how long a call takes, from its first byte to its last, in ms."""
        self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        since = time.perf_counter()
        writer.write(self._head + BODY)
        await reader.readuntil(END)
        return (time.perf_counter() - since) * 1000

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()


@contextmanager
def provider(pace: float) -> Iterator[int]:
    """Yield the port of a provider in a process of its own."""
    child = subprocess.Popen([sys.executable, "-m", "bench.provider", str(pace)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()


@asynccontextmanager
async def gateway(upstream: int, folder: Path) -> AsyncIterator[tuple[int, str]]:
    """Yield the port by which a gateway is reached as from inside, through a forwarder, and a token for it."""
    ambient, ledger = SystemAmbient(), FakeLedger()
    ledger.grants["run"] = Grant("run", 1, "env", ("openai-responses:gpt-x",))
    variables = {"OPENAI_API_KEY": "key-for-measuring", "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1"}
    made = Gateway(ledger, Registry(variables), GatewayTokens(b"a key for measuring, of 32 bytes", ambient), ambient)
    way = SocketWay("llm.sock", made.serve)
    await way.open("env", folder, -1, NetworkPolicy())
    forwarding = await forward.listen(0, str(folder / "llm.sock"))
    try:
        yield forwarding.sockets[0].getsockname()[1], made.token("run", "env")
    finally:
        forwarding.close()
        await way.close_all()
        await made.close()


async def measured(port: int, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return what calls took through the gateway and directly, in turns."""
    async with gateway(port, folder) as (inside, token):
        through, direct = Caller(inside, token), Caller(port, "none")
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(rounds + 3):
            pairs = [(through, ours), (direct, theirs)]
            for caller, values in pairs if number % 2 else pairs[::-1]:
                values.append(await caller.call())
        through.close()
        direct.close()
    return ours[3:], theirs[3:]


def measure() -> Iterator[Figure]:
    for how, pace, rounds in (("at once", 0.0, 60), (f"{PACE * 1000:g} ms apart", PACE, 8)):
        with (
            short_folder() as folder,
            provider(pace) as port,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            ours, theirs = runner.run(measured(port, folder, rounds))
        what = f"a model call of 40 kB and 200 events, {how}, through the gateway"
        yield Figure("gateway", what, "ms", series(ours), series(theirs), "the same call to the provider itself")
