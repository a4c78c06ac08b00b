"""Codex through the newer generation, the real program inside: the whole workflow, and the programs that come along."""

import json

import pytest

from tests import sdks
from tests.agents.codex.provider import Provider
from tests.sdk.clients import Client
from tests.sdk.code_host import TEMPLATE, CodeHost
from tests.sdk.codex_words import GOAL, NOTES
from tests.server import HostlerProcess

TASK = "Write 2 instead of two, and notes"
LATER = (sdks.GITPOD_1_0, sdks.GITPOD_1_1, sdks.GITPOD_1_2)
"""The releases with `run_codex`, and with programs in their packages."""


@pytest.fixture(params=LATER, ids=str)
def later(request: pytest.FixtureRequest, server: HostlerProcess) -> Client:
    return Client(request.param, server)


def test_one_call_makes_an_environment_and_runs_codex_in_it(later: Client, tool: str, codex_model: Provider) -> None:
    seen = later.run(
        f"""
        run = client.run_codex(
            task={TASK!r}, repository_url=arguments[0], environment_name="for codex", agent_name="two to 2",
            model=agent_pb2.CODEX_OPEN_AI_MODEL_GPT_5_6_SOL,
            reasoning_effort=agent_pb2.CODEX_REASONING_EFFORT_HIGH, timeout=80,
        )
        text = "".join(run.message_stream())
        updates = []
        phase = run.watch_result(lambda execution: updates.append(execution.status.phase), timeout=80).status.phase
        changes = run.environment.git_changes()
        result = get(run.id())
        run.stop_environment(timeout=80)
        run.delete_environment()
        tell(text=text, phase=phase, updates=updates, result=result,
             changed={{one.file.path: one.diff.hunks[0].body for one in changes.files}},
             same=result["spec"]["codeContext"]["environmentId"] == run.environment_id())
        """,
        tool,
    )
    assert seen["text"] == f"> {TASK}\n\nI look first.\n\nIt says 2 now.\n\n"
    assert seen["phase"] == seen["updates"][-1] == 30
    assert list(seen["changed"]) == ["src/tool.txt", "notes.md"]
    assert "-two\n+2\n" in seen["changed"]["src/tool.txt"]
    result = seen["result"]
    assert (result["metadata"]["name"], seen["same"]) == ("two to 2", True)
    asked = {
        "model": "CODEX_OPEN_AI_MODEL_GPT_5_6_SOL",
        "reasoningEffort": "CODEX_REASONING_EFFORT_HIGH",
    }
    assert result["spec"]["codexSettings"] == asked
    assert result["status"]["codexSettings"] == asked
    assert int(result["status"]["iterations"]) == 3
    sent = [body for body in codex_model.bodies if TASK in json.dumps(body)]
    assert {(body["model"], body["reasoning"]["effort"]) for body in sent} == {("gpt-5.6-sol", "high")}


def test_codex_is_started_in_an_environment_and_spoken_with(new: Client, tool: str) -> None:
    seen = new.run(
        f"""
        workspace = environments.create(arguments[0], timeout=80)
        session = workspace.start_codex({TASK!r}, name="talk", timeout=80)
        running = session.execution().status.phase
        first = "".join(session.message_stream())
        done = session.watch_result(timeout=80).status.phase
        session.send_message("Thank you")
        again = session.wait_running(timeout=80).status.phase
        second = "".join(session.message_stream())
        session.watch_result(timeout=80)
        tool = workspace.read_file("src/tool.txt").content.data.decode()
        environments.delete(workspace.id(), force=True)
        tell(phases=[running, done, again], first=first, second=second, tool=tool)
        """,
        tool,
    )
    assert seen["phases"] == [20, 30, 20]
    assert seen["first"].endswith("It says 2 now.\n\n")
    assert "> Thank you\n\n" in seen["second"]
    assert seen["second"].endswith("You are welcome.\n\n")
    assert seen["tool"] == "one\n2\nthree\n"


def test_codex_pursues_a_goal_within_a_budget_and_is_compacted(server: HostlerProcess) -> None:
    seen = Client(sdks.GITPOD_1_2, server).run(
        f"""
        run = client.run_codex(task="/ona:goal --budget 200k {GOAL}", timeout=80)
        text = "".join(run.message_stream())
        run.watch_result(timeout=80)
        goal = get(run.id())["status"]["goal"]
        done = run.environment.read_file("goal.txt").content.data.decode()
        def control(**what):
            call("SendToAgentExecution", agentExecutionId=run.id(), controlInput=what)
        over = refusal(control, goal={{"pause": {{}}}})
        control(compact={{}})
        run.session.wait_running(timeout=80)
        run.watch_result(timeout=80)
        run.send_message("Do you still know it?")
        run.watch_result(timeout=80)
        run.delete_environment(force=True)
        tell(text=text, goal=goal, done=done, over=over)
        """
    )
    assert seen["text"].endswith("The goal is reached.\n\n")
    goal = seen["goal"]
    assert (goal["objective"], goal["status"], goal["tokenBudget"]) == (GOAL, "GOAL_STATUS_COMPLETED", "200000")
    assert seen["done"] == "done\n"
    assert seen["over"]["code"] == "failed_precondition"


@pytest.fixture(scope="module", autouse=True)
def template(hosting: CodeHost) -> None:
    """What the clients' own programs work on; they name github.com."""
    hosting.add(TEMPLATE, {"README.md": "# A template\n", "main.go": "package main\n"})


def test_the_program_that_runs_a_command_runs_unchanged(later: Client) -> None:
    done = sdks.run_shipped(later.sdk, "start_environment_and_run_command", later.env)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = done.stdout.splitlines()
    assert "exit_code: 0" in lines
    assert f"git_remote=https://github.com/{TEMPLATE}" in lines
    assert "stderr is captured too" in lines
    assert any(line.startswith("read 13 bytes from ") for line in lines)
    assert lines[-1] == "verified file content: created by the Ona SDK environment interactions example"
    assert "during cleanup" not in done.stderr


def test_the_program_that_runs_codex_runs_unchanged(later: Client) -> None:
    done = sdks.run_shipped(later.sdk, "run_codex_agent_in_environment", later.env)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.endswith(f"I read it.\n\nI wrote {NOTES}.\n\n")
    lines = done.stderr.splitlines()
    assert "Codex finished: phase=waiting for input" in done.stderr
    assert f"repository: https://github.com/{TEMPLATE}" in lines
    assert "changed_files: 1" in lines
    assert any(NOTES in line and "hunks=1" in line for line in lines)
    assert "during cleanup" not in done.stderr
