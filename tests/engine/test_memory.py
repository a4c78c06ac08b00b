"""A context that is compacted or cleared, and commands that people type: as stories, cut at every commit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from hostler.agents.builtin.context import request
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.commands import Compact, Send
from hostler.core.conversation import ModelMessage, ModelRequest, Text, ToolCall, UserMessage
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Recorded
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State, fold
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Script, Step
from hostler.projections.calls import calls, total
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage, said
from tests.engine.stories import Forgetful
from tests.engine.test_crashes import check

SUMMARY = "Summarize this conversation."
WINDOW = 12_000
LONG = "x" * 16_000
"""A result that fills a third of the window."""


def is_summary(asked: ModelRequest) -> bool:
    return any(isinstance(p, Text) and p.text.startswith(SUMMARY) for p in _parts(asked))


def _parts(asked: ModelRequest) -> list[object]:
    return [part for message in asked.messages for part in message.parts]


def worker(steps: int, summary: Step) -> Callable[[ModelRequest], Step]:
    """Play an agent that runs `steps` commands, counted by what the last one printed, and then says that it is done."""

    def plan(asked: ModelRequest) -> Step:
        if is_summary(asked):
            return summary
        text = "\n".join([*(r.text for msg in asked.messages if isinstance(msg, UserMessage) for r in msg.results)])
        heads = "\n".join(p.text for p in _parts(asked) if isinstance(p, Text))
        done = max((n for n in range(steps + 1) if f"step-{n} " in text + heads), default=0)
        if done >= steps:
            return Step(text="All done.")
        return Step(text=f"On to {done + 1}.", calls=(Call("bash", {"command": f"step-{done + 1} go"}),))

    return plan


async def long_shell(line: str) -> tuple[int, str]:
    return 0, f"ran {line} \n{LONG}\nend of {line} "


def stage_with(plan: Callable[[ModelRequest], Step], *, window: int = WINDOW) -> Stage:
    stage = Stage(Registry({}, plans={"story": plan}), window=window)
    stage.world.machine.shell = long_shell
    return stage


GOOD = Step(text="Decided: use tabs. step-1 and step-2 ran.")
BROKEN = Step(faults=(Fault("unavailable", times=99),), text="never said")


async def whole(stage: Stage, task: str = "do the steps") -> Sequence[Recorded]:
    await stage.boot()
    execution = await stage.start("scripted:story", task)
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    return log


async def test_a_context_that_grows_is_compacted_before_it_is_full_and_the_work_goes_on():
    log = await whole(stage_with(worker(6, GOOD)))
    check(log)
    state = fold(log)
    compactions = [r.event for r in log if isinstance(r.event, m.ContextCompacted)]
    assert compactions
    assert all(not one.truncated and "use tabs" in one.summary for one in compactions)
    assert all(one.tokens < one.before for one in compactions)
    assert state.phase == "WAITING_FOR_INPUT"
    assert not state.failure
    assert state.outputs == {}
    replies = [r.event for r in log if isinstance(r.event, ev.ModelReplied)]
    assert replies[-1].parts == (Text("All done."),)
    assert all(reply.usage.whole_input < WINDOW for reply in replies)
    assert state.iterations == len(replies) + len(compactions)
    assert state.usage == total(calls(log))
