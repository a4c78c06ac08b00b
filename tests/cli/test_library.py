"""The prompt library, tokens and environments."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ENVIRONMENT, ID, OTHER, OWN, Json, Raw, Refused, Scripted, execution

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


ERR = {"stream": "err", "next": 4, "data": "ZXJyCg=="}


def lines(*bodies: Json) -> bytes:
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


@pytest.fixture
def environment(server: Scripted) -> Scripted:
    ops = {"environmentUrls": {"logs": f"{server.url}/logs"}}
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
        "exec": Raw(lines({"stream": "out", "next": 4, "data": "b3V0Cg=="}, {}, ERR, {"exitCode": 7, "note": ""})),
    }
    return server


def test_exec_passes_output_and_exit_code_through(cli: Cli, environment: Scripted) -> None:
    words = ("-n", "-w", "src", "--timeout", "9", "-e", "A=b", ENVIRONMENT[:13], "--", "grep", "-r", "a b", "--color")
    ended = cli("env", "exec", *words)
    assert (ended.code, ended.out, ended.err) == (7, "out\n", "err\n")
    asked = environment.asked[-1]
    assert asked.path == f"{OWN}/environments/{ENVIRONMENT}/exec"
    assert asked.body.pop("operationId")
    assert asked.body == {
        "command": "grep -r 'a b' --color",
        "workingDirectory": "src",
        "timeoutSeconds": 9,
        "env": {"A": "b"},
        "input": False,
        "outOffset": 0,
        "errOffset": 0,
    }


def test_exec_that_breaks_off_is_taken_up_where_it_was(cli: Cli, environment: Scripted) -> None:
    told = {"incarnation": "life-1"}
    first_part = lines(told, {"stream": "out", "next": 4, "data": "b3V0Cg=="})
    answers = iter([first_part, lines(ERR, {"exitCode": 0, "note": "cut"})])
    environment.answers["exec"] = lambda _: Raw(next(answers))
    ended = cli("env", "exec", "-n", ENVIRONMENT, "true")
    assert (ended.code, ended.out) == (0, "out\n")
    assert ended.err.endswith("reconnecting\nerr\ncut\n")
    first, second = environment.bodies("exec")
    assert second == {**first, "outOffset": 4, **told}


def test_a_command_that_is_refused_is_not_tried_again(cli: Cli, environment: Scripted) -> None:
    error = {"error": {"code": "already_exists", "message": "operation_id: given before"}}
    environment.answers["exec"] = Raw(lines(error))
    ended = cli("env", "exec", "-n", ENVIRONMENT, "true")
    assert ended.code == 1
    assert "given before" in ended.err
    assert cli("env", "exec", "-e", "nonsense", ENVIRONMENT, "true").code == 2


def test_exec_in_the_environment_of_an_execution(cli: Cli, environment: Scripted) -> None:
    environment.executions = [execution(usedEnvironments=[{"environmentId": ENVIRONMENT}])]
    for given in (ID, ID[:13]):
        ended = cli("env", "exec", "-n", "--json", given, "true")
        assert json.loads(ended.out) == {"exitCode": 7, "stdout": "out\n", "stderr": "err\n"}
    assert environment.bodies("exec")[0]["command"] == "true"
    assert cli("env", "exec", "ffff", "true").code == 1


def test_exec_without_a_command_is_wrong_usage(cli: Cli, environment: Scripted) -> None:
    assert cli("env", "exec", ENVIRONMENT).code == 2
    assert cli("env", "exec", ENVIRONMENT, "--").code == 2


def test_an_environment_is_made_as_asked_and_awaited(cli: Cli, environment: Scripted) -> None:
    made = {"id": ENVIRONMENT, "status": {"phase": "ENVIRONMENT_PHASE_CREATING"}}
    environment.answers |= {
        "CreateEnvironment": {"environment": made},
        "CreateEnvironmentFromProject": {"environment": made},
        "ListEnvironmentClasses": {"environmentClasses": [{"id": OTHER, "displayName": "Large"}]},
        "ListProjects": {"projects": [{"id": ID, "metadata": {"name": "web"}}]},
    }
    ended = cli("env", "create", "--repo", "https://host/a/b", "--ref", "dev", "--class", "large", "--name", "box")
    assert (ended.code, ended.out) == (0, f"{ENVIRONMENT}\n")
    spec = {
        "desiredPhase": "ENVIRONMENT_PHASE_RUNNING",
        "machine": {"class": OTHER},
        "content": {"initializer": {"specs": [{"contextUrl": {"url": "https://host/a/b/tree/dev"}}]}},
    }
    assert environment.bodies("CreateEnvironment") == [{"spec": spec, "name": "box"}]
    assert cli("env", "create", "--project", "web", "-d").out == f"{ENVIRONMENT}\n"
    asked = {"projectId": ID, "spec": {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}}
    assert environment.bodies("CreateEnvironmentFromProject") == [asked]
    for wrong in (
        ("--project", "no"),
        ("--class", "no"),
        ("--ref", "x"),
        ("--repo", "https://h/a/b", "--project", "web"),
    ):
        assert cli("env", "create", *wrong).code == 2


def test_one_that_fails_says_why(cli: Cli, environment: Scripted) -> None:
    failed = {"phase": "ENVIRONMENT_PHASE_STOPPED", "failureMessage": ["the clone failed"]}
    environment.answers["StartEnvironment"] = {}
    environment.answers["GetEnvironment"] = {"environment": {"id": ENVIRONMENT, "status": failed}}
    ended = cli("env", "start", ENVIRONMENT)
    assert ended.code == 1
    assert "the clone failed" in ended.err


def test_show_and_logs(cli: Cli, environment: Scripted) -> None:
    terminal = {"terminalId": OTHER, "shell": "/bin/bash"}
    environment.answers |= {
        "ListTerminals": {"terminals": [terminal]},
        "CreateEnvironmentLogsToken": {"accessToken": "environment-token"},
        "/logs": Raw(lines({"seq": 3, "text": "cloned\n"}, {"seq": 4, "text": "\x1b[2Jset up\n"})),
    }
    out = cli("env", "show", ENVIRONMENT).out
    assert "running" in out
    assert OTHER in out
    assert json.loads(cli("env", "show", "--json", ENVIRONMENT).out)["terminals"] == [terminal]
    ended = cli("env", "logs", ENVIRONMENT)
    assert (ended.code, ended.out) == (0, "cloned\nset up\n")
    assert environment.asked[-1].query == {"format": "json", "after": "0"}
    assert environment.asked[-1].headers["authorization"] == "Bearer environment-token"


def test_a_followed_log_is_taken_up_where_it_was_and_ends_with_the_environment(cli: Cli, environment: Scripted) -> None:
    def end(_: Json) -> Raw:
        environment.answers["/logs"] = gone
        return Raw(lines({"seq": 3, "text": "one\n"}))

    def gone(_: Json) -> Raw:
        environment.answers["GetEnvironment"] = Refused(404, "not_found", "there is no such environment")
        return Raw(lines({"seq": 4, "text": "two\n"}))

    environment.answers |= {"CreateEnvironmentLogsToken": {"accessToken": "environment-token"}, "/logs": end}
    ended = cli("env", "logs", "-f", ENVIRONMENT)
    assert (ended.code, ended.out) == (0, "one\ntwo\n")
    asked = [one.query for one in environment.asked if one.path == "/logs"]
    assert [one["after"] for one in asked] == ["0", "3"]


def test_a_shell_needs_a_terminal(cli: Cli, environment: Scripted) -> None:
    ended = cli("env", "shell", ENVIRONMENT)
    assert ended.code == 2
    assert "env exec" in ended.err


def test_list_stop_and_rm(cli: Cli, environment: Scripted) -> None:
    assert cli("env", "list").out.split() == [ENVIRONMENT[:8], "running", "box"]
    assert cli("env", "stop", ENVIRONMENT).code == 0
    assert cli("env", "rm", ENVIRONMENT, "--force").code == 0
    assert environment.bodies("DeleteEnvironment") == [{"environmentId": ENVIRONMENT, "force": True}]
