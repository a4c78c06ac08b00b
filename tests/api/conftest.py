"""An API over a desk in memory, called in process or over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from httpx2 import AsyncClient, Response
from uvicorn.server import ServerState

from hostler.api.access import Access
from hostler.api.auth import hashed
from hostler.api.parts import ApiParts, Health
from hostler.api.server import build
from hostler.core import events as ev
from hostler.core.desk import AgentDefinition, EnvironmentClass
from hostler.core.errors import FailedPrecondition
from hostler.core.ports import ApiToken, Model, ModelInfo, Principal
from hostler.core.redaction import Redactor
from hostler.engine.offering import LibraryOffers
from hostler.testing.clock import HandClock
from hostler.testing.desk import RUNNER, AskedExecutions, FakeDesk, MemoryPrompts, MemoryTokens
from hostler.testing.desk_admission import MemoryShares, MemorySignIns
from hostler.testing.desk_environments import FakeEnvironments, MemoryEnvironmentRows
from hostler.testing.desk_people import MemoryPeople
from hostler.testing.desk_projects import MemoryHostTokens, MemoryLogins, MemoryProjects, MemoryProjectUse
from hostler.testing.spending import MemorySpending
from hostler.testing.world import MemoryBlobs

OWNER = Principal("11111111-1111-4111-8111-111111111111", "user", "owner", role="admin")
BOT = Principal("11111111-1111-4111-8111-222222222222", "service_account", "bot")
AGENT = "00000000-0000-0000-0000-000000007100"
SECRET = "s3cret-value-of-a-key"
CLASSES = [
    EnvironmentClass("44444444-4444-4444-8444-000000000001", "Regular", "2 CPU", 2, 4 << 30, 10 << 30, 512, 1800.0),
    EnvironmentClass("44444444-4444-4444-8444-000000000002", "Large", "4 CPU", 4, 8 << 30, 10 << 30, 512, 1800.0),
]


class Agents:
    def __init__(self) -> None:
        agent = ev.Agent(AGENT, "hostler", "builtin", "scripted:demo", system_prompt="be kind", tools=("bash",))
        self.definitions = [AgentDefinition(agent, "the built-in agent")]

    def default(self) -> AgentDefinition:
        return self.definitions[0]

    def get(self, agent_id: str) -> AgentDefinition | None:
        return next((one for one in self.definitions if one.agent.id == agent_id), None)

    def all(self) -> list[AgentDefinition]:
        return self.definitions


@dataclass
class OneModel:
    info: ModelInfo

    async def call(self, request: Any, on_delta: Any) -> Any:
        raise AssertionError("the API calls no model")


@dataclass
class Models:
    known: dict[str, ModelInfo] = field(
        default_factory=lambda: {
            "scripted:demo": ModelInfo("scripted:demo", 200_000, vision=True),
            "scripted:blind": ModelInfo("scripted:blind", 1000, vision=False),
        }
    )

    def get(self, name: str) -> Model:
        if name not in self.known:
            raise FailedPrecondition(f"model {name!r} is not configured")
        return OneModel(self.known[name])


@dataclass
class Api:
    """The server under test, its parts, and a client."""

    parts: ApiParts
    clock: HandClock
    desk: FakeDesk
    tokens: MemoryTokens
    environments: FakeEnvironments
    url: str
    http: AsyncClient
    app: Access
    stopping: bool = False

    def headers(self, more: Mapping[str, str] | None = None, token: str | None = "owner-token") -> dict[str, str]:
        auth = {"authorization": f"Bearer {token}"} if token else {}
        return {"content-type": "application/json", **auth, **(more or {})}

    async def post(
        self, method: str, body: Any = None, more: Mapping[str, str] | None = None, *, token: str | None = "owner-token"
    ) -> Response:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        path = method if "/" in method else f"gitpod.v1.AgentService/{method}"
        return await self.http.post(f"{self.url}/api/{path}", headers=self.headers(more, token), content=data)

    async def call(self, method: str, body: Any = None, **more: Any) -> dict[str, Any]:
        response = await self.post(method, body, **more)
        assert response.status_code == 200, (response.status_code, response.content)
        return json.loads(response.content)

    async def refused(self, method: str, body: Any = None, *args: Any, **more: Any) -> dict[str, Any]:
        response = await self.post(method, body, *args, **more)
        assert response.status_code != 200
        return {**json.loads(response.content), "status": response.status_code, "headers": dict(response.headers)}

    async def started(self, body: Any = None) -> str:
        return (await self.call("StartAgent", body))["agentExecutionId"]

    async def prepared(self, body: Any = None) -> str:
        """Start an execution whose environment is up."""
        execution = await self.started(body)
        await self.desk.append(execution, ev.EnvironmentReady("e", "i"))
        return execution

    async def send(self, execution: str, text: str, **more: Any) -> dict[str, Any]:
        block = {"inputs": [{"text": {"content": text}}], **more}
        return await self.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": block})


async def never_healthy() -> Health:
    return Health(False, "the sandbox is missing")


async def doctor() -> dict[str, Any]:
    return {"sandbox": "ok"}


class Listening:
    """Uvicorn's own protocol on a socket of the test's loop, without its signals and its waiting."""

    def __init__(self, app: Any) -> None:
        self._config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", interface="asgi3")
        self._config.load()
        self._state = ServerState()

    async def start(self) -> int:
        """Listen on a free port and return it."""
        made = self._config.http_protocol_class
        assert not isinstance(made, str)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: made(config=self._config, server_state=self._state, app_state={}), "127.0.0.1", 0
        )
        return self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection and end what still runs for them."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    clock, tokens = HandClock(), MemoryTokens()
    executions = AskedExecutions()
    desk = FakeDesk(executions, clock)
    rows = MemoryEnvironmentRows()
    rows.tell = executions.tell
    environments = FakeEnvironments(rows, clock)
    hour = clock.now() + timedelta(hours=1000)
    await tokens.add(ApiToken("t1", hashed("owner-token"), OWNER, "owner", "all", clock.now(), None))
    await tokens.add(ApiToken("t2", hashed("bot-token"), BOT, "bot", "all", clock.now(), hour))
    await tokens.add(ApiToken("t3", hashed("read-token"), BOT, "reader", "read", clock.now(), None))
    await tokens.add(ApiToken("t4", hashed("old-token"), OWNER, "old", "all", clock.now(), clock.now()))
    holder: list[Api] = []
    parts = ApiParts(
        desk=desk,
        environments=environments,
        executions=executions,
        blobs=MemoryBlobs(),
        environment_rows=rows,
        prompts=(prompts := MemoryPrompts()),
        offers=LibraryOffers(prompts),
        tokens=tokens,
        people=MemoryPeople(tokens),
        projects=MemoryProjects(),
        project_use=MemoryProjectUse(),
        host_tokens=MemoryHostTokens(),
        sign_ins=MemorySignIns(tokens),
        shares=MemoryShares(executions),
        spending=MemorySpending(executions),
        logins=MemoryLogins(),
        agents=Agents(),
        classes=CLASSES,
        models=Models(),
        redactor=Redactor([SECRET]),
        ambient=clock,
        signing_key=b"k" * 32,
        organization_id="55555555-5555-4555-8555-555555555555",
        runner_id=RUNNER,
        version="0.1.0",
        draining=lambda: holder[0].stopping,
        ready=never_healthy,
        doctor=doctor,
        model_allowed=lambda name: name != "scripted:forbidden",
    )
    app = build(parts)
    server = Listening(app)
    port = await server.start()
    async with AsyncClient(timeout=30, verify=False) as http:
        holder.append(Api(parts, clock, desk, tokens, environments, f"http://127.0.0.1:{port}", http, app))
        yield holder[0]
    await server.stop()


def with_agent(api: Api, **changes: Any) -> None:
    """Change the default agent."""
    agents = api.parts.agents
    assert isinstance(agents, Agents)
    one = agents.definitions[0]
    agents.definitions[0] = replace(one, agent=replace(one.agent, **changes))
