"""The real Codex in a sandbox of the real server, killed: the server, Codex itself, and the sandbox."""

import base64
import json
import os
import signal
from pathlib import Path

import pytest

from hostler.core.conversation import Usage
from hostler.testing.answers import Hold, Reply
from tests.agents.codex.provider import in_order
from tests.agents.codex.record import png, runs
from tests.agents.codex.standing import WAITS, Begin, codex_process, running

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]


def test_a_command_goes_on_while_the_server_is_dead_and_everything_arrives_once(place: Path) -> None:
    steps = in_order(Reply("", calls=(runs("c1", WAITS),)), Reply("", calls=(runs("c2", "echo two"),)), Reply("Done."))
    with running(place, steps) as run:
        run.start("go")
        run.until_command()
        folder = run.folder
        run.server.kill()
        (folder / "go").touch()
        run.server.start()
        assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert (folder / "runs").read_text() == "one\n"
        assert run.actions() == [("c1", "ok"), ("c2", "ok")]
        assert run.texts() == ["Done."]
        assert (len(run.log("AgentStarting")), len(run.log("InputSeen"))) == (1, 1)


def test_a_model_call_that_a_dead_server_cut_is_made_again_by_codex(place: Path) -> None:
    held = Hold(Reply("A long answer in many pieces.", calls=(runs("c1", "echo one >> runs"),)), after=4)
    with running(place, in_order(held, Reply("Done."))) as run:
        run.start("go")
        run.until(held.reached.is_set)
        run.server.kill()
        run.model.open(held)
        run.server.start()
        assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert (run.folder / "runs").read_text() == "one\n"
        assert [text for text in run.texts() if text != "A long "] == ["A long answer in many pieces.", "Done."]
        assert run.texts().count("A long ") <= 1  # Only where it was shown before the server died.
        calls = len(run.log("AgentCallStarted"))
        assert (len(run.log("AgentCallFinished")), len(run.log("AgentCallCut"))) == (2, calls - 2)
        assert calls == 3
        assert len(run.log("AgentStarting")) == 1


def test_an_input_of_four_mebibytes_is_delivered_once_although_the_server_dies_in_the_middle(place: Path) -> None:
    with running(place, in_order(Reply("I see it."))) as run:
        run.start()
        run.until(lambda: run.status.get("usedEnvironments"))
        image = {"data": base64.b64encode(png(1, 1) + os.urandom((4 << 20) - 200)).decode(), "mimeType": "image/png"}
        run.send(userInput={"inputs": [{"text": {"content": "What is this?"}}, {"image": image}]})
        run.until_logged("InputTaken")
        run.server.kill()
        run.server.start()
        assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert run.texts() == ["I see it."]
        assert len(run.log("InputSeen")) == 1
        assert sum("What is this?" in json.dumps(one) for one in run.model.bodies[-1]["input"]) == 1


def test_a_goal_is_pursued_to_the_end_of_its_budget_although_the_server_dies_on_the_way(place: Path) -> None:
    with running(place, lambda _: Reply("A step.", usage=Usage(input=100, output=20))) as run:
        run.start("hello")
        run.rest()
        run.control(goal={"set": {"objective": "--budget 1000 Make it so."}})
        run.until(lambda: len(run.model.bodies) > 3)
        run.server.restart()
        assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
        goal = run.status["goal"]
        assert (goal["status"], goal["tokensUsed"]) == ("GOAL_STATUS_BUDGET_EXHAUSTED", "1080")
        assert (len(run.log("AgentStarting")), len(run.log("TurnStarted"))) == (1, 2)


def test_codex_that_was_killed_goes_on_in_a_new_process_and_is_told_so(begin: Begin) -> None:
    steps = in_order(
        Reply("First.", calls=(runs("c1", WAITS),)), Reply("", calls=(runs("c2", "echo two"),)), Reply("Done.")
    )
    run = begin(steps)
    run.start("go")
    run.until_command()
    os.kill(codex_process(run), signal.SIGKILL)
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert run.actions() == [("c1", "unknown"), ("c2", "ok")]
    assert run.texts() == ["First.", "Done."]
    assert [body["process"] for body in run.log("AgentStarting")] == ["agent-1", "agent-2"]
    assert len({body["thread"] for body in run.log("AgentOpened")}) == 1
    assert "your process was restarted" in run.model.heard()
    assert len(run.log("InputSeen")) == 1


def test_codex_that_was_killed_in_a_model_call_makes_it_again(begin: Begin) -> None:
    held = Hold(Reply("First.", calls=(runs("c1", "echo one >> runs"),)), after=3)
    run = begin(in_order(held, Reply("Done.")))
    run.start("go")
    run.until(held.reached.is_set)
    os.kill(codex_process(run), signal.SIGKILL)
    run.model.open(held)
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert (run.folder / "runs").read_text() == "one\n"
    assert run.texts() == ["First.", "Done."]
    assert len(run.log("AgentCallStarted")) == len(run.log("AgentCallFinished")) + len(run.log("AgentCallCut"))


def test_a_sandbox_that_died_comes_back_and_codex_goes_on_in_it(begin: Begin) -> None:
    run = begin(in_order(Reply("First.", calls=(runs("c1", WAITS),)), Reply("Done.")))
    run.start("go")
    run.until_command()
    launched = json.loads((run.folder.parents[1] / "launch.json").read_text())
    os.kill(launched["pid"], signal.SIGKILL)
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert run.actions() == [("c1", "unknown")]
    assert run.texts() == ["First.", "Done."]
    assert len({body["thread"] for body in run.log("AgentOpened")}) == 1
    assert "your process was restarted" in run.model.heard()
