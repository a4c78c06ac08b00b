"""Sub-agents in the world: starts them, carries messages and reports, grants shares, stops and removes them.

A sub-agent is an execution like every other. Its id follows from its parent and the call that started it, and all
that is said has an id that follows from who says it, so that everything here can be done again after a crash.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import family_events as m
from hostler.core.budget import limits_of, used
from hostler.core.commands import Command, Delete, GrantShare, HearChild, Send, Stop
from hostler.core.conversation import Text
from hostler.core.desk import AgentDefinition, AgentDefinitions, NewEnvironment, NewExecution
from hostler.core.errors import FailedPrecondition, NotFound
from hostler.core.events import Recorded
from hostler.core.family import Child, child_id, message_id
from hostler.core.family_plan import AskShare, AwaitShares, NotifyParent, RemoveChild, StopChild
from hostler.core.kin import Born, Wish
from hostler.core.ports import Executions, Fact, Principal, Row
from hostler.core.redaction import Redactor
from hostler.core.state import State, fold
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene

PARENT = "hostler/parent"
"""The annotation of a sub-agent that names its parent; the server alone sets it."""
LONGEST = 20_000
"""Characters of a message that another agent reads."""
LOOK = 5.0
"""Seconds after which we look again at a sub-agent that nobody told us about."""
ENDINGS = {
    "asks": "asks something, and waits for the answer",
    "waits": "waits for something it registered, and will go on by itself",
    "rests": "has nothing left to do",
    "stopped": "has stopped",
}
FOR_ANOTHER = "[You work for another agent, which reads your last message. Your task is above.]"
UNABLE = ("spec", "ralph", "goal")
"""Modes that only the built-in agent starts in."""
FROM_PARENT = "[message from the agent that started you]"
ROLES: dict[str, Any] = {"parent": "ROLE_PARENT", "child": "ROLE_CHILD"}


class Commands(Protocol):
    """What is needed of the desk."""

    async def start(self, new: NewExecution) -> str:
        """Write an execution and wake its owner; one whose id is known already is let alone."""
        ...

    async def command(self, execution: str, command: Command) -> State:
        """Decide a command on the latest state; NotFound when the execution is gone."""
        ...


Likeness = Callable[[str], Awaitable[NewEnvironment]]
"""Returns an environment to be made, like the one with this id; NotFound when there is none."""


class Families:
    """Does what is wanted between executions and their sub-agents."""

    def __init__(
        self,
        desk: Commands,
        executions: Executions,
        definitions: AgentDefinitions,
        likeness: Likeness,
        redactor: Redactor,
    ) -> None:
        self._desk = desk
        self._executions = executions
        self._definitions = definitions
        self._likeness = likeness
        self._redactor = redactor

    def performers(self) -> dict[type[Any], Performer]:
        """Return how each kind of effect is carried out."""
        return {
            StopChild: self._stop,
            RemoveChild: self._remove,
            NotifyParent: self._notify,
            AskShare: self._ask,
            AwaitShares: _never,
        }

    # --- what tools ask for ---

    async def spawn(self, parent: str, state: State, call_id: str, wish: Wish) -> Born:
        """Start the sub-agent of a call, or return the one that it started before."""
        known = state.family.child(call_id)
        assert known is not None, "the intent is in the log"
        id_ = child_id(parent, call_id, known.since)
        if row := await self._executions.row(id_):
            return self._born(row)
        agent = self._agent(state, known.share, wish.agent)
        if agent.driver != "builtin" and wish.mode in UNABLE:
            raise FailedPrecondition(f"agent {agent.name} has no mode {wish.mode}", field="mode")
        same = wish.environment == "same"
        environment = state.environment.id if same else await self._likeness(state.environment.id)
        begun = state.begun
        new = NewExecution(
            request=self._redactor.json(_request(parent, state, wish)),
            agent=agent,
            environment=environment,
            creator=Principal(begun.creator_id, begun.creator_kind, ""),
            session_id=begun.session_id,
            name=self._redactor.text(known.name),
            id=id_,
            parent=ev.Parent(parent, call_id, (begun.parent.depth if begun.parent else 0) + 1),
            inputs=(self._task(parent, id_, wish),),
        )
        await _whole(self._desk.start(new))
        row = await self._executions.row(id_)
        if row is None:
            raise FailedPrecondition("the sub-agent was removed at once")
        return self._born(row)

    async def tell(self, sender: str, state: State, call_id: str, to: str, text: str, *, last: bool) -> None:
        """Send a message to the parent or to a sub-agent."""
        kind = "TYPE_COMPLETE" if last else "TYPE_UPDATE"
        if to == "parent":
            above = state.begun.parent
            if above is None:
                raise NotFound("nobody started you, so there is no parent to send to", field="to")
            target, role, seen = (
                above.execution,
                "child",
                f"[message from your sub-agent {state.begun.name!r} {sender}]",
            )
        else:
            child = self._found(state, to)
            target, role, seen = child.execution, "parent", FROM_PARENT
        block = self._block(sender, role, text, kind)
        heard = f"{seen}\n{block['payload']}"
        input_id = message_id(sender, call_id)
        await self._desk.command(target, Send(input_id, block, input_id, "agent", expansion=heard))

    async def rows(self, executions: Sequence[str]) -> Sequence[Row]:
        """Return the executions that there are."""
        found = [await self._executions.row(one) for one in executions]
        return [row for row in found if row is not None and row.deleted_at is None]

    def agents(self) -> Sequence[tuple[str, str]]:
        """Return name and description of every agent that can be started."""
        return [(one.agent.name, one.description) for one in self._definitions.all()]

    def _found(self, state: State, name: str) -> Child:
        child = state.family.called(name)
        if child is None or not child.execution:
            known = ", ".join(one.name for one in state.family.children if one.execution) or "none"
            raise NotFound(f"there is no sub-agent {name!r} of yours; yours are: {known}", field="to")
        return child

    def _agent(self, state: State, share: m.Share, wanted: str) -> ev.Agent:
        """Return the agent of a sub-agent; what its parent may not do without asking, it may not either."""
        above = state.begun.agent
        agent = self._named(wanted).agent if wanted else above
        ours = replace(agent, limits=limits_of(agent.limits, share, state.limits))
        if ours.limits.max_cost and ours.model not in ours.prices:
            raise FailedPrecondition(f"its share of max_cost needs the price of {ours.model}, which is not configured")
        if agent.id == above.id:
            return ours
        return replace(ours, permissions=(*above.permissions, *ours.permissions))

    def _named(self, wanted: str) -> AgentDefinition:
        every = self._definitions.all()
        found = [one for one in every if wanted in (one.agent.name, one.agent.id)]
        if len(found) != 1:
            self._definitions.get(wanted)  # says what is missing for one that is known and not installed
            known = ", ".join(one.agent.name for one in every)
            raise NotFound(f"there is no agent {wanted!r}; there are: {known}", field="agent")
        return found[0]

    def _task(self, parent: str, child: str, wish: Wish) -> ev.InputQueued:
        block = self._block(parent, "parent", wish.task, "TYPE_UPDATE")
        heard = (
            f"{block['payload']}\n\n[You work for another agent, which reads your last message. Your task is above.]"
        )
        return ev.InputQueued(message_id(child, "task"), block, "task", "agent", expansion=heard)

    def _block(self, sender: str, role: str, text: str, kind: str) -> dict[str, Any]:
        """Return an AgentMessage's JSON; who says it is known here, and never taken from what is said."""
        payload = self._redactor.text(_bounded(text))
        return {"type": kind, "payload": payload, "role": ROLES[role], "senderExecutionId": sender}

    def _born(self, row: Row) -> Born:
        environments: Sequence[Any] = row.view.get("status", {}).get("usedEnvironments") or [{}]
        agent = str(row.view.get("hostler", {}).get("agent", ""))
        return Born(row.id, agent, str(environments[0].get("environmentId", "")))

    # --- effects ---

    async def _stop(self, effect: StopChild, scene: Scene) -> Outcome:
        """Stop a sub-agent and wait until it and all below it have stopped."""
        known = scene.state.family.child(effect.call_id)
        assert known is not None, "only what is known is stopped"
        execution = child_id(scene.execution, effect.call_id, known.since)
        if not await self._commanded(execution, Stop()):
            never = not known.execution
            return _ended(effect.call_id, "never started" if never else "gone", m.Share() if never else None, scene)
        state = await self._until(execution, _still)
        if state is None:
            return _ended(effect.call_id, "gone", None, scene)
        return _ended(effect.call_id, "stopped", used(state), scene)

    async def _remove(self, effect: RemoveChild, scene: Scene) -> Outcome:
        """Remove a sub-agent with all that is its own, and wait until nothing is left of it."""
        known = scene.state.family.child(effect.call_id)
        assert known is not None, "only what is known is removed"
        execution = child_id(scene.execution, effect.call_id, known.since)
        await self._commanded(execution, Delete())
        await self._until(execution, lambda _: False)
        return _ended(effect.call_id, "removed", m.Share(), scene)

    async def _notify(self, effect: NotifyParent, scene: Scene) -> Outcome:
        """Tell the parent how a turn ended; it knows a report that it has heard."""
        above, state = scene.state.begun.parent, scene.state
        assert above is not None, "only sub-agents owe reports"
        failed, text = _last_words(scene.log, effect.turn)
        report = m.SubAgentReported(
            above.call_id,
            scene.execution,
            effect.turn,
            effect.rest,
            used(state),
            next((one.grant for one in state.family.owed if one.turn == effect.turn), state.family.grant),
            failed=failed,
        )
        name = state.begun.name
        over = effect.rest in ("rests", "stopped")
        block = self._block(scene.execution, "child", text, "TYPE_COMPLETE" if over else "TYPE_UPDATE")
        heard = f"[your sub-agent {name!r} {scene.execution} {ENDINGS[effect.rest]}]\n{block['payload']}"
        there = await self._commanded(above.execution, HearChild(report, block, heard))
        told = m.ParentNotified(effect.turn, effect.rest, gone=not there)
        return Outcome((Fact(f"told/{effect.turn}/{effect.rest}", told),))

    async def _ask(self, effect: AskShare, scene: Scene) -> Outcome:
        """Ask the parent for a share to go on with."""
        above = scene.state.begun.parent
        assert above is not None, "only sub-agents ask for shares"
        try:
            state = await self._desk.command(above.execution, GrantShare(above.call_id, effect.grant))
        except NotFound:
            state = None
        child = state.family.child(above.call_id) if state else None
        key = f"share/{effect.grant}/{scene.state.turn}"
        if child is None or not child.live or child.grant < effect.grant:
            return Outcome((Fact(key, m.ShareDenied(DENIED if state else ORPHANED)),))
        return Outcome((Fact(key, m.ShareGranted(child.share, child.grant)),))

    async def _commanded(self, execution: str, command: Command) -> bool:
        """Command an execution; return False when there is none."""
        try:
            await self._desk.command(execution, command)
        except NotFound:
            return False
        return True

    async def _until(self, execution: str, holds: Callable[[State], bool]) -> State | None:
        """Return the first state for which something holds, None when the execution is gone."""
        async with self._executions.watch(execution) as watch:
            while True:
                if await self._executions.row(execution) is None:
                    return None
                state = fold(await self._executions.read(execution))
                if state.phase and holds(state):
                    return state
                await watch.changed(LOOK)


DENIED = (
    "A limit of the whole tree is reached: the agent that started this one has nothing left to share. Raise its "
    "limits and go on there."
)
ORPHANED = "The agent that started this one is gone, and its budget with it."


def _ended(call_id: str, why: m.End, spent: m.Share | None, scene: Scene) -> Outcome:
    key = f"ended/{call_id}/{scene.position.fence}/{scene.position.seq}"
    return Outcome((Fact(key, m.SubAgentEnded(call_id, why, spent)),))


async def _never(effect: AwaitShares, scene: Scene) -> Outcome:
    """Go on until it is not wanted any more."""
    await asyncio.Event().wait()
    return Outcome()


def _still(state: State) -> bool:
    """Return whether an execution and all below it have stopped."""
    return state.phase == "STOPPED" and not any(child.stop for child in state.family.children)


def _request(parent: str, state: State, wish: Wish) -> dict[str, Any]:
    """Return what StartAgent would have been asked for."""
    asked: dict[str, Any] = {"annotations": {PARENT: parent}}
    if wish.environment == "same":
        asked["codeContext"] = {"environmentId": state.environment.id}
    elif context := state.begun.request.get("codeContext"):
        asked["codeContext"] = context
    return {**asked, "mode": f"AGENT_MODE_{wish.mode.upper()}"} if wish.mode else asked


def _last_words(log: Iterable[Recorded], turn: int) -> tuple[bool, str]:
    """Return whether a turn failed, and what the agent said last in it, or why it said nothing."""
    said, why, now, failed = "", "", 0, False
    for recorded in log:
        match recorded.event:
            case ev.TurnStarted(number):
                now = number
                said = "" if now == turn else said
            case ev.ModelReplied(parts=parts) if now == turn:
                text = "\n\n".join(part.text for part in parts if isinstance(part, Text) and part.text.strip())
                said = text or said
            case ae.AgentSaid(text=text, thinking=False) if now == turn:
                said = text or said
            case ae.QuestionsAsked(questions=questions) if now == turn:
                said = "\n".join([said, *(one.text for one in questions)]).strip()
            case ev.Stopped(number, failure, message) if number == turn:
                failed, why = bool(failure), f"It failed: {message}" if failure else "It was stopped."
            case _:
                pass
    return failed, "\n\n".join(part for part in (said.strip(), why) if part) or "(it said nothing)"


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… [{len(text) - LONGEST} characters left out]"


async def _whole(work: Awaitable[str]) -> str:
    """Do something to its end, also when we are told to stop meanwhile: half of it would be nobody's."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise
