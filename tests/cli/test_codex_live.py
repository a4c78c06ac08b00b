"""`hostler run --agent codex` against a real server, the real Codex and a scripted model: what a person sees."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostler.testing.answers import Answer, Reply
from hostler.testing.endpoints import Received
from tests.agents.codex.provider import in_order, provider
from tests.agents.codex.record import PATCH, QUESTIONS, call, patch, runs
from tests.cli.conftest import Cli
from tests.cli.scripted import Scripted
from tests.cli.seat import command
from tests.conftest import ROOT
from tests.docs.pages import blocks
from tests.server import HostlerProcess, repository_at

pytestmark = pytest.mark.sandbox
PAGE = ROOT / "docs" / "how-to" / "run-codex.md"
SCRIPTED = "a script answers in place of a model (scripted:gpt-5.6-sol)"
BLUE = in_order(Reply("", calls=(call("request_user_input", "ask-1", questions=QUESTIONS),)), Reply("Blue it is."))
GOAL = in_order(
    Reply("I begin.", calls=(runs("begin-1", "touch done"),)),
    Reply("", calls=(call("update_goal", "goal-1", status="complete"),)),
    Reply("It is reached."),
)
WORK = in_order(
    Reply("I look first.", calls=(runs("look-1", "cat a.txt"),)),
    Reply("", calls=(patch("patch-1", PATCH),)),
    Reply("All is done."),
)


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env={**env, "COLUMNS": "120"}, capture_output=True, text=True, timeout=120)


def ended(ran: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """The exit code, and what was said on the side beside the link to the page."""
    return ran.returncode, re.sub(r"^watch it: http.*\n", "", ran.stderr)


@contextmanager
def serving(place: Path, **env: str) -> Iterator[HostlerProcess]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, env).start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def repository(place: Path) -> str:
    (place / "files").mkdir()
    (place / "files" / "a.txt").write_text("old\n")
    return str(repository_at(place / "project", place / "files"))


def test_without_a_key_the_script_mends_through_codex_and_it_is_said(place: Path, wordcount: Path) -> None:
    with serving(place) as server:
        words = ("--agent", "codex", "--model", "gpt-5.6-sol", "--effort", "high", "--repo", str(wordcount))
        ran = hostler(server, "run", "Mend the failing test", *words)
        assert ended(ran) == (0, "")
        id_, *shown = ran.stdout.splitlines()
        assert ran.stdout.count(SCRIPTED) == 1
        assert "▶ python3 -m unittest -q" in shown
        assert "  ✗ FAILED (failures=1)" in shown
        assert "  │ OK" in shown
        assert "and all 5 tests pass now." in ran.stdout
        assert shown[-1] == "exit code 0"
        told = hostler(server, "show", id_).stdout
        assert "agent       codex (codex 0." in told
        assert "model       scripted:gpt-5.6-sol\n" in told
        assert "Mend the failing test (codex)\n" in hostler(server, "ps").stdout
        again = hostler(server, "watch", id_, "--since", "start")
        assert again.returncode == 0
        assert "▶ python3 -m unittest -q" in again.stdout.splitlines()
        assert "+    return ranked[:limit]" in hostler(server, "diff", id_).stdout


def test_the_page_about_codex_does_what_it_says(place: Path, wordcount: Path) -> None:
    (shown,) = (one for one in blocks(PAGE) if "hostler run" in one.text)
    with serving(place) as server:
        for line in shown.text.splitlines():
            program, *words = shlex.split(line)
            assert program == "hostler"
            argv, env = command(server, *words)
            if "/ona:goal" in line:
                argv = [*argv, "--detach"]  # a script does not know when a goal is reached
            ran = subprocess.run(argv, env=env, cwd=wordcount, capture_output=True, text=True, timeout=120)
            assert ended(ran) == (0, "")
        assert hostler(server, "stop", ran.stdout.strip()).returncode == 0


def test_commands_changes_questions_and_goals_are_shown(place: Path, repository: str) -> None:
    def answer(request: Received) -> Answer:
        said = json.dumps(request.body.get("input"))
        return next((task for mark, task in (("Let us paint", BLUE), ("Be done", GOAL)) if mark in said), WORK)(request)

    with provider(answer) as model:
        env = {**model.endpoint.environ(), "HOSTLER_MODEL": "openai-responses:gpt-5.5"}
        with serving(place, **env) as server:
            ran = hostler(server, "run", "Change it", "--agent", "codex", "--repo", repository)
            assert ended(ran) == (0, "")
            assert "> Change it\nI look first.\n▶ cat a.txt\n  │ old\n" in ran.stdout
            assert "± a.txt +1 -1\n    - old\n    + new\n" in ran.stdout
            assert "± sub/b.txt +2 -0\n" in ran.stdout
            assert "All is done.\n" in ran.stdout

            asked = hostler(server, "run", "Let us paint", "--agent", "codex")
            assert asked.returncode == 3
            assert "? Which colour?\n" in asked.stdout
            id_ = asked.stdout.splitlines()[0]
            assert hostler(server, "send", id_, "Blue").returncode == 0
            answered = hostler(server, "watch", id_)
            assert answered.returncode == 0
            assert "Blue it is.\n" in answered.stdout

            goal = hostler(server, "run", "/ona:goal --budget 90k Be done", "--agent", "codex")
            assert goal.returncode == 0
            assert "\ngoal      reached: Be done (" in goal.stdout
            assert " of 90,000 tokens)\n" in goal.stdout


def test_without_the_program_one_line_says_what_to_install(place: Path) -> None:
    """A server on a machine without the extra: the package that brings the program cannot be imported there."""
    missing = place / "missing" / "codex_cli_bin"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError\n")
    with serving(place, PYTHONPATH=str(missing.parent)) as server:
        ran = hostler(server, "run", "Anything", "--agent", "codex")
        said = "agent_id: Codex is not installed: pip install 'hostler[codex]', then start the server again"
        assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"hostler: {said}\n")
        assert hostler(server, "run", "Hello").returncode == 0


def test_an_effort_that_there_is_not_is_wrong_usage(cli: Cli, server: Scripted) -> None:
    ended = cli("run", "x", "--agent", "codex", "--effort", "silly")
    assert (ended.code, "--effort: 'silly' is none of low, medium, high" in ended.err) == (2, True)
    assert not server.bodies("StartAgent")


def test_model_and_effort_become_settings_of_codex(cli: Cli, server: Scripted) -> None:
    """A server without the program does not list it: its own refusal says what to do."""
    server.answers["ListAgents"] = {"agents": []}
    cli("run", "Go", "--agent", "codex", "--model", "gpt-5.5", "--effort", "xhigh", "-d")
    cli("run", "Go", "--agent", "codex", "--model", "scripted:demo", "-d")
    first, second = server.bodies("StartAgent")
    assert first["agentId"] == second["agentId"] == "00000000-0000-0000-0000-000000007800"
    assert first["codexSettings"] == {
        "model": "CODEX_OPEN_AI_MODEL_GPT_5_5",
        "reasoningEffort": "CODEX_REASONING_EFFORT_EXTRA_HIGH",
    }
    assert ("annotations" in first, second["annotations"]) == (False, {"hostler/model": "scripted:demo"})
