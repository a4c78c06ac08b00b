"""How each effect is carried out; every one ends in facts. Nothing here decides what should happen."""

import asyncio
import math
import traceback
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

import structlog

from hostler.agents.builtin.context import request
from hostler.core import events as ev
from hostler.core.agent_events import QuestionsAsked
from hostler.core.ambient import Ambient
from hostler.core.commands import MAX_OUTPUTS
from hostler.core.conversation import ModelReply
from hostler.core.errands import Errand, Services
from hostler.core.errors import (
    EnvironmentError_,
    Fenced,
    HostlerError,
    MachineLost,
    ModelRefused,
    ModelUnavailable,
    NotAuthenticated,
)
from hostler.core.kept import WorkKept, WorkNotKept
from hostler.core.machines import Operation
from hostler.core.mcp_servers import is_mcp
from hostler.core.memory_events import CommandsAnnounced, Skill
from hostler.core.modes_plan import looks_only
from hostler.core.modes_plan import offered as modes_offered
from hostler.core.offers import Offered, announced, chosen
from hostler.core.plan import CallModel, KeepWork, KillGroup, PrepareEnvironment, RunTool
from hostler.core.ports import Blobs, Fact, Models
from hostler.core.redaction import Redactor
from hostler.core.state import State
from hostler.engine.agents import Agents, Emit, Machines
from hostler.engine.forge import unauthenticated
from hostler.engine.livetext import LiveText, Saying
from hostler.engine.mcp import McpServers
from hostler.engine.performing import Performers
from hostler.engine.scene import Scene
from hostler.tools.registry import TOOLS
from hostler.tools.tool import Answer, Inside, OutsideTool, Tool, parse, spec

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
"""Tries of one model call before the provider is given up."""
LONGEST_RETRY_AFTER = 3600.0
"""Seconds that a provider may ask us to wait."""
LONGEST_WAIT = 60.0
"""Seconds between two tries, unless the provider asks for longer."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that answers, its machine registered for the execution at its fence."""

    incarnation: str
    base_commit: str
    notes: tuple[str, ...]
    instructions: str
    skills: tuple[Skill, ...] = ()
    """Those that the workspace brings along."""
    read_only: bool = False
    """Whether a command can be kept from writing there."""


class Places(Machines, Protocol):
    """What effects need of environments."""

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Make or find the environment and admit the execution. Raises EnvironmentFailed, Fenced."""
        ...

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End every process of the execution; fine when the environment does not run."""
        ...

    async def keep(self, environment: str, execution: str, turn: int) -> WorkKept:
        """Keep the workspace's changes outside. Raises EnvironmentError_ with the reason why they cannot be kept."""
        ...

    async def forget_work(self, execution: str) -> None:
        """Keep nothing of an execution's work any more."""
        ...

    async def release(self, environment: str, execution: str, *, owned: bool) -> None:
        """Give the environment up; one that was made for the execution and has no other user is removed."""
        ...


@dataclass(frozen=True, slots=True)
class Effects:
    """Carries out effects through the ports."""

    models: Models
    places: Places
    blobs: Blobs
    live: LiveText
    redactor: Redactor
    ambient: Ambient
    agents: Agents
    performers: Performers = field(default_factory=Performers)
    """Those of the state's parts."""
    services: Services = field(default_factory=Services)
    """What tools outside reach."""
    servers: McpServers | None = None
    """None where there are no MCP servers."""

    async def prepare(self, effect: PrepareEnvironment, scene: Scene) -> tuple[Fact, ...]:
        """Make or find the environment."""
        key = f"environment/{scene.position.fence}/{scene.position.seq}"
        try:
            done = await self.places.prepare(effect.environment_id, scene.execution, scene.position.fence)
        except Fenced:
            raise
        except NotAuthenticated as problem:
            said = NotAuthenticated(self.redactor.text(problem.message), problem.url)
            return (await unauthenticated(said, effect.environment_id, self.services.forges, key),)
        except EnvironmentError_ as problem:
            return (Fact(key, ev.EnvironmentFailed(self.redactor.text(problem.message))),)
        offered = await self.services.offers.offered() if self.services.offers else Offered()
        ready = ev.EnvironmentReady(
            effect.environment_id,
            done.incarnation,
            done.base_commit,
            tuple(self.redactor.text(note) for note in done.notes),
            self.redactor.text(done.instructions),
            chosen(done.skills, offered.skills),
            done.read_only,
        )
        commands = CommandsAnnounced(announced(offered, scene.state.begun.agent.driver))
        known = scene.state.memory.commands
        news = commands.commands != known and bool(offered.commands or known)
        events = (ready, commands) if news else (ready,)
        return tuple(Fact(key, self._masked(event)) for event in events)

    async def call_model(self, effect: CallModel, scene: Scene, emit: Emit) -> tuple[Fact, ...]:
        """Make one try of one model call; what an earlier one was cut off at comes into the log first."""
        if left := self._cut(effect.call_id, scene.execution, again=True):
            await emit(left)
        if effect.not_before:
            await self.ambient.until(effect.not_before)
        state = scene.state
        offered = [spec(TOOLS[name]) for name in modes_offered(state) if name in TOOLS]
        if self.servers is not None:
            offered.extend(await self.servers.offer(scene, emit))
        saying = self.live.begin(scene.execution, scene.position.fence, effect.call_id, _try_of(effect, scene))
        try:
            model = await self.models.prepare(state.begun.agent.model)
            reply = await model.call(request(state, scene.log, offered), saying.on_delta)
        except HostlerError as problem:
            return self._failed(effect, problem, scene.execution)
        except (Exception, asyncio.CancelledError) as problem:
            # A provider library's fault, unless we are told to stop; another try may help, and the tries end.
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            log.error("a model call failed", execution=scene.execution, trace=traceback.format_exc())
            message = f"the model call failed inside Hostler: {type(problem).__name__}"
            return self._failed(effect, ModelUnavailable(message), scene.execution)
        return (Fact(effect.call_id, self._replied(effect.call_id, reply, saying)),)

    def _failed(self, effect: CallModel, problem: HostlerError, execution: str) -> tuple[Fact, ...]:
        """Return that a try failed, after what it had said by then."""
        message = self.redactor.text(problem.message)
        retry_at = None
        if isinstance(problem, ModelUnavailable) and effect.attempt + 1 < MAX_ATTEMPTS:
            asked = problem.retry_after or 0.0
            bounded = min(asked, LONGEST_RETRY_AFTER) if math.isfinite(asked) else 0.0
            wait = max(bounded, min(LONGEST_WAIT, 2.0**effect.attempt / 2))
            retry_at = self.ambient.now() + timedelta(seconds=wait)
        overflow = isinstance(problem, ModelRefused) and problem.context_overflow
        failed = ev.ModelCallFailed(effect.call_id, message, retry_at, overflow)
        cut = self._cut(effect.call_id, execution, again=retry_at is not None)
        return (*cut, Fact(f"{effect.call_id}/{effect.attempt}", failed))

    def _cut(self, call_id: str, execution: str, *, again: bool) -> tuple[Fact, ...]:
        """Return what people were shown of a call that broke off, if anything; its key is the block where it began."""
        blocks = [block for block in self.live.open_blocks(execution) if block.call_id == call_id]
        said = tuple(ev.CutText(block.block, block.text, block.kind == "thinking") for block in blocks)
        return (Fact(f"{call_id}/{said[0].block}", ev.ModelCallCut(call_id, said, again)),) if said else ()

    def _replied(self, call_id: str, reply: ModelReply, saying: Saying) -> ev.ModelReplied:
        """Return the reply without secrets, with the ids of the blocks under which it streamed."""
        replied = ev.ModelReplied(
            call_id,
            reply.parts,
            reply.usage,
            reply.finish,
            reply.native,
            tuple(saying.block(number) for number in range(len(reply.parts))),
        )
        masked = self._masked(replied)
        assert isinstance(masked, ev.ModelReplied)
        return masked

    async def run_tool(self, effect: RunTool, scene: Scene) -> tuple[Fact, ...]:
        """Run or rejoin a tool call; a lost supervisor is a fact of its own."""
        if is_mcp(effect.name) and self.servers is not None:
            return await self._finished(effect.call_id, scene.execution, await self.servers.call(effect, scene))
        tool = TOOLS[effect.name]
        try:
            arguments = parse(tool, effect.arguments)
        except ValueError as fault:
            return (Fact(effect.call_id, ev.ToolFinished(effect.call_id, "failed", str(fault))),)
        try:
            answer = await self._answer(tool, arguments, effect, scene)
        except MachineLost:
            return (Fact(f"lost/{scene.position.fence}/{scene.position.seq}", ev.SupervisorLost(effect.incarnation)),)
        except Fenced:
            raise
        except EnvironmentError_ as problem:
            answer = Answer("failed", problem.message)
        except HostlerError:
            raise
        except Exception:  # noqa: BLE001 a tool's fault is the model's to hear, and ours to log
            log.error("a tool failed", tool=effect.name, execution=scene.execution, trace=traceback.format_exc())
            answer = Answer("unknown", f"{effect.name} failed inside Hostler; its outcome is unknown.")
        return await self._finished(effect.call_id, scene.execution, answer)

    async def _answer(self, tool: Tool | OutsideTool, arguments: Any, effect: RunTool, scene: Scene) -> Answer:
        inside = await self._inside(effect, scene)
        if isinstance(tool, OutsideTool):
            errand = Errand(
                scene.execution, effect.call_id, scene.position.fence, scene.state, scene.log, self.services
            )
            return await tool.go(arguments, errand, inside)
        return await tool.run(arguments, inside)

    async def _inside(self, effect: RunTool, scene: Scene) -> Inside | None:
        if not effect.incarnation:
            return None
        machine = await self.places.machine_for(scene.state.environment.id)
        operation = Operation(scene.execution, scene.position.fence, effect.call_id)
        return Inside(machine, operation, effect.incarnation, read_only=looks_only(scene.state))

    async def _finished(self, call_id: str, execution: str, answer: Answer) -> tuple[Fact, ...]:
        blob = ""
        if answer.whole is not None:
            blob = await self.blobs.put(execution, self.redactor.data(answer.whole))
        finished = ev.ToolFinished(
            call_id,
            answer.outcome,
            self.redactor.text(answer.text),
            answer.exit_code,
            blob,
            answer.whole_bytes,
            self.redactor.json(answer.details),
        )
        events = (named(event, call_id) for event in answer.events)
        return (Fact(call_id, finished), *(Fact(call_id, self._masked(event)) for event in events))

    def _masked(self, event: ev.Event) -> ev.Event:
        """Return an event without secrets, also where the model had written them in another form."""
        kind, version, body = ev.encode(event)
        masked = self.redactor.json(body)
        return event if masked is body else ev.decode(kind, version, masked)

    async def keep(self, effect: KeepWork, scene: Scene) -> tuple[Fact, ...]:
        """Keep the work of a turn that has ended; what stands in the way is a fact of its own."""
        turn = effect.turn
        try:
            kept = await self.places.keep(scene.state.environment.id, scene.execution, turn)
        except (EnvironmentError_, OSError) as problem:
            reason = problem.message if isinstance(problem, EnvironmentError_) else problem.strerror or str(problem)
            return (Fact(f"keep/{turn}", WorkNotKept(turn, self.redactor.text(reason))),)
        return (Fact(f"keep/{turn}", self._masked(kept)),)

    async def kill_group(self, effect: KillGroup, scene: Scene) -> tuple[Fact, ...]:
        """End every process of the execution in its environment."""
        await self.places.kill_group(scene.state.environment.id, scene.execution, scene.position.fence)
        return (Fact(f"group/{effect.turn}/{scene.position.fence}", ev.GroupGone(effect.turn)),)


def _try_of(effect: CallModel, scene: Scene) -> str:
    """Return the name of a try, other than that of every one that was cut off: its blocks have their ends already."""
    cut = sum(isinstance(one.event, ev.ModelCallCut) and one.event.call_id == effect.call_id for one in scene.log)
    return f"{effect.attempt}+{cut}" if cut else str(effect.attempt)


def named(event: ev.Event, call_id: str) -> ev.Event:
    """Return a tool's event; questions are named after their call, so that no two of an execution share a name."""
    if not isinstance(event, QuestionsAsked):
        return event
    questions = tuple(replace(one, id=f"{call_id}.{one.id}") for one in event.questions)
    return QuestionsAsked(call_id, questions)


def within_outputs(state: State, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Return a tool's facts, or its refusal where the execution would have too many outputs after them."""
    for fact in facts:
        if isinstance(fact.event, ev.OutputsSet) and len(fact.event.values.keys() | state.outputs.keys()) > MAX_OUTPUTS:
            text = f"an execution has at most {MAX_OUTPUTS} outputs; nothing was set"
            return (Fact(fact.effect, ev.ToolFinished(fact.effect, "failed", text)),)
    return facts
