"""A gateway on a socket of its own before a scripted endpoint, and a client that speaks from inside."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.providers import NetworkPolicy
from hostler.environments.ways import SocketWay
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.ledger import Grant
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.models.scripted import Gates
from hostler.models.settings import Override
from hostler.testing.endpoints import KEY, Answers, Endpoint
from hostler.testing.ledger import FakeLedger

MODELS = ("openai-responses:gpt-x", "openai-chat:chat-x", "anthropic:claude-x")
SIGNING = b"a signing key that is long enough for it"


@dataclass(slots=True)
class Answered:
    """An answer as the agent sees it; `cut` says that it ended before its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool

    @property
    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """Return the bodies of the stream's events."""
        lines = (line[5:].strip() for line in self.body.splitlines() if line.startswith(b"data:"))
        return [json.loads(line) for line in lines if line != b"[DONE]"]


@dataclass(slots=True)
class Client:
    """One connection from inside, through which requests go one after the other."""

    path: Path
    token: str
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, path: str, body: Mapping[str, Any] | bytes | None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a request."""
        if self.streams is None:
            self.streams = await asyncio.open_unix_connection(self.path)
        elif self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        given = {
            "host": "x",
            "authorization": f"Bearer {self.token}" if self.token else "",
            "content-length": str(len(data)),
        }
        given |= dict(headers or {})
        given = {name: value for name, value in given.items() if value}
        method = "GET" if body is None else "POST"
        parts = [h11.Request(method=method, target=path, headers=list(given.items()))]
        parts += [h11.Data(data=data), h11.EndOfMessage()] if data else [h11.EndOfMessage()]  # pyright: ignore
        for part in parts:
            self.streams[1].write(self.http.send(part) or b"")
        await self.streams[1].drain()

    async def event(self) -> Any:
        """Return the next piece of the answer."""
        assert self.streams
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.streams[0].read(65536))
        return event

    async def receive(self) -> Answered:
        """Return the whole answer."""
        head = await self.event()
        if isinstance(head, h11.ConnectionClosed):
            return Answered(0, {}, b"", True)
        answered = Answered(head.status_code, {n.decode(): v.decode() for n, v in head.headers}, b"", False)
        try:
            while isinstance(event := await self.event(), h11.Data):
                answered.body += bytes(event.data)
        except h11.RemoteProtocolError:
            answered.cut = True
        return answered

    async def ask(
        self, path: str, body: Mapping[str, Any] | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Send a request and return the answer."""
        await self.send(path, body, headers)
        return await self.receive()

    def close(self) -> None:
        """Hang up."""
        if self.streams:
            self.streams[1].close()


@dataclass(slots=True)
class Stand:
    """What a test of the gateway works with."""

    gateway: Gateway
    ledger: FakeLedger
    endpoint: Endpoint
    models: Registry
    gates: Gates
    folder: Path
    ways: SocketWay
    clients: list[Client] = field(default_factory=list[Client])

    def client(self, token: str | None = None, environment: str = "env") -> Client:
        """Return a new connection with the token of the execution `run`, or another one."""
        given = self.gateway.token("run", "env") if token is None else token
        client = Client(self.folder / environment / "llm.sock", given)
        self.clients.append(client)
        return client

    def allow(self, *models: str, fence: int = 1, environment: str = "env") -> None:
        """Give the execution `run` a live turn."""
        self.ledger.grants["run"] = Grant("run", fence, environment, models)


@asynccontextmanager
async def standing(
    answers: Answers,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Override] | None = None,
    ambient: Ambient | None = None,
) -> AsyncIterator[Stand]:
    """Yield a gateway that leads to an endpoint with these answers."""
    ambient, ledger, gates = ambient or SystemAmbient(), FakeLedger(), Gates()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        async with Endpoint(answers) as endpoint:
            variables = endpoint.environ() if environ is None else environ
            models = Registry(variables, overrides=overrides, gates=gates, ambient=ambient)
            gateway = Gateway(ledger, models, GatewayTokens(SIGNING, ambient), ambient)
            stand = Stand(gateway, ledger, endpoint, models, gates, Path(name), SocketWay("llm.sock", gateway.serve))
            stand.allow(*MODELS)
            for environment in ("env", "other"):
                (stand.folder / environment).mkdir()
                await stand.ways.open(environment, stand.folder / environment, -1, NetworkPolicy())
            try:
                yield stand
            finally:
                for client in stand.clients:
                    client.close()
                await stand.ways.close_all()
                await gateway.close()
                await models.close()


__all__ = ["KEY", "MODELS", "Answered", "Client", "Stand", "standing"]
