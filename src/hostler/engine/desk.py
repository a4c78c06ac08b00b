"""The engine's front: commands decided on the latest state, appended by compare-and-set, and the owner woken."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Protocol

from hostler.core import events as ev
from hostler.core.ambient import Ambient
from hostler.core.commands import ChangeGoal, Command, Compact, Delete, Exhaust, LoseEnvironment, Send, Stop, decide
from hostler.core.desk import Liveness, NewEnvironment, NewExecution, Seen
from hostler.core.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound, StaleFence, Unavailable
from hostler.core.events import Event, Recorded
from hostler.core.losing import ended_for_owner
from hostler.core.plan import Session
from hostler.core.ports import PRESENT, Dispatch, EnvironmentRow, Executions, Fact, OpenBlock, Principal, Row
from hostler.core.redaction import Redactor
from hostler.core.state import MAX_HOSTS, State, fold, unchanged
from hostler.engine.engine import Engine, Identity
from hostler.engine.livetext import LiveText
from hostler.engine.peers import Peers
from hostler.engine.policing import Gate, OpenGate

TRIES = 50
"""Races that one command may lose against other appends before it gives up."""
REMEMBERED = 512
"""States kept in memory; each is valid for its seq only and may be lost."""

OPEN = OpenGate()
STARTING = (Send, Compact, ChangeGoal)
"""Commands that start a turn where none runs."""
ENDING = (Stop, Exhaust, Delete, LoseEnvironment)
"""Commands that end a turn, also where its owner is away."""


class Homes(Protocol):
    """What the desk needs of environments."""

    async def usable(self, environment: str) -> EnvironmentRow | None:
        """Raise NotFound or FailedPrecondition unless an execution may use the environment."""
        ...

    async def revivable(self, environment: str) -> None:
        """Raise FailedPrecondition when the environment can never be brought back."""
        ...

    async def write(self, environment: str, new: NewEnvironment, creator: Principal, *, owner: str = "") -> None:
        """Write the row of a new environment; nothing is made yet."""
        ...

    async def forget(self, environment: str) -> None:
        """Take back a row that was just written."""
        ...

    async def use(self, environment: str, execution: str) -> None:
        """Note that an execution uses an environment."""
        ...

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment."""
        ...


class Desk:
    """Starts, commands and shows executions."""

    def __init__(
        self,
        identity: Identity,
        executions: Executions,
        environments: Homes,
        engine: Engine,
        dispatch: Dispatch,
        live: LiveText,
        redactor: Redactor,
        ambient: Ambient,
        gate: Gate = OPEN,
        peers: Peers | None = None,
    ) -> None:
        self._gate = gate
        self._peers = peers
        self._identity = identity
        self._executions = executions
        self._environments = environments
        self._engine = engine
        self._dispatch = dispatch
        self._live = live
        self._redactor = redactor
        self._ambient = ambient
        self._states: OrderedDict[str, State] = OrderedDict()
        self.draining = False

    async def start(self, new: NewExecution) -> str:
        """Write the execution (and its environment) and wake its owner; return its id."""
        self._refuse_while_draining()
        execution = new.id or self._ambient.new_id()
        if new.id and await self._executions.row(new.id):
            return new.id
        new = await self._gate.admit(new)
        owned = not isinstance(new.environment, str)
        environment = self._ambient.new_id() if owned else str(new.environment)
        if not owned:
            await self._environments.usable(environment)
        started = ev.Started(
            request=self._redactor.json(new.request),
            agent=new.agent,
            environment_id=environment,
            owns_environment=owned,
            creator_id=new.creator.id,
            creator_kind=new.creator.kind,
            session_id=new.session_id or self._ambient.new_id(),
            name=self._redactor.text(new.name),
            parent=new.parent,
        )
        events: list[Event] = [started]
        if new.first_input:
            block = {"inputs": [{"text": {"content": self._redactor.text(new.first_input)}}]}
            events.append(ev.InputQueued(self._ambient.new_id(), block, "initial"))
        events.extend(new.inputs)
        if not isinstance(new.environment, str):
            await self._environments.write(environment, new.environment, new.creator, owner=execution)
        now = self._ambient.now()
        try:
            known, fresh = await self._executions.create(execution, self._identity.runner, events, now, new.once)
        except AlreadyExists:
            await self._environments.forget(environment if owned else "")
            raise
        if not fresh:
            await self._environments.forget(environment if owned else "")
            return known
        await self._environments.use(environment, execution)
        await self._dispatch.nudge(execution, self._identity.runner)
        return execution

    async def command(self, execution: str, command: Command) -> State:
        """Decide on the latest state and append; a lost race is decided again."""
        if isinstance(command, STARTING):
            self._refuse_while_draining()
        for _ in range(TRIES):
            row = await self._row(execution)
            state = await self._state(execution, row.last_seq)
            if isinstance(command, STARTING):
                await self._gate.admit_turn(state.begun.creator_id)
                if state.environment.id:
                    await self._revivable(execution, state)
            session = await self._session(row)
            events = decide(state, command, session)
            if isinstance(command, ENDING) and await self._away(row):
                events = (*events, *ended_for_owner(state, events, session, self._ambient.now()))
            if not events:
                return state
            try:
                appended = await self._write(row, events, session)
            except (Conflict, StaleFence):
                continue
            await self._dispatch.nudge(execution, row.runner)
            return fold(appended, state)
        raise Unavailable("the execution changes too fast to answer; try again")

    async def _away(self, row: Row) -> bool:
        """Return whether the runner of an execution does not live, so that nobody else can end its turn."""
        return self._peers is not None and not await self._peers.lives(row.runner)

    async def _session(self, row: Row) -> Session:
        """Return as whom a turn of the execution is started: as its runner, whoever is asked."""
        if self._peers is None or row.runner == self._identity.runner:
            return self._engine.session
        if (known := self._peers.get(row.runner)) is None:
            await self._peers.look()
            known = self._peers.get(row.runner)
        return Session(known.incarnation if known else "", self._engine.session.settle)

    async def _revivable(self, execution: str, state: State) -> None:
        """Refuse what needs an environment that is gone, and name the way on where there is one."""
        try:
            await self._environments.revivable(state.environment.id)
        except FailedPrecondition as problem:
            if state.kept and state.kept.work.commit:
                way = "its work is kept, and goes on after"
            elif unchanged(state) and await self._known(state.environment.id):
                way = "nothing was changed there, so it goes on in a new one after"
            else:
                raise
            raise FailedPrecondition(f"{problem.message}; {way}: hostler restore {execution}") from None

    async def _known(self, environment: str) -> bool:
        """Return whether it is known how an environment was made, whatever became of it."""
        try:
            await self._environments.usable(environment)
        except NotFound:
            return False
        except (FailedPrecondition, Unavailable):
            pass
        return True

    async def _write(self, row: Row, events: tuple[Event, ...], session: Session) -> tuple[Recorded, ...]:
        """Append decisions; what starts a turn takes the execution, what ends one raises the fence."""
        starts = any(isinstance(event, ev.TurnStarted) for event in events)
        ends = any(isinstance(event, ev.Stopped) for event in events)
        appended = await self._executions.append(
            row.id,
            row.position,
            self._ambient.now(),
            decisions=events,
            own=(session.incarnation if row.runner == self._identity.runner else PRESENT) if starts else None,
            new_fence=starts or ends,
            progress=starts,
        )
        return appended.recorded

    async def seen(self, execution: str) -> Seen:
        """Return an execution as it is now."""
        row = await self._row(execution)
        return Seen(row, self.liveness(row))

    def liveness(self, row: Row) -> Liveness:
        """Return the truth about a row's owner."""
        if row.runner != self._identity.runner:
            return self._elsewhere(row.runner)
        if row.phase != "RUNNING":
            return "live"
        if self._engine.waits_for_slot(row.id):
            return "waiting_for_slot"
        owned = row.owner == self._identity.incarnation
        just_started = self._ambient.now() - row.updated_at < timedelta(seconds=2)
        return "live" if owned and (self._engine.runs(row.id) or just_started) else "recovering"

    def _elsewhere(self, runner: str) -> Liveness:
        if self._peers is None or self._peers.get(runner) is None:
            return "gone"
        return "live" if self._peers.live(runner) else "recovering"

    async def log(self, execution: str, after: int = 0) -> tuple[Recorded, ...]:
        """Return the log behind a seq."""
        await self._row(execution)
        return await self._executions.read(execution, after)

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return the text that is being said right now."""
        return self._live.open_blocks(execution)

    def pieces(self, execution: str) -> AsyncIterator[None]:
        """Yield whenever the text being said has grown."""
        return self._live.pieces(execution)

    async def refused(self, environment: str, host: str, reason: str) -> None:
        """Note in the log of everybody who uses an environment that it asked for a host and was refused."""
        host, reason = self._redactor.text(host), self._redactor.text(reason)
        for execution in await self._environments.users(environment):
            row = await self._executions.row(execution)
            if row is None or row.deleted_at is not None:
                continue
            if len(row.view.get("hostler", {}).get("refusedHosts", ())) >= MAX_HOSTS:
                continue
            allowed = row.view.get("hostler", {}).get("hostsAllowed", 0)
            fact = Fact(f"egress/{row.turn}/{allowed}/{host}", ev.EgressRefused(host, reason))
            with contextlib.suppress(StaleFence, NotFound):
                await self._executions.append(execution, row.position, self._ambient.now(), facts=(fact,))

    def busy(self) -> bool:
        """Return whether this process works on anything."""
        return self._engine.busy()

    async def _row(self, execution: str) -> Row:
        row = await self._executions.row(execution)
        if row is None or row.deleted_at is not None:
            raise NotFound("there is no such agent execution", field="agent_execution_id")
        return row

    async def _state(self, execution: str, seq: int) -> State:
        """Return the state at `seq`, from memory as far as that goes."""
        state = self._states.get(execution)
        if state is None or state.seq > seq:
            state = State()
        if state.seq < seq:
            tail = await self._executions.read(execution, state.seq)
            state = await asyncio.to_thread(fold, tail, state) if len(tail) > 500 else fold(tail, state)
        if state.seq != seq:
            state = fold(r for r in await self._executions.read(execution) if r.seq <= seq)
        self._states[execution] = state
        self._states.move_to_end(execution)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return state

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise Unavailable("the server is stopping and takes no new work", retry_after=5.0)
