"""Carrying out what memory wants: a shorter context, and commands that people type."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import timedelta

import structlog

from hostler.agents.builtin.compaction import CHARACTERS_A_TOKEN, compacted, length, question, room_of
from hostler.agents.builtin.context import Context, followed
from hostler.agents.builtin.prompts import system
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core import memory_plan
from hostler.core.ambient import Ambient
from hostler.core.conversation import Delta, ModelReply, Text, Usage
from hostler.core.errors import HostlerError, ModelRefused, ModelUnavailable
from hostler.core.plan import RunTool
from hostler.core.ports import Fact, Models
from hostler.core.redaction import Redactor
from hostler.core.state import State
from hostler.engine.effects import Effects
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene
from hostler.tools.registry import TOOLS
from hostler.tools.tool import spec

log = structlog.get_logger(__name__)
TRIES = 2
"""Times that the model is asked for a summary."""
LONGEST_WAIT = 30.0
"""Seconds between them, however long the provider asks for."""


@dataclass(frozen=True, slots=True)
class Compacting:
    """Compacts a context, with a summary by the execution's own model or, where that fails, without one."""

    models: Models
    redactor: Redactor
    ambient: Ambient

    async def __call__(self, effect: memory_plan.Compact, scene: Scene) -> Outcome:
        """Return one fact, whatever happens; people see why there is no summary, and the model does not."""
        state, context = scene.state, await asyncio.to_thread(followed, scene.log)
        in_a_row, standing = state.memory.in_a_row, standing_of(state, context)
        # A provider's window may be smaller than we think, and what a person wants shorter must become so.
        window = min(memory_plan.window(state), (standing + length(context.messages())) // CHARACTERS_A_TOKEN)
        reply, problem = await self._asked(context, state, window)
        summary = _text(reply) if reply else ""
        room = room_of(window, standing, in_a_row)
        event = m.ContextCompacted(
            effect.id,
            self.redactor.text(summary),
            room=room,
            before=state.memory.weight,
            model=state.begun.agent.model if reply else "",
            usage=reply.usage if reply else Usage(),
            truncated=not summary,
            problem=self.redactor.text(problem),
        )
        done = compacted(context, event, harder=in_a_row > 0, standing=standing)
        return Outcome((Fact(effect.id, done),))

    async def _asked(self, context: Context, state: State, window: int) -> tuple[ModelReply | None, str]:
        """Return the model's reply; None, and why, when it gave none."""
        problem = ""
        for attempt in range(TRIES):
            # A model that found the first question too long is asked a shorter one.
            asked = question(context, window // 2**attempt)
            try:
                model = await self.models.prepare(state.begun.agent.model)
                reply = await model.call(asked, _unseen)
            except ModelRefused as refused:
                problem = refused.message
                if not refused.context_overflow:
                    break
            except ModelUnavailable as away:
                problem = away.message
                wait = min(away.retry_after or 0.0, LONGEST_WAIT)
                await self.ambient.until(self.ambient.now() + timedelta(seconds=wait if attempt + 1 < TRIES else 0))
            except HostlerError as other:
                problem = other.message
                break
            except Exception as fault:
                log.exception("a summary failed")
                problem = f"the summary failed inside Hostler: {type(fault).__name__}"
            else:
                return reply, "" if _text(reply) else "the model wrote no summary"
        return None, problem


def _unseen(delta: Delta) -> None:
    """Show nobody what a summary says while it is written."""


def _text(reply: ModelReply) -> str:
    return "\n".join(part.text for part in reply.parts if isinstance(part, Text)).strip()


def standing_of(state: State, context: Context) -> int:
    """Return how many characters of a call are its system prompt and its tools."""
    agent = state.begun.agent
    tools = [json.dumps(asdict(spec(TOOLS[name])), default=str) for name in agent.tools if name in TOOLS]
    return len(system(agent, context.instructions, context.skills, context.pull)) + sum(map(len, tools))


@dataclass(frozen=True, slots=True)
class Typed:
    """Runs a command that a person typed, as the tool that runs the agent's own."""

    effects: Effects

    async def __call__(self, effect: memory_plan.RunShell, scene: Scene) -> Outcome:
        """Run it, or rejoin it by its call."""
        arguments = json.dumps({"command": effect.command})
        run = RunTool(effect.call_id, "bash", arguments, effect.incarnation)
        return Outcome(tuple(_as_typed(fact) for fact in await self.effects.run_tool(run, scene)))


def _as_typed(fact: Fact) -> Fact:
    match fact.event:
        case ev.ToolFinished(call_id, outcome, text, exit_code, output, output_bytes):
            return Fact(fact.effect, m.ShellFinished(call_id, outcome, text, exit_code, output, output_bytes))
        case _:
            return fact


def performers(effects: Effects) -> dict[type[object], Performer]:
    """Return who carries out what memory wants."""
    compacting = Compacting(effects.models, effects.redactor, effects.ambient)
    return {memory_plan.Compact: compacting, memory_plan.RunShell: Typed(effects)}
