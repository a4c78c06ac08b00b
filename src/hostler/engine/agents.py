"""Effects of agents that live in the environment: run the process and read it, tell it something, close it.

A `RunAgent` effect holds the line to the process while a turn runs. What the process says becomes facts, appended
together with how far it was read; so whoever comes next reads on from there. A `TellAgent` effect writes its message
and then waits until it is no longer wanted: only the process's own output can make that true.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from hostler.agents.builtin.context import typed
from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import AgentDriver, Heard, Input, Launch, Message, Piece, Reader
from hostler.core.conversation import Usage
from hostler.core.errors import EnvironmentError_, FailedPrecondition, Fenced, MachineLost
from hostler.core.events import Event
from hostler.core.external_plan import RESTARTED_NOTE, CloseAgent, RunAgent, TellAgent
from hostler.core.forge import with_pull_request
from hostler.core.machines import Attached, Exited, Machine, Operation, ProcessEnded
from hostler.core.mcp_servers import McpServer
from hostler.core.memory import command_in, shell_id, texts_of
from hostler.core.memory_events import ShellFinished
from hostler.core.ports import Fact
from hostler.core.redaction import Redactor
from hostler.core.spoken import Spoken
from hostler.engine.livetext import LiveText
from hostler.engine.scene import Scene
from hostler.projections.blocks import block_id

log = structlog.get_logger(__name__)

Emit = Callable[[tuple[Fact, ...]], Awaitable[None]]
"""Has facts appended while the effect goes on; returns when they are in the log."""
LONGEST_LINE = 96 << 20
"""Bytes of one line of output; a process that writes more without an end of line is not understood any more."""
MINOR = (ae.ContextMeasured,)
"""Kinds of events that are worth no commit of their own; before the next model call or the end others follow."""
OPENING = 300.0
"""Seconds within which a process must have opened its conversation, or it is ended."""
TELL_AGAIN = 1.0
"""Seconds until the agent is told again what could not be said to it."""
TELLS = 20
"""Times that a process which runs may refuse its standard input."""
LAST_WORDS = 2000
"""Characters of standard error that are told when a process died."""


@dataclass(frozen=True, slots=True)
class Lodging:
    """Where an agent lives in its environment: its workspace, a home of its own, and the way to the models."""

    workspace: str
    home: str
    gateway: str
    token: str


class Machines(Protocol):
    """What these effects need of environments."""

    async def machine_for(self, environment: str) -> Machine:
        """Return the inside of an environment that was prepared. Raises MachineLost."""
        ...


class OpenCalls(Protocol):
    """The model calls under way, as the gateway carries them."""

    def estimates(self, execution: str) -> Mapping[str, Usage]:
        """Return what each has used so far, by call."""
        ...

    def cut_now(self, execution: str) -> None:
        """Cut them all, whose end is in the log already."""
        ...


GivenServers = Callable[[Scene], Awaitable[tuple[tuple[McpServer, ...], Fact | None]]]
"""The MCP servers that an agent gets at its start, and what is to be logged of them. Raises MachineLost."""
Lodge = Callable[[str, str], Lodging]
"""Where an agent lives, by its environment and its execution; raises FailedPrecondition where none can."""


class Agents:
    """Runs the processes of external agents, one for an execution at a time."""

    def __init__(
        self,
        drivers: Mapping[str, AgentDriver],
        machines: Machines,
        lodge: Lodge,
        live: LiveText,
        redactor: Redactor,
        calls: OpenCalls | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        opening: float = OPENING,
        servers: GivenServers | None = None,
    ) -> None:
        self._servers = servers
        self._pause = pause
        self._opening = opening
        self.calls = calls
        """None where agents call models in no way that is known here."""
        self._drivers = drivers
        self._machines = machines
        self._lodge = lodge
        self._live = live
        self._redactor = redactor
        self._lines: dict[tuple[str, str], asyncio.Future[Attached]] = {}

    def driver(self, name: str) -> AgentDriver | None:
        """Return a driver; None when it is not installed."""
        return self._drivers.get(name)

    async def run(self, effect: RunAgent, scene: Scene, emit: Emit) -> tuple[Fact, ...]:
        """Start or rejoin the process, greet it, and read it until it ends."""
        key = (scene.execution, effect.process)
        driver = self._drivers.get(scene.state.begun.agent.driver)
        if driver is None:
            text = f"the agent's driver {scene.state.begun.agent.driver!r} is not installed on this runner"
            return (Fact(f"{effect.process}/driver", ae.AgentFault("agent_execution", text)),)
        line = self._line(key)
        attached: Attached | None = None
        try:
            launch = replace(self._launch(effect, scene), servers=await self._given(scene, emit))
            machine = await self._machines.machine_for(scene.state.environment.id)
            operation = Operation(scene.execution, scene.position.fence, effect.process)
            offset = scene.state.external.offset
            attached = await machine.attach(
                operation, driver.program(launch), incarnation=effect.incarnation, offset=offset
            )
            line.set_result(attached)
            if not scene.state.external.opened:
                await _say(attached, driver.greeting(launch))
            self._live.restore(scene.execution, before=offset)
            hearing = _Hearing(self, scene, effect, driver.reader(launch, scene.state.external.known), emit)
            async with asyncio.timeout(None if scene.state.external.opened else self._opening) as deadline:
                await hearing.listen(attached, offset, lambda: deadline.reschedule(None))
            return await self._ended(effect, attached, scene)
        except TimeoutError:
            text = f"the agent's process did not open its conversation within {self._opening:g} seconds"
            if attached is not None:
                with contextlib.suppress(EnvironmentError_):
                    await attached.kill()
            return self._death(effect, text, scene)
        except MachineLost:
            return (Fact(f"lost/{scene.position.fence}/{scene.position.seq}", ev.SupervisorLost(effect.incarnation)),)
        except Fenced:
            raise
        except FailedPrecondition as problem:
            return (Fact(f"{effect.process}/lodging", ae.AgentFault("agent_execution", problem.message)),)
        except EnvironmentError_ as problem:
            return self._death(effect, problem.message, scene)
        finally:
            self._lines.pop(key, None)
            if not line.done():
                line.set_exception(ProcessEnded("the agent's process is not there"))
                line.exception()
            if attached is not None:
                attached.close()

    async def tell(self, effect: TellAgent, scene: Scene) -> tuple[Fact, ...]:
        """Write one message, then wait: what it comes to is in the process's output, and a loss is `run`'s to tell."""
        message = self._message(self._drivers[scene.state.begun.agent.driver], effect, scene)
        refused = 0
        while refused < TELLS:
            try:
                attached = await asyncio.shield(self._line((scene.execution, effect.process)))
                await _say(attached, [message])
                await asyncio.get_running_loop().create_future()  # Nobody ends this wait but a cancellation.
            except (MachineLost, ProcessEnded) as problem:
                log.debug("the agent could not be told", execution=scene.execution, problem=problem.message)
                refused += isinstance(problem, ProcessEnded)
            except Fenced:
                raise
            except EnvironmentError_ as problem:
                return (self._untold(effect, problem.message),)
            await self._pause(TELL_AGAIN)
        return (self._untold(effect, "its process takes no input any more"),)

    def _untold(self, effect: TellAgent, why: str) -> Fact:
        text = self._redactor.text(f"the agent could not be told something ({effect.what}): {why}")
        return Fact(f"{effect.process}/untold/{effect.what}/{effect.subject}", ae.AgentFault("agent_execution", text))

    async def close(self, effect: CloseAgent, scene: Scene) -> tuple[Fact, ...]:
        """End the process of an idle agent."""
        try:
            machine = await self._machines.machine_for(scene.state.environment.id)
            await machine.cancel(Operation(scene.execution, scene.position.fence, effect.process))
        except EnvironmentError_ as problem:
            # Fenced too: a supervisor that came later knows neither us nor the process. The log's fence decides.
            log.info("an idle agent's process is out of reach", execution=scene.execution, problem=problem.message)
        return (Fact(f"{effect.process}/ended", ae.AgentEnded(effect.process)),)

    def _line(self, key: tuple[str, str]) -> asyncio.Future[Attached]:
        """Return the line to a process, held by `run` and awaited by `tell`, whichever comes first."""
        return self._lines.setdefault(key, asyncio.get_running_loop().create_future())

    def _launch(self, effect: RunAgent, scene: Scene) -> Launch:
        agent, begun = scene.state.begun.agent, scene.state.begun
        lodging = self._lodge(scene.state.environment.id, scene.execution)
        return Launch(
            scene.execution,
            effect.process,
            lodging.workspace,
            lodging.home,
            lodging.gateway,
            lodging.token,
            agent.model.partition(":")[2],
            agent.effort,
            with_pull_request(agent.system_prompt, scene.state),
            scene.state.external.thread,
            begun.request.get("codexSettings") or {},
        )

    async def _given(self, scene: Scene, emit: Emit) -> tuple[McpServer, ...]:
        """Return the MCP servers of a process that is to be started, and have them logged; none for one that runs."""
        if self._servers is None or scene.state.external.opened:
            return ()
        servers, fact = await self._servers(scene)
        if fact is not None:
            await emit((fact,))
        return servers

    def _message(self, driver: AgentDriver, effect: TellAgent, scene: Scene) -> Message:
        x = scene.state.external
        match effect.what:
            case "steer":
                return driver.steer(x.known, effect.process, _input(scene, effect.subject))
            case "answer":
                return driver.answer(x.known, effect.subject, _input(scene, effect.answer))
            case "resume":
                return driver.resume(x.known, effect.process, RESTARTED_NOTE)
            case "compact":
                return driver.compact(x.known, effect.subject)
            case "goal" if x.change is not None:
                return driver.goal(x.known, effect.subject, x.change, x.goal)
            case _:
                again = replace(_input(scene, effect.subject), missed=effect.missed)
                return driver.deliver(x.known, effect.process, again)

    async def _ended(self, effect: RunAgent, attached: Attached, scene: Scene) -> tuple[Fact, ...]:
        outcome = await attached.wait()
        words = self._redactor.text((await attached.errors()).decode(errors="replace").strip())[-LAST_WORDS:]
        how = f"exit code {outcome.code}" if isinstance(outcome, Exited) else type(outcome).__name__.lower()
        text = f"the agent's process ended by itself ({how}){': ' if words else ''}{words}"
        return self._death(effect, text, scene)

    def _death(self, effect: RunAgent, message: str, scene: Scene) -> tuple[Fact, ...]:
        """Return that the process is gone, after what it was saying."""
        text = self._redactor.text(message)
        said = self.unsaid(scene, effect.process)
        return (*said, Fact(f"{effect.process}/ended", ae.AgentEnded(effect.process, text, died=True)))

    def unsaid(self, scene: Scene, process: str, besides: Iterable[Fact] = ()) -> list[Fact]:
        """Return what people were shown of blocks that nothing more will be said of, `besides` what is on its way."""
        whole = {fact.event.block for fact in besides if isinstance(fact.event, ae.AgentSaid)}
        return [
            Fact(
                f"{process}/{one.block}",
                ae.AgentSaid(one.call_id, one.text, one.kind == "thinking", one.block, cut=True),
            )
            for one in self._live.open_blocks(scene.execution)
            if one.block not in whole
        ]

    def superseded(self, scene: Scene, process: str, piece: Piece, besides: Iterable[Fact]) -> list[Fact]:
        """Return what was shown of a text that broke off, now that the agent begins another one of its kind.

        It says one thing after the other; so a model call was cut, and is made again.
        """
        kind = "thinking" if piece.thinking else "text"
        begun = _block(scene, process, piece.item)
        open_blocks = {one.block: one.kind for one in self._live.open_blocks(scene.execution)}
        if begun in open_blocks:
            return []
        return [
            fact
            for fact in self.unsaid(scene, process, besides)
            if isinstance(fact.event, ae.AgentSaid) and open_blocks[fact.event.block] == kind
        ]

    def facts(self, scene: Scene, process: str, offset: int, heard: Heard) -> list[Fact]:
        """Return the facts of the line that begins at `offset`, without secrets."""
        return [
            Fact(f"{process}/{offset}/{number}", self._masked(_with_block(event, scene, process)))
            for number, event in enumerate(heard.events)
        ]

    def say(self, scene: Scene, process: str, offset: int, piece: Piece) -> None:
        """Show text that is being said in the line that begins at `offset`."""
        block, kind = _block(scene, process, piece.item), "thinking" if piece.thinking else "text"
        self._live.piece(scene.execution, Spoken(block, piece.item, 0, kind, piece.text, offset))

    def _masked(self, event: Event) -> Event:
        kind, version, body = ev.encode(event)
        return ev.decode(kind, version, self._redactor.json(body))


class _Hearing:
    """Reads one process's output: lines become facts, and facts are appended before more is read."""

    def __init__(self, agents: Agents, scene: Scene, effect: RunAgent, reader: Reader, emit: Emit) -> None:
        self._agents = agents
        self._scene = scene
        self._process = effect.process
        self._reader = reader
        self._emit = emit

    async def listen(self, attached: Attached, offset: int, opened: Callable[[], None]) -> None:
        """Read to the end of the output, and say when the conversation is open.

        What nobody waits for is appended together with what comes next; what came before text is in the log first.
        """
        facts: list[Fact] = []
        async for end, lines in _lines(attached.output(), offset):
            for start, line in lines:
                heard = self._reader.feed(line)
                if heard.pieces:
                    facts.extend(self._agents.superseded(self._scene, self._process, heard.pieces[0], facts))
                    facts = await self._append(facts, start)
                for piece in heard.pieces:
                    self._agents.say(self._scene, self._process, start, piece)
                if any(isinstance(event, ae.AgentTurnDone) for event in heard.events):
                    facts.extend(self._agents.unsaid(self._scene, self._process, facts))
                facts.extend(self._agents.facts(self._scene, self._process, start, heard))
                if any(isinstance(event, ae.AgentOpened) for event in heard.events):
                    opened()
                with contextlib.suppress(ProcessEnded):  # What it said before its end is still read.
                    await _say(attached, heard.replies)
            facts = await self._append(facts, end)

    async def _append(self, facts: list[Fact], end: int) -> list[Fact]:
        """Have facts appended that were read before `end`; return what can wait for others."""
        if all(isinstance(fact.event, MINOR) for fact in facts):
            return facts
        read = Fact(f"{self._process}/{end}", ae.AgentRead(self._process, end))
        await self._emit((*facts, read))
        return []


async def _lines(
    output: AsyncIterator[tuple[int, bytes]], offset: int
) -> AsyncIterator[tuple[int, list[tuple[int, bytes]]]]:
    """Yield (offset behind the last line, lines with the offset of each) for each piece of output with whole lines."""
    parts: list[bytes] = []
    size = 0
    async for _, data in output:
        last = data.rfind(b"\n")
        if last < 0:
            parts.append(data)
            size += len(data)
            if size > LONGEST_LINE:
                raise ProcessEnded(f"the agent wrote a line of more than {LONGEST_LINE >> 20} MiB")
            continue
        whole = b"".join([*parts, data[:last]])
        lines: list[tuple[int, bytes]] = []
        at = offset
        for line in whole.split(b"\n"):
            lines.append((at, line))
            at += len(line) + 1
        offset, parts = at, [data[last + 1 :]]
        size = len(parts[0])
        yield offset, lines


async def _say(attached: Attached, messages: Iterable[Message]) -> None:
    for message in messages:
        await attached.send(message.id, message.data)


def _block(scene: Scene, process: str, item: str) -> str:
    """Return the id of a block; whoever reads the process's output gives it the same one."""
    return block_id(scene.execution, process, item)


def _with_block(event: Event, scene: Scene, process: str) -> Event:
    """Return what was said with the id of the block under which it streamed."""
    if isinstance(event, ae.AgentSaid):
        return replace(event, block=_block(scene, process, event.item))
    return event


def _input(scene: Scene, input_id: str) -> Input:
    """Return an input as it was sent, with the settings that hold for its turn."""
    queued = next(r.event for r in scene.log if isinstance(r.event, ev.InputQueued) and r.event.input_id == input_id)
    asked: dict[str, Any] = scene.state.begun.request.get("codexSettings") or {}
    notes = [*([RESTARTED_NOTE] if scene.state.external.cut else []), *_typed_before(scene, input_id)]
    return Input(input_id, _meant(queued), {**asked, **(queued.settings or {})}, "\n\n".join(notes))


def _meant(queued: ev.InputQueued) -> ev.Json:
    """Return an input as the agent hears it: a command in its first text gives way to what it stands for."""
    if not queued.expansion:
        return queued.block
    if queued.origin == "agent":
        return {"inputs": [{"text": {"content": queued.expansion}}]}
    pictures = [one for one in (*queued.block.get("inputs", ()), queued.block) if "image" in one]
    texts = [{"text": {"content": text}} for text in (queued.expansion, *texts_of(queued.block)[1:])]
    kept = {key: value for key, value in queued.block.items() if key not in ("text", "image")}
    return {**kept, "inputs": [*texts, *({"image": one["image"]} for one in pictures)]}


def _typed_before(scene: Scene, input_id: str) -> Iterable[str]:
    """Yield what commands came to that a person typed since the input before this one."""
    typed_in: dict[str, str] = {}
    told: list[str] = []
    for recorded in scene.log:
        match recorded.event:
            case ev.InputQueued(id_, block, local="shell"):
                typed_in[shell_id(id_)] = command_in(block)
            case ShellFinished(call_id, outcome, text):
                told.append(typed(typed_in[call_id], outcome, text))
            case ev.InputTaken(input_ids):
                if input_id in input_ids:
                    break
                told.clear()
            case _:
                pass
    return told
