"""Skills, slash commands, typed commands and compaction in a real sandbox, over the command line, through a kill -9."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
SKILL = """---
name: greet
description: >
  How people are greeted here,
  politely.
---
Always say "Hail" and never "Hi".
"""
RULES: list[dict[str, Any]] = [
    {"match": "^Summarize this conversation", "steps": [{"text": "Anna was greeted with Hail."}]},
    {"match": "^<prompt>\\npls", "steps": [{"text": "Greet Bob."}]},
    {
        "match": "Greet (?P<who>\\w+) kindly",
        "steps": [
            {"calls": [{"name": "skill", "arguments": {"name": "greet"}}]},
            {"expect": "never .Hi.", "text": "Hail ${who}!", "otherwise": "I know no skill."},
        ],
    },
    {"match": "ran a command[^$]*\\$ make[^x]*made (?P<what>\\w+)", "steps": [{"text": "You made ${what}."}]},
    {
        "match": "push it",
        "steps": [
            {"calls": [{"name": "bash", "arguments": {"command": "cd . && git push origin main"}}]},
            {"expect": "denied here", "text": "I may not push.", "otherwise": "I pushed."},
        ],
    },
    {"match": "Anna was greeted", "steps": [{"text": "I remember Anna."}]},
]


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": RULES}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    denied = {"HOSTLER_POLICY__DENIED_COMMANDS": '["git push *", "sudo *"]'}
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json", **denied}).start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def repository(place: Path) -> Path:
    folder = place / "repository"
    (folder / ".claude/skills/greeting").mkdir(parents=True)
    (folder / ".claude/skills/greeting/SKILL.md").write_text(SKILL)
    (folder / "Makefile").write_text("all:\n\t@sleep 1; echo made tea\n")
    git = ("git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "Begin")):
        subprocess.run((*git, *words), check=True)
    return folder


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def log(server: HostlerProcess, execution: str, kind: str) -> list[dict[str, Any]]:
    return [json.loads(body) if isinstance(body, str) else body for name, body in server.log(execution) if name == kind]


def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_command_loads_a_skill_a_typed_command_outlives_the_server_and_a_compacted_context_remembers(
    server: HostlerProcess, repository: Path
) -> None:
    made = ("prompt", "create", "Greet", "-d", "Greets people", "--text", "Greet $1 kindly.", "--command", "greet")
    hostler(server, *made)
    hostler(server, "prompt", "create", "tea", "-d", "How tea is made", "--text", "Boil water.", "--skill")
    ran = hostler(server, "run", "/greet Anna", "--repo", str(repository))
    assert "Hail Anna!" in ran.stdout
    execution = next(line for line in ran.stdout.splitlines() if line)
    skills = log(server, execution, "EnvironmentReady")[0]["skills"]
    assert [(one["name"], one["description"], bool(one["path"])) for one in skills] == [
        ("greet", "How people are greeted here, politely.", True),
        ("tea", "How tea is made", False),
    ]
    (announced,) = log(server, execution, "CommandsAnnounced")
    assert [one["name"] for one in announced["commands"]] == ["clear", "support-bundle", "greet"]

    hostler(server, "send", execution, "!make")
    until(lambda: log(server, execution, "ShellStarted"))
    server.restart()
    until(lambda: log(server, execution, "ShellFinished"))
    server.rest(execution)
    (result,) = log(server, execution, "ShellFinished")
    assert (result["outcome"], result["text"].strip(), result["exit_code"]) == ("ok", "made tea", 0)
    assert len(log(server, execution, "ModelReplied")) == 2
    hostler(server, "send", execution, "what did I do?")
    server.rest(execution)
    assert log(server, execution, "ModelReplied")[-1]["parts"][0]["text"] == "You made tea."

    hostler(server, "compact", execution)
    until(lambda: log(server, execution, "ContextCompacted"))
    server.rest(execution)
    (compacted,) = log(server, execution, "ContextCompacted")
    assert (compacted["summary"], compacted["truncated"]) == ("Anna was greeted with Hail.", False)
    hostler(server, "send", execution, "/clear")
    hostler(server, "send", execution, "/support-bundle")
    assert f"/api/executions/{execution}/bundle" in log(server, execution, "Answered")[0]["text"]
    asked = {"agentId": server.call("ListAgents")["agents"][0]["id"], "prompt": "pls greet bob?"}
    assert server.call("ImprovePromptForAgent", asked)["improvedPrompt"] == "Greet Bob."
    assert hostler(server, "replay", execution).returncode == 0
    filled = hostler(server, "prompt", "fill", "/greet", "Bob").stdout
    assert filled == "Greet Bob kindly.\n"


def test_a_denied_command_is_run_neither_by_the_agent_nor_for_a_person(
    server: HostlerProcess, repository: Path
) -> None:
    ran = hostler(server, "run", "push it", "--repo", str(repository))
    assert "I may not push." in ran.stdout
    execution = next(line for line in ran.stdout.splitlines() if line)
    for number, typed in enumerate(("!git push origin main", "!echo quiet | sudo tee x"), 1):
        hostler(server, "send", execution, typed)
        until(lambda number=number: len(log(server, execution, "ShellFinished")) == number)
    for result in log(server, execution, "ShellFinished"):
        assert result["outcome"] == "failed"
        assert "policy.denied_commands" in result["text"]
    assert not log(server, execution, "ShellStarted")
    server.rest(execution)
