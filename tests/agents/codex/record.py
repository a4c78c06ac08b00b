"""Records the corpus: lines of the real Codex in the situations that the reader must understand.

    python -m tests.agents.codex.record [NAME ...]

Each file of corpus/ is one process's output; folders of the recording machine are replaced by those of an environment.
"""

import asyncio
import base64
import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hostler.agents.codex.driver import CodexDriver
from hostler.core.agent_events import (
    ActionStarted,
    AgentFault,
    AgentTurnDone,
    ChildReported,
    Compacted,
    GoalChanged,
    QuestionsAsked,
)
from hostler.core.agents import GoalChange, Input
from hostler.core.events import Event
from hostler.testing.answers import Answer, Broken, Called, Failure, Reply
from hostler.testing.endpoints import Endpoint
from tests.agents.codex.by_hand import ByHand, codex, text

CORPUS = Path(__file__).parent / "corpus"
DRIVER = CodexDriver()
PATCH = """\
*** Begin Patch
*** Update File: a.txt
@@
-old
+new
*** Add File: sub/b.txt
+one
+two
*** End Patch
"""
MOVE = "*** Begin Patch\n*** Update File: a.txt\n*** Move to: c.txt\n@@\n-new\n+newer\n*** End Patch\n"
DELETE = "*** Begin Patch\n*** Delete File: c.txt\n*** End Patch\n"
WITHOUT_METADATA = "gpt-5.4"
"""A model that this Codex has no entry for: it warns, and offers sub-agents instead of patches."""


def call(name: str, id_: str, **arguments: object) -> Called:
    return Called(name, json.dumps(arguments), id_)


def patch(id_: str, body: str) -> Called:
    return Called("apply_patch", body, id_, custom=True)


def runs(id_: str, command: str, **more: object) -> Called:
    return call("exec_command", id_, cmd=command, **more)


def steps(second: str) -> list[dict[str, str]]:
    said = {"Look": "completed", "Mend": second, "Test": "pending"}
    return [{"step": step, "status": status} for step, status in said.items()]


def png(width: int = 2, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def whole(hand: ByHand, input_: Input) -> None:
    since = await hand.give(input_)
    await hand.of(AgentTurnDone, since)


async def one_turn(hand: ByHand) -> None:
    await whole(hand, text("in-1", "go"))


async def until_command(hand: ByHand) -> int:
    since = await hand.give(text("in-1", "go"))
    await hand.of(ActionStarted, since)
    return since


async def steers(hand: ByHand) -> None:
    since = await until_command(hand)
    await hand.tell(DRIVER.steer(hand.known, "agent-1", text("in-2", "and that")))
    await hand.of(AgentTurnDone, since)
    await hand.tell(DRIVER.steer(hand.known, "agent-1", text("in-3", "too late")))
    await hand.answered("steer/in-3")


async def interrupts(hand: ByHand) -> None:
    since = await until_command(hand)
    body = {"id": "interrupt", "method": "turn/interrupt", "params": {"threadId": hand.known.thread}}
    body["params"]["turnId"] = hand.known.turn
    await hand.tell(replace(DRIVER.compact(hand.known, "-"), data=json.dumps(body).encode() + b"\n"))
    await hand.of(AgentTurnDone, since)


async def compacts(hand: ByHand) -> None:
    await one_turn(hand)
    since = len(hand.events)
    await hand.tell(DRIVER.compact(hand.known, "r1"))
    await hand.of(Compacted, since)
    await hand.of(AgentTurnDone, since)


async def answers(hand: ByHand) -> None:
    since = await hand.give(text("in-1", "go"))
    asked = await hand.of(QuestionsAsked, since)
    known = replace(hand.known, asks=(asked.ask,), questions=(asked.questions,))
    await hand.tell(DRIVER.answer(known, asked.ask, text("in-2", "blue\n12")))
    await hand.of(AgentTurnDone, since)


async def wants(hand: ByHand, request: str, change: GoalChange) -> None:
    since = len(hand.events)
    await hand.tell(DRIVER.goal(hand.known, request, change, None))
    await hand.until(lambda event: isinstance(event, GoalChanged) and event.request == request, since)


def goal_is(status: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, GoalChanged) and bool(event.goal) and event.goal.status == status


async def reaches_goal(hand: ByHand) -> None:
    await wants(hand, "r1", GoalChange("set", "make it so", token_budget=100_000))
    await hand.until(goal_is("completed"))
    await hand.of(AgentTurnDone, next(i for i, e in enumerate(hand.events) if goal_is("completed")(e)))
    await wants(hand, "r2", GoalChange("clear"))


async def exhausts_budget(hand: ByHand) -> None:
    await wants(hand, "r1", GoalChange("set", "make it so", token_budget=20))
    await hand.until(goal_is("budget_exhausted"))
    await hand.of(AgentTurnDone, next(i for i, e in enumerate(hand.events) if goal_is("budget_exhausted")(e)))


async def pauses_goal(hand: ByHand) -> None:
    await wants(hand, "r1", GoalChange("set", "make it so"))
    await hand.of(ActionStarted)
    await wants(hand, "r2", GoalChange("pause"))
    await hand.of(AgentTurnDone)
    await wants(hand, "r3", GoalChange("complete"))


async def shows_image(hand: ByHand) -> None:
    image = {"image": {"data": base64.b64encode(png()).decode(), "mimeType": "image/png"}}
    block = {"id": "in-1", "inputs": [{"text": {"content": "What is this?"}}, image]}
    await whole(hand, Input("in-1", block))


async def is_killed(hand: ByHand) -> None:
    """What is recorded is the second process: the first one died in the middle of a command."""
    await until_command(hand)
    await hand.end(kill=True)
    hand.launch = replace(hand.launch, process="agent-2", thread=hand.known.thread)
    hand.known = replace(hand.known, turn="", given=("in-1", "in-2"))
    hand.lines, hand.events = [], []
    await hand.start()
    since = len(hand.events)
    await hand.tell(DRIVER.resume(hand.known, "agent-2", "You were restarted."))
    await hand.of(AgentTurnDone, since)


async def loses_thread(hand: ByHand) -> None:
    await hand.end(kill=True)
    hand.launch = replace(hand.launch, thread="01a20468-0000-7e61-b7af-000000000000")
    hand.lines, hand.events = [], []
    await hand.start()


async def has_child(hand: ByHand) -> None:
    await one_turn(hand)
    await hand.until(lambda event: isinstance(event, ChildReported) and event.child.state == "done")


async def leaves_one_behind(hand: ByHand) -> None:
    await one_turn(hand)
    for _ in range(600):  # it ends when it wants to, and only a note says so
        if b"ended here" in b"".join(hand.lines[-3:]):
            return
        await asyncio.sleep(0.05)


async def changes_settings(hand: ByHand) -> None:
    codex_settings = {
        "model": "CODEX_OPEN_AI_MODEL_GPT_5_6_SOL",
        "reasoningEffort": "CODEX_REASONING_EFFORT_EXTRA_HIGH",
        "serviceTier": "CODEX_SERVICE_TIER_FAST",
    }
    await whole(hand, replace(text("in-1", "go"), settings=codex_settings))
    await whole(hand, replace(text("in-2", "go"), settings={"model": "CODEX_OPEN_AI_MODEL_GPT_5_4"}))


async def fails(hand: ByHand) -> None:
    await hand.give(text("in-1", "go"))
    await hand.of(AgentFault)
    await hand.of(AgentTurnDone)


async def says_too_much(hand: ByHand) -> None:
    await hand.tell(DRIVER.deliver(hand.known, "agent-1", text("in-1", "x" * ((1 << 20) + 1))))
    await hand.of(AgentFault)


@dataclass(frozen=True)
class Scene:
    does: Callable[[ByHand], Awaitable[None]]
    answers: Sequence[Answer]
    model: str = "gpt-5.5"


QUESTIONS = [
    {
        "id": "colour",
        "header": "Colour",
        "question": "Which colour?",
        "options": [{"label": "Blue", "description": "like the sky"}, {"label": "Red", "description": "like fire"}],
    },
    {"id": "size", "header": "Size", "question": "How large?", "options": [{"label": "S", "description": "small"}]},
]
WORKS = Reply("", calls=(runs("c1", "sleep 0.3; echo worked"),))
COMPLETES = Reply("", calls=(call("update_goal", "g1", status="complete"),))
SCENES = {
    "turn": Scene(
        one_turn,
        (
            Reply("I look first.", calls=(runs("c1", "echo hi; echo err >&2; exit 3"),), thinking="Let me think."),
            Reply("", calls=(patch("c2", PATCH),)),
            Reply("", calls=(patch("c3", MOVE),)),
            Reply("", calls=(patch("c4", DELETE),)),
            Reply("All is done."),
        ),
    ),
    "parallel": Scene(one_turn, (Reply("", calls=(runs("c1", "echo 1"), runs("c2", "echo 2"))), Reply("Done."))),
    "background": Scene(
        leaves_one_behind,
        (Reply("", calls=(runs("c1", "sleep 1; echo ended here", yield_time_ms=250),)), Reply("It runs.")),
    ),
    "steer": Scene(steers, (WORKS, Reply("Both done."))),
    "interrupt": Scene(interrupts, (Reply("", calls=(runs("c1", "sleep 73"),)),)),
    "compact": Scene(compacts, (Reply("One."), Reply("The summary."))),
    "questions": Scene(
        answers, (Reply("", calls=(call("request_user_input", "c1", questions=QUESTIONS),)), Reply("Blue it is."))
    ),
    "goal": Scene(reaches_goal, (Reply("Working."), COMPLETES, Reply("Reached."))),
    "goal-budget": Scene(exhausts_budget, (Reply("One."), Reply("Two."), Reply("Three."))),
    "goal-paused": Scene(pauses_goal, (WORKS, Reply("So far."))),
    "image": Scene(shows_image, (Reply("A red square."),)),
    "killed": Scene(is_killed, (Reply("First.", calls=(runs("c1", "sleep 73"),)), Reply("I go on."))),
    "lost-thread": Scene(loses_thread, (Reply("Never said."),)),
    "child": Scene(
        has_child,
        (
            Reply("", calls=(Called("spawn_agent", '{"message": "help"}', "s1", namespace="multi_agent_v1"),)),
            Reply("I have help.", calls=(runs("c1", "sleep 0.5"),)),
            Reply("", calls=(runs("c2", "echo child"),)),
            Reply("It is done."),
        ),
        WITHOUT_METADATA,
    ),
    "plan": Scene(
        one_turn,
        (
            Reply("I plan.", calls=(call("update_plan", "c1", explanation="three steps", plan=steps("in_progress")),)),
            Reply("", calls=(call("update_plan", "c2", plan=steps("completed")),)),
            Reply("Done."),
        ),
    ),
    "settings": Scene(changes_settings, (Reply("Yes."),)),
    "refused": Scene(fails, (Failure(400, "The model cannot do that."),)),
    "limited": Scene(fails, (Failure(429, "the limit of 3 iterations is reached"),)),
    "too-long": Scene(says_too_much, (Reply("Never said."),)),
    "cut": Scene(one_turn, (Broken(Reply("This is cut off."), 6), Reply("This is whole."))),
}


async def record(name: str) -> None:
    scene = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "workspace").mkdir()
        (place / "workspace" / "a.txt").write_text("old\n")
        async with Endpoint(scene.answers) as endpoint, codex(place, endpoint.url, scene.model) as hand:
            await scene.does(hand)
            told = {
                str(place / "workspace"): "/workspace",
                str(place / "home"): "/home/agent",
                endpoint.url: "http://gateway",
            }
        lines = b"".join(hand.lines)
        for real, shown in told.items():
            lines = lines.replace(real.encode(), shown.encode())
    (CORPUS / f"{name}.jsonl").write_bytes(lines)
    print(name, len(lines), "bytes", lines.count(b"\n"), "lines")  # noqa: T201


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    for scene in sys.argv[1:] or SCENES:
        asyncio.run(record(scene))
