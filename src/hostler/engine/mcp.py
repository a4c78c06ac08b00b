"""The MCP servers of executions: started at a turn, kept alive while it runs, asked by the model's tool calls.

What is known of them lives in the log (`McpChanged`), and the connections here. A server that ends is started again by
itself after a pause that grows; a call that was under way fails, and no turn ends because of it.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.conversation import ToolSpec
from hostler.core.errors import EnvironmentError_, HostlerError
from hostler.core.machines import Operation
from hostler.core.mcp import RESTED
from hostler.core.mcp_client import McpConnector, McpFailed, McpResult, McpTimedOut, Site
from hostler.core.mcp_events import McpChanged, McpStatus
from hostler.core.mcp_plan import RestMcp, WatchMcp
from hostler.core.mcp_servers import Configured, Fault, McpServer, merged
from hostler.core.plan import RunTool
from hostler.core.ports import Fact
from hostler.core.redaction import Redactor
from hostler.core.state import State
from hostler.engine import mcp_reading
from hostler.engine.agents import Emit, Machines
from hostler.engine.mcp_keeping import DISABLED, Kept, Place
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene
from hostler.tools.tool import Answer, bounded

log = structlog.get_logger(__name__)

PATIENCE = 30.0
"""Seconds for which the first model call of a turn waits for servers that are starting."""
MOST_OFFERED = 100
"""Tools of all servers together; model providers take little more than that."""
MOST_WHOLE = 8 << 20
"""Bytes of a result that are kept beside what the model reads."""
OwnServers = Callable[[Sequence[str]], tuple[McpServer, ...]]
"""The configured servers with these names."""


REMEMBERED = 4096
"""Executions of which it is known that this turn has no servers."""


class McpServers:
    """Every execution's servers, as far as this process holds them."""

    def __init__(
        self,
        connector: McpConnector,
        machines: Machines,
        redactor: Redactor,
        ambient: Ambient,
        own: OwnServers = lambda names: (),
        patience: float = PATIENCE,
    ) -> None:
        self._connector = connector
        self._machines = machines
        self._redactor = redactor
        self._ambient = ambient
        self.own = own
        """Finds the configured servers by their names."""
        self._patience = patience
        self._held: dict[str, _Held] = {}
        self._without: dict[str, tuple[int, int, str]] = {}
        self._arrived = asyncio.Event()

    # --- before a model call --------------------------------------------------------------------------------------

    async def offer(self, scene: Scene, emit: Emit) -> Sequence[ToolSpec]:
        """Return the tools that are there now, their servers started at the turn's first call.

        What was started is in the log before it starts. Raises nothing but what `emit` raises: a turn goes on without.
        """
        try:
            held = await self._ready(scene, emit)
        except EnvironmentError_ as problem:
            log.info("MCP servers cannot be had", execution=scene.execution, problem=problem.message)
            return ()
        if held is None:
            return ()
        if held.waited != held.turn:
            held.waited = held.turn
            await held.settled(self._patience)
        return held.offered(planning(scene.state))

    async def _ready(self, scene: Scene, emit: Emit) -> "_Held | None":
        """Return the servers of this turn, those of an earlier owner ended and ours under this turn's fence."""
        state, fence = scene.state, scene.position.fence
        held = self._held.get(scene.execution)
        turn = (state.turn, fence, state.environment.incarnation)
        if held is not None and held.turn == turn:
            return held
        if held is None and self._without.get(scene.execution) == turn:
            return None
        machine = await self._machines.machine_for(state.environment.id)
        wanted = merged(self.own(state.begun.agent.mcp), await mcp_reading.repository(machine))
        if not (wanted.servers or wanted.faults or state.mcp.servers or held):
            self._without[scene.execution] = turn
            while len(self._without) > REMEMBERED:
                self._without.pop(next(iter(self._without)))
            return None
        place = Place(state.environment.id, machine, scene.execution, fence, state.environment.incarnation)
        if held is None:
            await _end_strangers(state, place)
            held = self._held[scene.execution] = _Held(self._connector, self._redactor, self._ambient)
        await held.become(wanted, place)
        held.turn = turn
        if fact := self._changed(state, held):
            await emit((fact,))
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
        held.start()
        return held

    def _changed(self, state: State, held: "_Held") -> Fact | None:
        """Return how the servers stand, unless the log knows."""
        now = tuple(_masked(status, self._redactor) for status in held.statuses())
        if now == state.mcp.servers:
            return None
        event = McpChanged(now)
        return Fact(f"mcp/{held.turn[1]}/{held.revision(event)}", event)

    # --- before an agent that lives inside starts -----------------------------------------------------------------

    async def given(self, scene: Scene) -> tuple[tuple[McpServer, ...], Fact | None]:
        """Return the servers that such an agent starts or reaches itself, and what is to be logged of them."""
        state, fence = scene.state, scene.position.fence
        machine = await self._machines.machine_for(state.environment.id)
        wanted = merged(self.own(state.begun.agent.mcp), await mcp_reading.repository(machine))
        statuses = [McpStatus(fault.id, fault.id, "failed", fault.message) for fault in wanted.faults]
        servers: list[McpServer] = []
        for server in wanted.servers:
            operation = Operation(scene.execution, fence, f"mcp-{server.id}-{fence}-{state.external.process}")
            site = Site(state.environment.id, machine, operation, state.environment.incarnation)
            status = McpStatus(server.id, server.title, "initializing")
            try:
                if server.disabled:
                    status = replace(status, phase="unavailable", warning=DISABLED)
                elif any(set(pattern) & set("*?[") for pattern in server.deny):
                    raise McpFailed("this agent takes names on a deny list and no patterns; write each name")
                else:
                    servers.append(await mcp_reading.expanded(server, site, self._redactor))
            except McpFailed as problem:
                status = replace(status, phase="failed", failure=self._redactor.text(problem.message))
            statuses.append(status)
        event = McpChanged(tuple(sorted(statuses, key=lambda one: one.id)))
        fresh = event.servers != state.mcp.servers
        return tuple(servers), Fact(f"mcp/{state.external.process}/{fence}", event) if fresh else None

    # --- effects of the plan --------------------------------------------------------------------------------------

    async def watch(self, effect: WatchMcp, scene: Scene) -> Outcome:
        """Return how the servers stand as soon as that differs from the log."""
        while (held := self._held.get(scene.execution)) is None:
            await self._arrived.wait()
        while (fact := self._changed(scene.state, held)) is None:
            await held.news()
        return Outcome((fact,))

    async def rest(self, effect: RestMcp, scene: Scene) -> Outcome:
        """Close the servers of an execution that rests."""
        if effect.not_before is not None:
            await self._ambient.until(effect.not_before)
        held = self._held.get(scene.execution)
        await self.close(scene.execution)
        if held is None and scene.state.phase == "WAITING_FOR_INPUT":
            await self._end_unheld(scene)
        servers = tuple(
            replace(one, phase="unavailable", warning=RESTED, tools=(), process="")
            if one.phase in ("ready", "initializing")
            else one
            for one in scene.state.mcp.servers
        )
        key = f"mcp/rest/{scene.position.fence}/{scene.state.mcp.sequence}"
        return Outcome((Fact(key, McpChanged(servers)),))

    async def _end_unheld(self, scene: Scene) -> None:
        state = scene.state
        try:
            machine = await self._machines.machine_for(state.environment.id)
            place = Place(
                state.environment.id, machine, scene.execution, scene.position.fence, state.environment.incarnation
            )
            await _end_strangers(state, place)
        except EnvironmentError_ as problem:
            log.info("MCP servers are out of reach", execution=scene.execution, problem=problem.message)

    def performers(self) -> Mapping[type[Any], Performer]:
        """Return who carries out the effects of this part."""
        return {WatchMcp: self.watch, RestMcp: self.rest}

    async def close(self, execution: str) -> None:
        """Close the connections of an execution."""
        if held := self._held.pop(execution, None):
            await held.close()

    async def close_all(self) -> None:
        """Close every connection; processes inside go on until their execution's next owner ends them."""
        await asyncio.gather(*(self.close(execution) for execution in list(self._held)))

    # --- a tool call ----------------------------------------------------------------------------------------------

    async def call(self, effect: RunTool, scene: Scene) -> Answer:
        """Make a tool call; whatever goes wrong is the model's to hear."""
        held = self._held.get(scene.execution)
        found = held.find(effect.name) if held is not None else None
        if held is None or found is None:
            return Answer("failed", f"There is no tool {effect.name!r} now. {held.words() if held else ''}".strip())
        kept, tool = found
        if planning(scene.state) and not tool.read_only:
            return Answer("failed", f"{effect.name} may change things, which planning mode does not allow.")
        try:
            arguments = json.loads(effect.arguments or "{}")
        except (ValueError, RecursionError) as fault:
            return Answer("failed", f"The arguments of {effect.name} are not valid JSON: {str(fault)[:200]}.")
        if not isinstance(arguments, dict):
            return Answer("failed", f"The arguments of {effect.name} must be an object.")
        try:
            return _answer(await kept.call(tool.name, arguments), kept.server, tool.name)
        except McpTimedOut as problem:
            return Answer("failed", f"{problem.message}. It may have taken effect all the same.")
        except McpFailed as problem:
            text = f"The MCP server {kept.server.title!r} did not answer: {problem.message}. It comes back by itself."
            return Answer("failed", f"{text} The call may have taken effect; look before you repeat it.")
        except HostlerError as problem:
            return Answer("failed", problem.message)


def planning(state: State) -> bool:
    """Return whether only what changes nothing may be done."""
    return (state.modes.once or state.modes.mode) == "planning"


def _masked(status: McpStatus, redactor: Redactor) -> McpStatus:
    return replace(status, failure=redactor.text(status.failure)[:1000])


def _answer(result: McpResult, server: McpServer, tool: str) -> Answer:
    """Return a result as the model reads it; the whole of a long one is kept."""
    shown = bounded(result.text)
    whole = None if shown == result.text else result.text.encode()[:MOST_WHOLE]
    details: dict[str, Any] = {"server": server.id, "tool": tool}
    if result.structured is not None and len(json.dumps(result.structured)) <= MOST_WHOLE >> 8:
        details["structured"] = result.structured
    return Answer(
        "failed" if result.failed else "ok", shown, whole=whole, whole_bytes=len(whole or b""), details=details
    )


async def _end_strangers(state: State, place: Place) -> None:
    """End the processes of an earlier owner, whose words nobody can follow any more, and the one it may have begun."""
    for status in state.mcp.servers:
        if not status.process:
            continue
        stem, _, number = status.process.rpartition("-")
        for name in (status.process, f"{stem}-{int(number) + 1}"):
            await place.machine.cancel(Operation(place.execution, place.fence, name))


class _Held:
    """The servers of one execution."""

    def __init__(self, connector: McpConnector, redactor: Redactor, ambient: Ambient) -> None:
        self._connector = connector
        self._redactor = redactor
        self._ambient = ambient
        self._kept: dict[str, Kept] = {}
        self._faults: tuple[Fault, ...] = ()
        self._news = asyncio.Event()
        self._revisions: list[McpChanged] = []
        self.turn: tuple[int, int, str] = (0, 0, "")
        self.waited: tuple[int, int, str] = self.turn
        """The turn whose first call has waited for servers that start."""

    async def become(self, wanted: Configured, place: Place) -> None:
        """Hold these servers: what is new is to be started, what changed is closed first, the rest goes on."""
        self._faults = wanted.faults
        servers = {server.id: server for server in wanted.servers}
        for id_ in [one for one, kept in self._kept.items() if servers.get(one) != kept.server or kept.out_of(place)]:
            await self._kept.pop(id_).close()
        again = [kept.again(place) for kept in self._kept.values()]
        await asyncio.gather(*again)
        for id_, server in servers.items():
            if id_ not in self._kept:
                self._kept[id_] = Kept(server, place, self._connector, self._redactor, self._ambient, self._tell)

    def start(self) -> None:
        """Start what does not run."""
        for kept in self._kept.values():
            kept.start()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self) -> None:
        """Return when something has changed."""
        await self._news.wait()

    async def settled(self, seconds: float) -> None:
        """Return when no server is starting for the first time, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                while any(kept.starting for kept in self._kept.values()):
                    await self.news()
        except TimeoutError:
            pass

    def statuses(self) -> tuple[McpStatus, ...]:
        """Return how each server stands, by its key."""
        known = [kept.status for kept in self._kept.values()]
        bad = [McpStatus(fault.id, fault.id, "failed", fault.message) for fault in self._faults]
        return tuple(sorted([*known, *bad], key=lambda status: status.id))

    def revision(self, event: McpChanged) -> int:
        """Return the number of what is told now; telling the same twice in a row is telling it once."""
        if not self._revisions or self._revisions[-1] != event:
            self._revisions.append(event)
        return len(self._revisions)

    def offered(self, planning: bool) -> Sequence[ToolSpec]:
        """Return the tools as a model sees them."""
        specs = [
            ToolSpec(name, tool.description, {"type": "object", "properties": {}, **(tool.schema or {})})
            for name, (_, tool) in self._tools().items()
            if tool.read_only or not planning
        ]
        return tuple(specs[:MOST_OFFERED])

    def _tools(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _, kept in sorted(self._kept.items()):
            for name, tool in kept.tools().items():
                found.setdefault(name, (kept, tool))
        return found

    def find(self, name: str) -> Any:
        """Return the server and the tool that a name means; None when there is none."""
        return self._tools().get(name)

    def words(self) -> str:
        """Return what is not there, for whoever asked for something that is not there."""
        down = [f"{one.name}: {one.failure or one.phase}" for one in self.statuses() if one.phase != "ready"]
        return f"MCP servers that cannot be used now: {'; '.join(down)}." if down else ""

    async def close(self) -> None:
        """Close every connection."""
        await _all(kept.close() for kept in self._kept.values())


async def _all(work: Iterable[Any]) -> None:
    await asyncio.gather(*work)
