"""The prompt library, tokens and environments."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ENVIRONMENT, ID, OWN, Json, Refused, Scripted, execution

PROMPT = {
    "id": "0198c2aa-0009-7000-8000-000000000009",
    "metadata": {"name": "Review", "description": "Reviews a change."},
    "spec": {"prompt": "Look at it", "isCommand": True, "command": "review"},
}


@pytest.fixture
def library(server: Scripted) -> Scripted:
    def found(body: Json) -> Json:
        wanted = body.get("filter", {}).get("command")
        return {"prompts": [] if wanted not in (None, "review") else [PROMPT]}

    server.answers |= {"ListPrompts": found, "GetPrompt": {"prompt": PROMPT}}
    server.answers |= {"CreatePrompt": {"prompt": PROMPT}, "UpdatePrompt": {"prompt": PROMPT}, "DeletePrompt": {}}
    return server


def test_a_prompt_is_found_by_command_name_or_id(cli: Cli, library: Scripted) -> None:
    for given in ("/review", "Review", PROMPT["id"]):
        assert cli("prompt", "show", str(given)).out == "Look at it\n"
    assert cli("prompt", "show", "/other").code == 1
    assert cli("prompt", "show", "Nothing").code == 2


def test_the_list_filters_and_shows_commands(cli: Cli, library: Scripted) -> None:
    assert "/review" in cli("prompt", "list", "--commands", "--search", "rev").out
    assert library.bodies("ListPrompts")[0]["filter"] == {
        "search": "rev",
        "isCommand": True,
        "excludePromptContent": True,
    }


def test_create_takes_the_text_from_an_option_a_file_or_standard_input(
    cli: Cli, library: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "p.md").write_text("From a file")
    common = ("prompt", "create", "Review", "-d", "Reviews.")
    assert cli(*common, "--text", "Here", "--command", "/review").code == 0
    assert cli(*common, "--file", str(tmp_path / "p.md"), "--skill").code == 0
    assert cli(*common, "--file", "-", stdin="Piped").code == 0
    assert [body["prompt"] for body in library.bodies("CreatePrompt")] == ["Here", "From a file", "Piped"]
    assert library.bodies("CreatePrompt")[0]["command"] == "review"
    assert library.bodies("CreatePrompt")[1]["isSkill"] is True
    assert cli(*common).code == 2
    assert cli(*common, "--file", str(tmp_path / "absent")).code == 2


def test_edit_sends_only_what_changes(cli: Cli, library: Scripted) -> None:
    assert cli("prompt", "edit", "/review", "--name", "Look", "--no-template").code == 0
    assert library.bodies("UpdatePrompt") == [
        {"promptId": PROMPT["id"], "metadata": {"name": "Look"}, "spec": {"isTemplate": False}}
    ]


def test_edit_opens_the_editor_on_the_text(
    cli: Cli, library: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/Look/Stare/")
    assert cli("prompt", "edit", "/review").code == 0
    assert library.bodies("UpdatePrompt") == [{"promptId": PROMPT["id"], "spec": {"prompt": "Stare at it"}}]
    monkeypatch.setenv("EDITOR", "true")
    assert cli("prompt", "edit", "/review").out == "unchanged\n"
    monkeypatch.setenv("EDITOR", "false")
    assert cli("prompt", "edit", "/review").code == 1
    monkeypatch.delenv("EDITOR")
    assert cli("prompt", "edit", "/review").code == 2
    assert len(library.bodies("UpdatePrompt")) == 1


def test_a_removed_prompt(cli: Cli, library: Scripted) -> None:
    assert cli("prompt", "rm", "/review").code == 0
    assert library.bodies("DeletePrompt") == [{"promptId": PROMPT["id"]}]


def test_hidden_characters_are_refused_in_one_line(cli: Cli, library: Scripted) -> None:
    library.answers["CreatePrompt"] = Refused(400, "invalid_argument", "prompt: hidden characters")
    ended = cli("prompt", "create", "Review", "-d", "Reviews.", "--text", "a")
    assert (ended.code, ended.err) == (1, "hostler: prompt: hidden characters\n")


def test_tokens(cli: Cli, server: Scripted) -> None:
    token = {"id": ID, "name": "laptop", "scope": "all", "expiresAt": "2026-02-01T00:00:00Z"}

    def answer(body: Json) -> Json:
        return {**token, "token": "hostler_secret"} if body else {"tokens": [token]}

    server.answers |= {f"{OWN}/tokens": answer, f"{OWN}/tokens/{ID}": {}}
    assert cli("token", "create", "laptop", "--expires", "12h", "--read-only").out == "hostler_secret\n"
    assert server.asked[-1].body == {"name": "laptop", "scope": "read", "days": 0.5}
    out = cli("token", "list").out
    assert "laptop" in out
    assert "2026-02-01T00:00" in out
    assert cli("token", "revoke", ID).code == 0
    assert (server.asked[-1].method, server.asked[-1].path) == ("DELETE", f"{OWN}/tokens/{ID}")
    assert cli("token", "create", "x", "--expires", "soon").code == 2


@pytest.fixture
def environment(server: Scripted) -> Scripted:
    ops = {"environmentUrls": {"ops": f"{server.url}/api/environments/{ENVIRONMENT}/ops"}}
    entry = {"id": ENVIRONMENT, "metadata": {"name": "box"}, "status": {"phase": "ENVIRONMENT_PHASE_RUNNING", **ops}}

    def get(body: Json) -> Json | Refused:
        known = body["environmentId"] == ENVIRONMENT
        return {"environment": entry} if known else Refused(404, "not_found", "there is no such environment")

    server.answers |= {
        "ListEnvironments": {"environments": [entry]},
        "GetEnvironment": get,
        "CreateEnvironmentAccessToken": {"accessToken": "environment-token"},
        "StopEnvironment": {},
        "DeleteEnvironment": {},
        "Exec": {"exitCode": 7, "stdout": "out\n", "stderr": "err\n"},
    }
    return server


def test_exec_passes_output_and_exit_code_through(cli: Cli, environment: Scripted) -> None:
    ended = cli("env", "exec", "-w", "src", "--timeout", "9", ENVIRONMENT[:13], "--", "grep", "-r", "a b", "--color")
    assert (ended.code, ended.out, ended.err) == (7, "out\n", "err\n")
    asked = environment.asked[-1]
    assert asked.path == f"/api/environments/{ENVIRONMENT}/ops/supervisor.v1.EnvironmentOpsService/Exec"
    assert asked.headers["authorization"] == "Bearer environment-token"
    assert asked.body.pop("operationId")
    assert asked.body == {"command": "grep -r 'a b' --color", "workingDirectory": "src", "timeoutSeconds": 9}


def test_exec_in_the_environment_of_an_execution(cli: Cli, environment: Scripted) -> None:
    environment.executions = [execution(usedEnvironments=[{"environmentId": ENVIRONMENT}])]
    for given in (ID, ID[:13]):
        ended = (
            cli("env", "exec", given, "--json", "true") if given == "" else cli("env", "exec", "--json", given, "true")
        )
        assert json.loads(ended.out)["exitCode"] == 7
    assert environment.bodies("Exec")[0]["command"] == "true"
    assert cli("env", "exec", "ffff", "true").code == 1


def test_exec_without_a_command_is_wrong_usage(cli: Cli, environment: Scripted) -> None:
    assert cli("env", "exec", ENVIRONMENT).code == 2
    assert cli("env", "exec", ENVIRONMENT, "--").code == 2


def test_a_stopped_environment_runs_nothing_and_says_so(cli: Cli, environment: Scripted) -> None:
    stopped = {"id": ENVIRONMENT, "status": {"phase": "ENVIRONMENT_PHASE_STOPPED"}}
    environment.answers["GetEnvironment"] = {"environment": stopped}
    ended = cli("env", "exec", ENVIRONMENT, "true")
    assert ended.code == 1
    assert "stopped" in ended.err


def test_list_stop_and_rm(cli: Cli, environment: Scripted) -> None:
    assert cli("env", "list").out.split() == [ENVIRONMENT[:8], "running", "box"]
    assert cli("env", "stop", ENVIRONMENT).code == 0
    assert cli("env", "rm", ENVIRONMENT, "--force").code == 0
    assert environment.bodies("DeleteEnvironment") == [{"environmentId": ENVIRONMENT, "force": True}]
