"""What is said to Codex, and how it is started."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hostler.agents.codex.driver import CodexDriver
from hostler.agents.codex.settings import EFFORTS, MODELS, TIERS
from hostler.core.agents import Choice, GoalChange, Input, Known, Launch, Message, Question
from tests.agents.codex.by_hand import text

DRIVER = CodexDriver()
KNOWN = Known("thread-1", "turn-1")


def launch(**more: Any) -> Launch:
    return Launch(
        "e", "agent-1", "/workspace", "/home/agent/x", "http://127.0.0.1:3129/v1", "scoped", "gpt-5.5", **more
    )


def body(message: Message) -> dict[str, Any]:
    assert message.data.endswith(b"\n")
    assert message.data.count(b"\n") == 1
    return json.loads(message.data)


def test_the_greeting_introduces_us_and_opens_a_new_conversation() -> None:
    hello, ready, opening = DRIVER.greeting(launch(effort="high", system_prompt="Be brief."))
    assert body(hello)["params"]["capabilities"]["experimentalApi"] is True
    assert body(ready) == {"method": "initialized"}
    assert body(opening)["method"] == "thread/start"
    assert body(opening)["params"] == {
        "cwd": "/workspace",
        "model": "gpt-5.5",
        "approvalPolicy": "never",
        "sandbox": "danger-full-access",
        "config": {"model_reasoning_effort": "high"},
        "developerInstructions": "Be brief.",
    }
    assert len({message.id for message in (hello, ready, opening)}) == 3


def test_a_later_process_resumes_the_conversation_with_the_settings_that_hold() -> None:
    settings = {"model": "CODEX_OPEN_AI_MODEL_GPT_5_6_LUNA", "serviceTier": "CODEX_SERVICE_TIER_FAST"}
    said = body(DRIVER.greeting(launch(thread="thread-1", settings=settings))[-1])
    assert said["method"] == "thread/resume"
    assert said["params"]["threadId"] == "thread-1"
    assert (said["params"]["model"], said["params"]["serviceTier"]) == ("gpt-5.6-luna", "fast")
    assert said["params"]["excludeTurns"] is True


def test_the_program_has_no_sandbox_of_its_own_no_telemetry_and_one_way_out() -> None:
    command = DRIVER.program(launch())
    line = " ".join(command.argv)
    assert command.argv[4] == "app-server"
    assert 'base_url="http://127.0.0.1:3129/v1"' in line
    for setting in (
        'approval_policy="never"',
        'sandbox_mode="danger-full-access"',
        "analytics.enabled=false",
        "check_for_update_on_startup=false",
        'web_search="disabled"',
    ):
        assert setting in command.argv
    assert "scoped" not in line
    assert command.env["HOSTLER_LLM_TOKEN"] == "scoped"
    assert command.env["CODEX_HOME"] == "/home/agent/x/codex"
    assert not command.merge


def test_an_environment_without_the_program_says_what_to_do(tmp_path: Path) -> None:
    command = DRIVER.program(launch())
    env = {"PATH": os.defpath, "CODEX_HOME": str(tmp_path), "HOSTLER_PROGRAMS": str(tmp_path)}
    done = subprocess.run(command.argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "Stop the environment and start it again" in done.stderr


def test_an_input_begins_a_turn_under_its_own_id_with_text_image_and_note() -> None:
    data = base64.b64encode(b"picture").decode()
    block = {
        "id": "in-1",
        "inputs": [{"text": {"content": "look"}}, {"image": {"data": data, "mimeType": "image/jpeg"}}],
    }
    message = DRIVER.deliver(KNOWN, "agent-1", Input("in-1", block, note="You were restarted."))
    assert message.id == "deliver/in-1"
    assert body(message) == {
        "id": "deliver/in-1",
        "method": "turn/start",
        "params": {
            "threadId": "thread-1",
            "clientUserMessageId": "in-1",
            "input": [
                {"type": "text", "text": "You were restarted."},
                {"type": "text", "text": "look"},
                {"type": "image", "url": f"data:image/jpeg;base64,{data}"},
            ],
        },
    }


def test_an_input_that_was_missed_is_another_message() -> None:
    again = Input("in-1", text("in-1", "go").block, missed="turn-9")
    assert DRIVER.deliver(KNOWN, "agent-1", again).id == "again/turn-9/in-1"


@pytest.mark.parametrize("block", [{"text": {"content": "look"}}, {"inputs": [{"text": {"content": "look"}}]}])
def test_every_form_of_an_input_says_the_same(block: dict[str, Any]) -> None:
    assert body(DRIVER.deliver(KNOWN, "agent-1", Input("in-1", block)))["params"]["input"] == [
        {"type": "text", "text": "look"}
    ]


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        *(({"model": enum}, {"model": name}) for enum, name in MODELS.items()),
        *(({"reasoningEffort": enum}, {"effort": name}) for enum, name in EFFORTS.items()),
        *(({"serviceTier": enum}, {"serviceTier": name}) for enum, name in TIERS.items()),
        ({"model": "CODEX_OPEN_AI_MODEL_UNSPECIFIED"}, {}),
    ],
)
def test_settings_travel_with_the_turn_in_codex_words(settings: dict[str, str], params: dict[str, str]) -> None:
    plain = text("in-1", "go")
    said = body(DRIVER.deliver(KNOWN, "agent-1", Input("in-1", plain.block, settings)))["params"]
    usual = ("threadId", "clientUserMessageId", "input")
    assert {key: value for key, value in said.items() if key not in usual} == params


def test_steering_names_the_turn_that_it_is_for() -> None:
    said = body(DRIVER.steer(KNOWN, "agent-1", text("in-2", "and that")))
    assert (said["id"], said["method"], said["params"]["expectedTurnId"]) == ("steer/in-2", "turn/steer", "turn-1")


def test_going_on_after_a_crash_is_nobodys_input() -> None:
    said = body(DRIVER.resume(KNOWN, "agent-2", "You were restarted."))
    assert said["id"] == "resume/agent-2"
    assert "clientUserMessageId" not in said["params"]


SIZE = Question("size", "How large?")
COLOUR = Question("colour", "Which?", (Choice("B", "Blue"), Choice("R", "Red")))


@pytest.mark.parametrize(
    ("questions", "said", "answers"),
    [
        ((COLOUR,), "blue", {"colour": "Blue"}),
        ((COLOUR,), "b", {"colour": "Blue"}),
        ((COLOUR,), "green, rather", {"colour": "green, rather"}),
        ((COLOUR, SIZE), "red\n12", {"colour": "Red", "size": "12"}),
        ((COLOUR, SIZE), '{"size": "12", "colour": "red"}', {"colour": "Red", "size": "12"}),
        ((COLOUR, SIZE), "whatever you like", {"colour": "whatever you like", "size": "whatever you like"}),
        ((COLOUR,), "[1, 2]", {"colour": "[1, 2]"}),
    ],
)
def test_an_answer_finds_its_questions(questions: tuple[Question, ...], said: str, answers: dict[str, str]) -> None:
    known = Known("thread-1", "turn-1", asks=("agent-1/3",), questions=(questions,))
    message = DRIVER.answer(known, "agent-1/3", text("in-2", said))
    assert body(message) == {
        "id": 3,
        "result": {"answers": {question: {"answers": [answer]} for question, answer in answers.items()}},
    }


@pytest.mark.parametrize(
    ("change", "method", "params"),
    [
        (
            GoalChange("set", "win", "paused", 5),
            "thread/goal/set",
            {"objective": "win", "status": "paused", "tokenBudget": 5},
        ),
        (GoalChange("set", "win"), "thread/goal/set", {"objective": "win", "status": "active", "tokenBudget": None}),
        (GoalChange("pause"), "thread/goal/set", {"status": "paused"}),
        (GoalChange("resume"), "thread/goal/set", {"status": "active"}),
        (GoalChange("complete"), "thread/goal/set", {"status": "complete"}),
        (GoalChange("clear"), "thread/goal/clear", {}),
    ],
)
def test_a_goal_is_changed_in_codex_words(change: GoalChange, method: str, params: dict[str, Any]) -> None:
    said = body(DRIVER.goal(KNOWN, "r1", change, None))
    assert (said["id"], said["method"], said["params"]) == ("goal/r1", method, {"threadId": "thread-1", **params})


def test_compaction_is_asked_for_by_name() -> None:
    said = body(DRIVER.compact(KNOWN, "r1"))
    assert (said["id"], said["method"]) == ("compact/r1", "thread/compact/start")
