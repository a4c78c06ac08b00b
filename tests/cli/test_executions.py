"""ps, show, usage, send, stop, rm, wait, replay."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ENVIRONMENT, ID, OTHER, OWN, Refused, Scripted, execution

THIRD = "0198c2aa-0003-7000-8000-00000000000a"
STARTED = "0198c2ab-0000-7000-8000-000000000000"


def test_ps_groups_by_who_has_to_act(cli: Cli, server: Scripted) -> None:
    server.executions = [
        execution(STARTED, "PENDING", "coming up", currentActivity="preparing the environment"),
        execution(THIRD, "STOPPED", "broken", failureMessage="the disk is full"),
        execution(OTHER, "RUNNING", "busy"),
        execution(ID, "WAITING_FOR_INPUT", "yours"),
    ]
    lines = cli("ps").lines
    assert [line for line in lines if not line.startswith(" ")] == ["needs input", "working", "done"]
    found = {title: lines.index(title) for title in ("needs input", "working", "done")}
    assert lines[found["needs input"] + 1].split() == [
        "✗",
        "0198c2aa-0003",
        "5",
        "min",
        "broken",
        *["the", "disk", "is", "full"],
    ]
    assert "coming up  preparing the environment" in lines[found["working"] + 1]
    assert lines[found["done"] + 1].split() == ["✓", "0198c2aa-0001", "5", "min", "yours"]


def test_ps_shows_prefixes_that_the_other_commands_take(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(STARTED), execution(OTHER), execution(ID)]
    short = [line.split()[1] for line in cli("ps").lines[1:]]
    assert [len(prefix) for prefix in short] == [8, 13, 13]
    for prefix, whole in zip(short, (STARTED, OTHER, ID), strict=True):
        assert cli("show", prefix).lines[0].split() == ["id", whole]


def test_ps_shows_the_last_ten_that_are_done_unless_all_are_wanted(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(f"0198c2aa-{n:04x}-7000-8000-000000000001", "STOPPED") for n in range(13)]
    assert len(cli("ps").lines) == 12
    assert "3 more" in cli("ps").lines[-1]
    assert len(cli("ps", "--all").lines) == 14


def test_ps_json_is_every_execution_as_the_api_has_it(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(STARTED), execution(OTHER), execution(ID)]
    assert [entry["id"] for entry in json.loads(cli("ps", "--json").out)] == [STARTED, OTHER, ID]


def test_ps_without_any_says_how_to_begin(cli: Cli, server: Scripted) -> None:
    server.executions = []
    ended = cli("ps")
    assert (ended.code, ended.out) == (0, "")
    assert "hostler run" in ended.err


def test_an_ambiguous_prefix_is_wrong_usage_and_lists_the_candidates(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(ID), execution(OTHER)]
    ended = cli("stop", "0198c2aa")
    assert ended.code == 2
    assert ID in ended.err
    assert OTHER in ended.err
    assert not server.bodies("StopAgentExecution")


@pytest.mark.parametrize(("given", "code"), [("ffff", 1), ("no-id!", 2), ("", 2)])
def test_an_id_that_nothing_has(cli: Cli, server: Scripted, given: str, code: int) -> None:
    assert cli("show", given).code == code


def test_show_tells_usage_environment_and_notes(cli: Cli, server: Scripted) -> None:
    server.executions = [
        execution(
            iterations="2",
            contextWindowLength="1000",
            contextWindowLimit="200000",
            usedEnvironments=[{"environmentId": ENVIRONMENT}],
            warningMessage="Uncommitted changes came along.",
        )
    ]
    server.extra = {"model": "scripted:demo", "agent": "hostler", "queue": ["q-1"]}
    out = cli("show", ID).out
    for shown in (
        "2 iterations",
        "1,000 of 200,000 tokens",
        ENVIRONMENT,
        "scripted:demo",
        "a script answers in place of a model",
        "q-1",
        "Uncommitted changes",
    ):
        assert shown in out
    assert json.loads(cli("show", ID, "--json").out)["hostler"] == server.extra


def test_send_takes_text_or_standard_input(cli: Cli, server: Scripted) -> None:
    assert cli("send", ID, "More", "--id", "mine").code == 0
    assert cli("send", ID, "-", stdin="From a pipe").code == 0
    first, second = server.bodies("SendToAgentExecution")
    assert first == {
        "agentExecutionId": ID,
        "userInput": {"id": "mine", "inputs": [{"text": {"content": "More"}}]},
    }
    assert second["userInput"]["inputs"][0]["text"]["content"] == "From a pipe"
    assert cli("send", ID, " \n").code == 2


def test_stop_and_rm(cli: Cli, server: Scripted) -> None:
    assert cli("stop", "0198c2aa-0001").code == 0
    assert server.bodies("StopAgentExecution") == [{"agentExecutionId": ID}]
    ended = cli("rm", ID, OTHER, "--json")
    assert json.loads(ended.out) == {"removed": [ID, OTHER]}
    assert server.bodies("DeleteAgentExecution") == [{"agentExecutionId": ID}, {"agentExecutionId": OTHER}]


def test_rm_removes_nothing_when_one_id_is_wrong(cli: Cli, server: Scripted) -> None:
    assert cli("rm", ID, "ffff").code == 1
    assert not server.bodies("DeleteAgentExecution")


def phases(server: Scripted, *names: str) -> None:
    """Let each next look show the next phase; the last one stays."""
    left = list(names)

    def look(body: object) -> object:
        return {"agentExecution": execution(phase=left.pop(0) if len(left) > 1 else left[0])}

    server.answers["GetAgentExecution"] = look


def test_wait_returns_when_it_is_idle(cli: Cli, server: Scripted) -> None:
    phases(server, "PENDING", "WAITING_FOR_INPUT")
    ended = cli("wait", ID)
    assert (ended.code, ended.out) == (0, "done, waits for input\n")


def test_wait_for_a_phase(cli: Cli, server: Scripted) -> None:
    phases(server, "PENDING", "RUNNING")
    assert cli("wait", ID, "--until", "running").code == 0
    phases(server, "STOPPED")
    assert cli("wait", ID, "--until", "STOPPED").code == 0
    assert cli("wait", ID, "--until", "RUNNING").code == 1
    assert cli("wait", ID).code == 1
    assert cli("wait", ID, "--until", "ASLEEP").code == 2


def test_wait_gives_up_when_the_time_runs_out(cli: Cli, server: Scripted) -> None:
    phases(server, "RUNNING")
    ended = cli("wait", ID, "--timeout", "0.01")
    assert ended.code == 1
    assert "RUNNING" in ended.err


def test_replay_says_whether_the_view_is_what_the_log_says(cli: Cli, server: Scripted) -> None:
    path = f"{OWN}/executions/{ID}/replay"
    server.answers[path] = {"events": 7, "equal": True, "differences": []}
    assert cli("replay", ID).code == 0
    difference = {"path": "status.iterations", "kept": "3", "rebuilt": "4"}
    server.answers[path] = {"events": 7, "equal": False, "differences": [difference]}
    ended = cli("replay", ID)
    assert ended.code == 1
    assert "status.iterations: kept 3, the log says 4" in ended.out


def test_no_server_is_one_line_that_says_what_to_do(cli: Cli, data_dir: Path) -> None:
    ended = cli("ps")
    assert ended.code == 1
    assert "hostler serve" in ended.err
    assert ended.err.count("\n") == 1


def test_a_server_that_is_gone_is_one_line_too(cli: Cli, data_dir: Path) -> None:
    (data_dir / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    (data_dir / "token").write_text("t")
    ended = cli("ps")
    assert ended.code == 1
    assert "http://127.0.0.1:9" in ended.err
    assert ended.err.count("\n") == 1


def test_the_data_folder_of_the_option_goes_before_the_variables(
    cli: Cli, server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({"url": server.url, "pid": 1}))
    (folder / "token").write_text("owner-token\n")
    monkeypatch.setenv("HOSTLER_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("HOSTLER_TOKEN")
    assert cli("ps", "--data-dir", str(folder)).code == 0


def test_a_refused_token_says_where_tokens_come_from(
    cli: Cli, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTLER_TOKEN", "wrong")
    ended = cli("ps")
    assert ended.code == 1
    assert "HOSTLER_TOKEN" in ended.err


def test_a_url_that_is_no_url_is_refused(cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_URL", "localhost:8080")
    assert "http://" in cli("ps").err


def test_an_answer_that_is_not_ours_is_named(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions"] = Refused(502, "", "")
    assert cli("ps").code == 1


def test_usage_shows_every_call_and_marks_what_was_guessed(cli: Cli, server: Scripted) -> None:
    row = {"turn": 1, "model": "anthropic:m", "outcome": "finished", "tries": 1, "estimated": False, "reason": ""}
    used = {"input": 1200, "cachedInput": 30, "cacheCreation": 4, "output": 5}
    cut = {**row, **used, "outcome": "cut", "estimated": True, "reason": "stopped"}
    answer = {"calls": [{**row, **used}, cut], "total": used, "estimated": used}
    server.answers[f"{OWN}/executions/{ID}/calls"] = answer
    shown = cli("usage", ID).out
    assert "anthropic:m" in shown
    assert "~1,200" in shown
    assert "total  1,200 input, 30 cached input, 4 cache written, 5 output" in shown
    assert json.loads(cli("usage", ID, "--json").out) == answer
