"""The tools for sub-agents: start one, send messages, stop one, see what they do."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hostler.core.errands import Errand
from hostler.core.errors import RequestError, Unavailable
from hostler.core.family import SPAWN, Child
from hostler.core.family_events import SubAgentStarted, SubAgentStopAsked
from hostler.core.kin import Kin, Wish
from hostler.tools.tool import Answer, Arguments, Inside

NONE_HERE = Answer("failed", "There are no sub-agents here.")
DONE = {"asks": "asks something", "waits": "waits for something", "rests": "at rest", "stopped": "stopped"}


class Budget(BaseModel):
    """What a sub-agent may use at most, of what its parent has left."""

    model_config = ConfigDict(extra="forbid")

    iterations: int = Field(0, ge=0, description="Model calls.")
    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    cost: float = Field(0, ge=0, description="US dollars.")
    subagents: int = Field(0, ge=0, description="How many sub-agents it may start itself; none unless you say so.")


class SpawnArguments(Arguments):
    """A sub-agent to be started."""

    task: str = Field(min_length=1, max_length=20_000, description="Everything it needs to know; it sees nothing else.")
    name: str = Field("", max_length=60, description="A short name to call it by.")
    agent: str = Field("", description="Name or id of another agent; the same kind as you otherwise.")
    environment: Literal["same", "new"] = Field(
        "same", description="same: it works in your workspace, beside you. new: in a fresh copy of what you began with."
    )
    mode: Literal["", "execution", "planning", "spec", "ralph", "goal"] = ""
    budget: Budget | None = Field(None, description="Half of what you have left of each limit, unless you say so.")


class SpawnAgent:
    """Starts a sub-agent: an execution of its own, named by the call."""

    name = SPAWN
    description = (
        "Start another agent on a task of its own. It works beside you and cannot ask you back at once: give it all it "
        "needs. When it has nothing left to do, its last message reaches you and wakes you; `wait` for it where you "
        "have nothing else to do. Agents in the same workspace see each other's files: let them work on different ones."
    )
    arguments = SpawnArguments
    inside = False

    async def go(self, arguments: SpawnArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Start it, or find the one that was started before."""
        if (kin := errand.services.kin) is None:
            return NONE_HERE
        wish = Wish(arguments.task, arguments.agent, arguments.environment, arguments.mode)
        try:
            born = await kin.spawn(errand.execution, errand.state, errand.call_id, wish)
        except Unavailable:
            raise  # The server is stopping; the call goes on where the next one takes up.
        except RequestError as problem:
            return Answer("failed", f"The sub-agent was not started: {problem.message}.")
        known = errand.state.family.child(errand.call_id)
        called = known.name if known else ""
        text = f"Sub-agent {called!r} is at work: {born.execution}. Its last message will reach you by itself."
        started = SubAgentStarted(errand.call_id, born.execution, born.agent, born.environment_id)
        return Answer("ok", text, details={"subAgent": born.execution, "name": called}, events=(started,))


class MessageArguments(Arguments):
    """A message."""

    to: str = Field(min_length=1, description="Name or id of a sub-agent of yours, or `parent`.")
    message: str = Field(min_length=1, max_length=20_000)
    last: bool = Field(False, description="Whether that sub-agent is to end when it has done what the message says.")


class MessageAgent:
    """Sends a message to a sub-agent or to the parent."""

    name = "message_agent"
    description = (
        "Send a message to one of your sub-agents, or to the agent that started you (`parent`). It is read before its "
        "next step, and wakes one that is at rest. Your last message of a turn reaches your parent by itself: message "
        "it only with what cannot wait until then."
    )
    arguments = MessageArguments
    inside = False

    async def go(self, arguments: MessageArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Send it; the receiver knows a message that it has."""
        if (kin := errand.services.kin) is None:
            return NONE_HERE
        if arguments.last and arguments.to == "parent":
            return Answer("failed", "Only a sub-agent has a last message; your parent goes on. Nothing was sent.")
        try:
            await kin.tell(
                errand.execution, errand.state, errand.call_id, arguments.to, arguments.message, last=arguments.last
            )
        except Unavailable:
            raise  # The server is stopping; the call goes on where the next one takes up.
        except RequestError as problem:
            return Answer("failed", f"The message was not sent: {problem.message}.")
        return Answer("ok", f"Sent to {arguments.to}.")


class StopArguments(Arguments):
    """Whom to stop."""

    agent: str = Field(min_length=1, description="Name or id of a sub-agent of yours.")


class StopAgent:
    """Stops a sub-agent and all below it; what it was given and did not use is free again then."""

    name = "stop_agent"
    description = "Stop one of your sub-agents, with all that it started itself. What it has done by then stands."
    arguments = StopArguments
    inside = False

    async def go(self, arguments: StopArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Note that it is to stop; that is seen to until it has."""
        child = errand.state.family.called(arguments.agent)
        if child is None:
            known = ", ".join(one.name for one in errand.state.family.children) or "none"
            return Answer("failed", f"There is no sub-agent {arguments.agent!r} of yours; yours are: {known}.")
        if child.doing in ("stopped", "gone"):
            return Answer("ok", f"{child.name} has stopped already.")
        return Answer("ok", f"{child.name} is being stopped.", events=(SubAgentStopAsked(child.call_id),))


class ListArguments(Arguments):
    """Nothing to choose."""


class ListAgents:
    """Tells which sub-agents there are, what each does, and which agents could be started."""

    name = "list_agents"
    description = "List your sub-agents with what each does now, and the agents that `spawn_agent` can start."
    arguments = ListArguments
    inside = False

    async def go(self, arguments: ListArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Read what is known of them."""
        if (kin := errand.services.kin) is None:
            return NONE_HERE
        rows = [await _line(kin, one) for one in errand.state.family.children]
        kinds = [f"- {name}: {description}" for name, description in kin.agents()]
        listed = "\n".join(rows) or "You have started no sub-agents."
        return Answer("ok", "\n".join([listed, "", "Agents that can be started:", *kinds]))


async def _line(kin: Kin, child: Child) -> str:
    rows = await kin.rows((child.execution,)) if child.execution else ()
    now = str(rows[0].view.get("status", {}).get("currentActivity", "")) if rows else ""
    state = child.doing if rows or child.doing == "gone" else "starting"
    facts = [DONE.get(child.rest, state) if state != "running" else now or state]
    facts += ["failed"] if child.failed else []
    return f"- {child.name} ({child.execution or 'no id yet'}): {', '.join(facts)}; {child.used.iterations} model calls"
