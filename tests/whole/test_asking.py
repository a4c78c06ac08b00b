"""A question of the built-in agent, over the command line and through a kill -9, in a real sandbox."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
CHOICES = [{"label": "SQLite", "description": "one file"}, {"label": "Postgres"}]
QUESTIONS = [{"question": "Which database?", "choices": CHOICES}, {"question": "Why?"}]
STEPS = [
    {"text": "I must know.", "calls": [{"name": "ask", "arguments": {"questions": QUESTIONS}}]},
    {"expect": "next message", "text": "So be it.", "calls": [{"name": "bash", "arguments": {"command": "true"}}]},
    {
        "text": "Done.",
        "calls": [{"name": "next_steps", "arguments": {"actions": [{"title": "Test it", "prompt": "Test it."}]}}],
    },
    {"text": "That is all."},
]


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": [{"steps": STEPS}]}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        yield server
    finally:
        server.close()


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def facts(server: HostlerProcess, execution: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hostler(server, "show", execution, "--json").stdout)["hostler"]
    return found


def test_a_question_is_exit_code_3_outlives_the_server_and_is_answered(server: HostlerProcess) -> None:
    asked = hostler(server, "run", "Store it")
    assert asked.returncode == 3, asked.stderr
    assert "? Which database?" in asked.stdout
    execution = next(line for line in asked.stdout.splitlines() if line)
    before = facts(server, execution)["openQuestions"]
    assert [(one["text"], len(one["choices"])) for one in before] == [("Which database?", 2), ("Why?", 0)]

    server.restart()
    assert facts(server, execution)["openQuestions"] == before
    answer = {before[0]["id"]: "postgres", before[1]["id"]: "many writers"}
    assert hostler(server, "send", execution, json.dumps(answer)).returncode == 0
    server.rest(execution)
    after = facts(server, execution)
    assert after["openQuestions"] == []
    assert after["nextSteps"] == [{"title": "Test it", "prompt": "Test it."}]
    kinds = [kind for kind, _ in server.log(execution)]
    assert [kinds.count(one) for one in ("QuestionsAsked", "QuestionsClosed", "NextStepsProposed")] == [1, 1, 1]
    assert hostler(server, "watch", execution, "--since", "start").returncode == 0
