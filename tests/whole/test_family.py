"""A tree of sub-agents in real sandboxes: killed with the server, resumed, stopped one by one, and seen by clients."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.conftest import ROOT
from tests.docs.pages import blocks
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
NAMES = [f"n{number}" for number in range(5)]


def spawn(name: str, task: str, **more: Any) -> dict[str, Any]:
    return {"name": "spawn_agent", "arguments": {"name": name, "task": task, **more}}


def bash(line: str) -> dict[str, Any]:
    return {"name": "bash", "arguments": {"command": line}}


WAITS = "until [ -e go ]; do sleep 0.1; done"
RULES = [
    {"match": "has (nothing left|stopped)", "steps": [{"text": "Heard."}]},
    {
        "match": "^hold (?P<n>\\w+)",
        "steps": [{"calls": [bash(f"echo ${{n}} >> held; {WAITS}; echo ${{n}} >> done")]}, {"text": "${n} found it."}],
    },
    {
        "match": "^branch (?P<n>\\w+)",
        "steps": [
            {"calls": [spawn("leaf", "hold leaf${n}")]},
            {"calls": [bash(f"echo ${{n}} >> held; {WAITS}; echo ${{n}} >> done")]},
            {"text": "${n} is done."},
        ],
    },
    {
        "match": "^tree",
        "steps": [
            {"calls": [spawn(n, f"branch {n}", budget={"iterations": 15, "subagents": 1}) for n in NAMES]},
            {"text": "All started."},
        ],
    },
    {
        "match": "^pair",
        "steps": [
            {"calls": [spawn("one", "hold one"), spawn("two", "hold two")]},
            {
                "calls": [
                    bash("until [ $(wc -l < held) = 2 ]; do sleep 0.1; done; (sleep 600; echo lost) & echo $! > mine")
                ]
            },
            {"calls": [{"name": "stop_agent", "arguments": {"agent": "one"}}]},
            {"calls": [bash("sleep 1; touch go; kill -0 $(cat mine) && echo mine lives")]},
            {"text": "One is stopped."},
        ],
    },
]


@pytest.fixture
def server(place: Path) -> Iterator[HostlerProcess]:
    (place / "script.json").write_text(json.dumps({"rules": RULES}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{place}/script.json", "HOSTLER_SLOTS": "20"}).start()
    try:
        yield server
    finally:
        server.close()


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def started(server: HostlerProcess, task: str) -> str:
    return hostler(server, "run", task, "--detach").stdout.split()[0]


def show(server: HostlerProcess, execution: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hostler(server, "show", execution, "--json").stdout)
    return found


def inside(server: HostlerProcess, execution: str, line: str) -> str:
    environment = show(server, execution)["status"]["usedEnvironments"][0]["environmentId"]
    return hostler(server, "env", "exec", environment, "--", "sh", "-c", line).stdout


def test_ten_sub_agents_are_killed_with_the_server_and_go_on_where_they_were(server: HostlerProcess) -> None:
    parent = started(server, "tree")
    server.until(lambda: inside(server, parent, "cat held 2>/dev/null | wc -l").strip() == "10" or None)
    before = show(server, parent)["status"]["subagents"]
    assert len(before) == 10
    assert {one["phase"] for one in before} == {"PHASE_RUNNING"}
    names = {one["id"]: one["name"] for one in before}
    assert sorted(names[one["parentId"]] for one in before if one["name"] == "leaf") == NAMES
    shown = hostler(server, "ps").stdout
    assert shown.count("↳ n") == 5
    assert shown.count("  ↳ leaf") == 5
    server.kill()
    server.start()
    inside(server, parent, "touch go")
    waited = hostler(server, "wait", parent, "--timeout", "90")
    assert waited.returncode == 0, waited.stderr
    after = show(server, parent)
    assert {one["phase"] for one in after["status"]["subagents"]} == {"PHASE_WAITING_FOR_INPUT"}
    assert [one["id"] for one in after["status"]["subagents"]] == [one["id"] for one in before]
    held, done = (sorted(inside(server, parent, f"cat {file}").split()) for file in ("held", "done"))
    assert held == done == sorted([*NAMES, *(f"leaf{name}" for name in NAMES)])
    kinds = [kind for kind, _ in server.log(parent)]
    assert kinds.count("SubAgentReported") == 5  # one for each, after its own sub-agent had reported to it
    removed = hostler(server, "rm", "--force", parent)
    assert removed.returncode == 0
    server.until(lambda: "[]" in hostler(server, "ps", "--json").stdout or None)


def test_the_example_of_the_page_runs(place: Path) -> None:
    (script,) = (one.text for one in blocks(ROOT / "docs" / "how-to" / "sub-agents.md") if one.kind == "json")
    (place / "script.json").write_text(script)
    (place / "data").mkdir(mode=0o711)
    server = HostlerProcess(place / "data", {"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        ran = hostler(server, "run", "Count the files")
        assert ran.returncode == 0, ran.stderr
        assert "Heard of docs." in ran.stdout or "Heard of code." in ran.stdout
        found = show(server, ran.stdout.split()[0])["status"]["subagents"]
        assert [(one["name"], one["phase"]) for one in found] == [
            ("docs", "PHASE_WAITING_FOR_INPUT"),
            ("code", "PHASE_WAITING_FOR_INPUT"),
        ]
    finally:
        server.close()


def test_a_sub_agent_in_the_same_environment_is_stopped_without_touching_its_parent(server: HostlerProcess) -> None:
    parent = started(server, "pair")
    assert hostler(server, "wait", parent, "--timeout", "90").returncode == 0
    found = {one["name"]: one["phase"] for one in show(server, parent)["status"]["subagents"]}
    assert found == {"one": "PHASE_STOPPED", "two": "PHASE_WAITING_FOR_INPUT"}
    assert inside(server, parent, "cat done").split() == ["two"]
    assert any("mine lives" in str(body.get("text")) for kind, body in server.log(parent) if kind == "ToolFinished")
