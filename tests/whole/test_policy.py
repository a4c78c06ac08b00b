"""The organization's policy on a real server: what it refuses, what it stops, and who waits because of it."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_env_live import command
from tests.server import HostlerProcess, Refused

pytestmark = pytest.mark.sandbox
SLOW = "run: until [ -e go ]; do sleep 0.05; done"


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def own(server: HostlerProcess, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/hostler/v1{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def changed(server: HostlerProcess, **parts: Any) -> None:
    status, answer = own(server, "PATCH", "/policy", {"policy": parts})
    assert status == 200, answer


def test_what_the_policy_does_not_allow_is_refused_at_the_start(hostler: HostlerProcess, wordcount: Path) -> None:
    changed(hostler, agents=["codex"])
    with pytest.raises(Refused, match="does not allow agent") as refused:
        hostler.start_agent("Hello")
    assert (refused.value.status, refused.value.code) == (400, "failed_precondition")
    changed(hostler, agents=[], models=["openai:*"])
    with pytest.raises(Refused, match="does not allow model scripted:demo"):
        hostler.start_agent("Hello")
    changed(hostler, models=[], repositories=["github.com/acme/*"])
    with pytest.raises(Refused, match="does not allow repository"):
        hostler.start_agent("Hello", wordcount)
    assert hostler.call("ListAgentExecutions").get("agentExecutions", []) == []
    listed = hostler.call("ListEnvironments", service="EnvironmentService")
    assert listed.get("environments", []) == []
    assert hostler.start_agent("")


def test_commands_links_and_hosts(hostler: HostlerProcess) -> None:
    changed(hostler, denied_commands=["git push *"], sharing="view", denied_hosts=["*.example.org"])
    execution = hostler.start_agent("run: git push origin main")
    hostler.rest(execution)
    [result] = [body for kind, body in hostler.log(execution) if kind == "ToolFinished"]
    assert "denied by the organization's policy" in result["text"]
    status, answer = own(hostler, "POST", f"/executions/{execution}/shares", {"may": "send"})
    assert (status, answer["code"]) == (400, "failed_precondition"), answer
    assert own(hostler, "POST", f"/executions/{execution}/shares", {"may": "view"})[0] == 201
    environment = hostler.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    status, answer = own(hostler, "POST", f"/environments/{environment}/hosts", {"host": "a.example.org"})
    assert (status, answer["code"]) == (400, "failed_precondition"), answer


def test_turns_beyond_a_persons_cap_wait_for_a_slot_and_go_on_when_it_is_raised(hostler: HostlerProcess) -> None:
    changed(hostler, caps={"running": 1})
    first, second = hostler.start_agent(SLOW), ""
    folder = hostler.folder / "environments"
    hostler.until(lambda: hostler.phase(first) == "RUNNING" and any(k == "ToolStarted" for k, _ in hostler.log(first)))
    second = hostler.start_agent("run: echo done")

    def waits() -> bool:
        return hostler.get(second)["status"].get("currentActivity") == "waiting for a slot"

    hostler.until(waits)
    _, caps = own(hostler, "GET", "/policy/caps")
    assert caps["running"] == {"most": 1, "used": 2}
    changed(hostler, caps={"running": 2})
    hostler.rest(second)
    assert hostler.phase(first) == "RUNNING"
    for work in folder.glob("**/files/work"):
        (work / "go").touch()
    hostler.rest(first)


def test_tokens_of_the_day_stop_what_runs_and_refuse_what_begins(hostler: HostlerProcess) -> None:
    execution = hostler.start_agent(SLOW)
    hostler.until(lambda: any(kind == "ToolStarted" for kind, _ in hostler.log(execution)))
    changed(hostler, caps={"tokens_a_day": 1})
    hostler.until(lambda: hostler.phase(execution) == "STOPPED")
    status = hostler.get(execution)["status"]
    assert "tokens of the day are used up" in status["failureMessage"]
    with pytest.raises(Refused, match="used up") as refused:
        hostler.send(execution, "go on")
    assert (refused.value.status, refused.value.code) == (429, "resource_exhausted")
    hostler.call("DeleteAgentExecution", {"agentExecutionId": execution})
    with pytest.raises(Refused, match="used up"):
        hostler.start_agent("Hello")
    changed(hostler, caps={})
    hostler.rest(hostler.start_agent("run: echo fine"))


def test_the_command_line_changes_the_policy_and_shows_its_versions(place: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder).start()
    try:
        assert "nobody has set anything yet" in hostler(server, "policy", "show").stderr
        assert hostler(server, "policy", "set", "sight", "own").returncode == 0
        assert hostler(server, "policy", "set", "models", "openai:*", "scripted:*").returncode == 0
        assert hostler(server, "policy", "cap", "--running", "3").returncode == 0
        me = own(server, "GET", "/info")[1]["principal"]["id"]
        assert hostler(server, "policy", "cap", me, "--tokens-a-day", "7").returncode == 0
        shown = json.loads(hostler(server, "policy", "show", "--json").stdout)
        assert (shown["version"], shown["policy"]["sight"]) == (4, "own")
        assert shown["policy"]["caps_of"] == {me: {"running": 3, "tokens_a_day": 7, "disk_gib": 0}}
        assert "of 7" in hostler(server, "policy", "caps").stdout
        wrong = hostler(server, "policy", "set", "sharing", "sometimes")
        assert wrong.returncode == 1
        assert "off or view or send" in wrong.stderr
        unknown = hostler(server, "policy", "set", "nonsense", "x")
        assert unknown.returncode == 2
        assert hostler(server, "policy", "unset", "models").returncode == 0
        assert hostler(server, "policy", "cap", me, "--like-everybody").returncode == 0
        versions = json.loads(hostler(server, "policy", "versions", "--json").stdout)
        assert [one["version"] for one in versions] == [6, 5, 4, 3, 2, 1]
        assert versions[0]["policy"]["caps_of"] == {}
    finally:
        server.stop()


def test_git_commits_as_the_person_who_had_the_environment_made(hostler: HostlerProcess, wordcount: Path) -> None:
    line = "run: git commit -q --allow-empty -m one && git log -1 --format='%an <%ae>'"
    nobody = hostler.start_agent(line, wordcount)
    hostler.rest(nobody)
    argv, env = command(hostler, "user", "git", "me", "--name", "Ann", "--email", "ann@example.org")
    said = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "commits as Ann <ann@example.org>" in said
    named = hostler.start_agent(line, wordcount)
    hostler.rest(named)
    texts = [body["text"] for one in (nobody, named) for kind, body in hostler.log(one) if kind == "ToolFinished"]
    assert [text.strip() for text in texts] == ["Agent <agent@localhost>", "Ann <ann@example.org>"]
    environment = hostler.get(named)["status"]["usedEnvironments"][0]["environmentId"]
    shown = hostler.call("GetEnvironment", {"environmentId": environment}, "EnvironmentService")["environment"]
    assert shown["spec"]["content"]["gitUsername"] == "Ann"
