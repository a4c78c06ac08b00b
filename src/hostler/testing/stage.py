"""A stage for stories: the real engine on a store in memory, a world that remembers, a scripted model, a hand clock."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hostler.core.approvals_events import Permission
from hostler.core.commands import Command, Send, Stop
from hostler.core.desk import AgentDefinition, NewEnvironment, NewExecution
from hostler.core.events import Agent, Json, Limits, Recorded
from hostler.core.maintenance import MemorySwitch
from hostler.core.offers import Offers
from hostler.core.ports import ExecutionQuery, Executions, Models, Principal
from hostler.core.providers import Scratch
from hostler.core.redaction import Redactor
from hostler.core.spoken import SpokenText
from hostler.core.state import State, fold
from hostler.dispatch.local import LocalDispatch
from hostler.engine import approving, compacting, judging
from hostler.engine import modes as looking
from hostler.engine.admission import Admission
from hostler.engine.agents import OPENING, Agents, Lodging
from hostler.engine.desk import Desk
from hostler.engine.effects import Effects
from hostler.engine.engine import Engine, Identity
from hostler.engine.family import Families
from hostler.engine.forge import ForgeEffects
from hostler.engine.livetext import LiveText
from hostler.engine.mcp import McpServers
from hostler.engine.waking import Waking
from hostler.engine.worker import Worker
from hostler.projections.invariants import check
from hostler.projections.row import project
from hostler.testing.clock import HandClock
from hostler.testing.forge_memory import MemoryForge
from hostler.testing.link import Link
from hostler.testing.memory import MemoryExecutions
from hostler.testing.resident import ResidentDriver
from hostler.testing.toolshed import Toolshed
from hostler.testing.world import MemoryBlobs, MemorySpoken, World
from hostler.tools.registry import INSIDE, TOOLS

SOMEBODY = Principal("11111111-1111-4111-8111-111111111111", "user", "somebody", role="admin")
PATIENCE = 20.0
"""Seconds of real time after which a story that does not go on has failed."""


@dataclass
class Server:
    """One life of a server process on a stage."""

    engine: Engine
    desk: Desk
    live: LiveText
    link: Link
    agents: Agents


@dataclass
class StageAgents:
    """The agents that can be started by name."""

    known: list[AgentDefinition] = field(default_factory=list[AgentDefinition])

    def default(self) -> AgentDefinition:
        """Return the first."""
        return self.known[0]

    def get(self, agent_id: str) -> AgentDefinition | None:
        """Return an agent by id."""
        return next((one for one in self.known if one.agent.id == agent_id), None)

    def all(self) -> Sequence[AgentDefinition]:
        """Return every agent."""
        return self.known


@dataclass
class Stage:
    """What survives servers, and the server that lives now."""

    models: Models
    world: World = field(default_factory=World)
    clock: HandClock = field(default_factory=HandClock)
    settle: float = 0.0
    slots: int = 8
    window: int = 0
    """Tokens of the model's context; 0 is unknown."""
    permissions: tuple[Permission, ...] = ()
    """Rules on tool calls."""
    opening: float = OPENING
    worker: type[Worker] = Worker
    secrets: tuple[str, ...] = ()
    offers: Offers | None = None
    """The prompt library, for stories that have one."""
    executions: Executions = field(default_factory=lambda: MemoryExecutions(project))
    runner: str = "runner"
    register: Callable[[Identity], Awaitable[object]] | None = None
    """Told of every new life before it begins, for a store that knows its runners."""
    forge: MemoryForge = field(default_factory=MemoryForge)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    maintenance: MemorySwitch = field(default_factory=MemorySwitch)
    toolshed: Toolshed = field(default_factory=Toolshed)
    spoken: SpokenText = field(default_factory=MemorySpoken)
    agents: StageAgents = field(default_factory=lambda: StageAgents())
    """What sub-agents may be of."""
    lives: int = 0
    alive_until: datetime | None = None
    server: Server = field(init=False)

    async def boot(self, link: Link | None = None) -> Server:
        """Begin a life: a new incarnation adopts what the last one left."""
        self.lives += 1
        alive_until, self.alive_until = self.alive_until, None
        link = link or Link(self.executions)
        identity = Identity(self.runner, f"life-{self.lives}", f"life-{self.lives - 1}", alive_until)
        if self.register is not None:
            await self.register(identity)
        redactor = Redactor(self.secrets)
        live = LiveText(redactor, self.spoken)
        drivers = {"resident": ResidentDriver()}
        servers = McpServers(self.toolshed, self.world, redactor, self.clock, self.toolshed.own)
        agents = Agents(
            drivers,
            self.world,
            _lodge,
            live,
            redactor,
            pause=_at_once,
            opening=self.opening,
            servers=servers.given,
        )
        effects = Effects(self.models, self.world, self.blobs, live, redactor, self.clock, agents, servers=servers)
        effects.performers.learn(servers.performers())
        effects.performers.learn(compacting.performers(effects))
        effects.services.offers = self.offers
        effects.performers.learn(judging.performers(self.models, redactor))
        effects.performers.learn(looking.performers(self.world, redactor))
        dispatch = LocalDispatch(self.clock)
        engine = Engine(
            identity, link, effects, dispatch, self.clock, slots=self.slots, settle=self.settle, worker=self.worker
        )
        desk = Desk(identity, link, self.world, engine, dispatch, live, redactor, self.clock)
        admission = Admission(self.maintenance, self.clock)
        waking = Waking(desk, link, self.world, admission, self.clock, redactor, longest=timedelta(hours=24))
        effects.performers.learn(waking.performers())
        effects.services.waits = waking
        forges = self.forge.forges
        effects.services.forges, effects.services.workshop = forges, self.forge
        forging = ForgeEffects(forges, self.forge, self.world, desk.command, redactor, admission)
        effects.performers.learn(forging.performers())
        families = Families(desk, link, self.agents, _another, redactor)
        effects.performers.learn(families.performers())
        effects.performers.learn(approving.performers(desk.command, admission, self.clock))
        effects.services.kin = families
        await engine.open()
        self.server = Server(engine, desk, live, link, agents)
        return self.server

    async def kill(self) -> None:
        """End the life without a word; the world goes on. What must hold of every log is held against all of them."""
        self.server.link.cut()
        self.alive_until = self.clock.now()
        await self.server.engine.close()
        await self.hold_invariants()

    async def hold_invariants(self) -> None:
        """Raise AssertionError when a log, or what is kept beside it, is not as it must be."""
        for row in await self.executions.find(ExecutionQuery(), limit=1000):
            log = [one for one in await self.executions.read(row.id) if one.seq <= row.last_seq]
            found = check(log, row.view)
            assert not found, "\n".join(f"{one.rule} at {one.seq}: {one.text}" for one in found)

    async def restart(self) -> None:
        """Die and live again."""
        await self.kill()
        await self.boot()

    async def start(
        self,
        model: str,
        task: str = "",
        limits: Limits | None = None,
        driver: str = "builtin",
        request: Json | None = None,
    ) -> str:
        """Start an execution, with a first input when there is a task."""
        agent = Agent(
            "agent",
            "stage",
            driver,
            model,
            limits=limits or Limits(),
            tools=tuple(TOOLS),
            tools_inside=INSIDE,
            context_window=self.window,
            permissions=self.permissions,
        )
        new = NewExecution(request or {}, agent, NewEnvironment("class", Scratch()), SOMEBODY, "session", name="story")
        execution = await self.server.desk.start(new)
        if task:
            await self.send(execution, task)
        return execution

    async def send(self, execution: str, text: str, input_id: str = "") -> State:
        """Send a text."""
        return await self.server.desk.command(execution, said(text, input_id or self.clock.new_id()))

    async def stop(self, execution: str) -> State:
        """Stop the turn that runs."""
        return await self.server.desk.command(execution, Stop())

    async def command(self, execution: str, command: Command) -> State:
        """Ask for anything."""
        return await self.server.desk.command(execution, command)

    @property
    def commits(self) -> Sequence[tuple[str, ...]]:
        """Return the kinds of events of each append, in order; known of a store in memory only."""
        assert isinstance(self.executions, MemoryExecutions)
        return self.executions.commits

    async def log(self, execution: str) -> Sequence[Recorded]:
        """Return the log."""
        return await self.executions.read(execution)

    async def state(self, execution: str) -> State:
        """Return the state, folded anew."""
        return fold(await self.executions.read(execution))

    async def until(self, execution: str, holds: Callable[[State], bool]) -> State:
        """Return the first state for which something holds."""
        async with asyncio.timeout(PATIENCE), self.executions.watch(execution) as watch:
            while not holds(state := await self.state(execution)):
                await watch.changed(PATIENCE)
        return state

    async def rest(self, execution: str) -> State:
        """Return the state when the execution has come to rest: nothing is due and nothing is wanted."""

        def resting(state: State) -> bool:
            return state.phase in ("WAITING_FOR_INPUT", "STOPPED") and not project(state).busy

        return await self.until(execution, resting)


def said(text: str, input_id: str) -> Send:
    """Return a text as a user sends it."""
    block = {"id": input_id, "inputs": [{"text": {"content": text}}]}
    return Send(input_id, block, hashlib.sha256(json.dumps(block).encode()).hexdigest())


async def _at_once(seconds: float) -> None:
    """Take no time; others have their turn."""
    await asyncio.sleep(0)


def _lodge(environment: str, execution: str) -> Lodging:
    return Lodging("/workspace", f"/home/{execution}", "", "")


async def _another(environment: str) -> NewEnvironment:
    """Return an environment like every other on a stage."""
    return NewEnvironment("class", Scratch())
