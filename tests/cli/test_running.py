"""hostler run: what is asked of the server, what is shown, and how it ends."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import END, ID, Refused, Scripted, block, execution, seen, text


def test_run_starts_sends_and_shows_the_conversation(cli: Cli, server: Scripted) -> None:
    server.streams = [
        [
            block(1, {"id": "in", "inputs": [{"text": {"content": "Mend it"}}]}, tag=2),
            seen(2),
            text("2:b:4", "I lo", 1),
            text("2:b:8", "ok.", 2),
            text(3, "I look."),
            block(4, {"actionStarted": {"actionId": "a", "intentDescription": "pytest -q"}}),
            block(5, {"actionCompleted": {"actionId": "a", "resultDescription": "1 failed", "failed": True}}),
            END,
        ]
    ]
    server.executions = [
        execution(
            iterations="3",
            inputTokensUsed="1200",
            outputTokensUsed="34",
            cachedInputTokensUsed="5",
            outputs={"tests": {"stringValue": "ok"}, "count": {"intValue": "7"}, "done": {"boolValue": True}},
        )
    ]
    ended = cli("run", "Mend it")
    assert ended.lines[0] == ID
    assert ended.out.count("I look.") == 1
    for shown in (
        "> Mend it",
        "▶ pytest -q",
        "✗ 1 failed",
        "state     done, waits for input",
        "3 iterations; tokens: 1,200 input, 5 cached input, 0 cache written, 34 output",
        "count = 7",
        "done = true",
        "tests = ok",
    ):
        assert shown in ended.out
    assert ended.lines[-1] == "exit code 0"
    assert ended.code == 0
    assert server.bodies("SendToAgentExecution")[0]["userInput"]["inputs"] == [{"text": {"content": "Mend it"}}]
    assert server.live()[0].headers["authorization"] == "Bearer conversation-token"
    assert server.live()[0].query == {"format": "json"}


def test_run_says_what_it_wants_of_the_server(cli: Cli, server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "code" / ".git").mkdir(parents=True)
    (tmp_path / "code" / "src").mkdir()
    server.answers["ListAgents"] = {"agents": [{"id": "a-1", "metadata": {"name": "tidy"}}]}
    ended = cli(
        *("run", "Go", "--repo", str(tmp_path / "code" / "src"), "--ref", "topic/x", "--agent", "tidy"),
        *(
            "--model",
            "scripted:demo",
            "--name",
            "Mine",
            "--annotation",
            "team=blue=1",
            "--annotation",
            "k=",
            "--detach",
        ),
    )
    assert ended.raw == f"{ID}\n".encode()
    assert server.bodies("StartAgent") == [
        {
            "agentId": "a-1",
            "name": "Mine",
            "annotations": {"team": "blue=1", "k": "", "hostler/model": "scripted:demo"},
            "codeContext": {"contextUrl": {"url": f"{(tmp_path / 'code').as_uri()}#topic/x"}},
        }
    ]
    assert not server.live()


@pytest.mark.parametrize(
    ("given", "ref", "url"),
    [
        ("https://github.com/o/r", "", "https://github.com/o/r"),
        ("git@github.com:o/r.git", "", "https://github.com/o/r.git"),
        ("git@github.com:o/r.git", "v1", "https://github.com/o/r.git#v1"),
        ("ssh://git@git.example.org:2222/o/r", "", "https://git.example.org/o/r"),
        ("https://github.com/o/r", "a/b", "https://github.com/o/r/tree/a/b"),
        ("https://gitlab.com/g/s/r/", "main", "https://gitlab.com/g/s/r/-/tree/main"),
    ],
)
def test_the_address_of_a_repository(cli: Cli, server: Scripted, given: str, ref: str, url: str) -> None:
    assert cli("run", "Go", "--repo", given, "-d", *(("--ref", ref) if ref else ())).code == 0
    assert server.bodies("StartAgent")[0]["codeContext"]["contextUrl"]["url"] == url


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "  "), "no task"),
        (("run", "Go", "--repo", "/nowhere/at/all"), "neither a folder"),
        (("run", "Go", "--annotation", "novalue"), "KEY=VALUE"),
        (("run", "Go", "--ref", "main"), "--ref needs --repo"),
        (("run", "Go", "--repo", "https://github.com/o/r/tree/x", "--ref", "y"), "names a ref already"),
        (("run", "Go", "--no-such-option"), "No such option"),
        (("run",), "Missing argument"),
    ],
)
def test_wrong_usage_ends_with_2_and_starts_nothing(
    cli: Cli, server: Scripted, words: tuple[str, ...], said: str
) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert said in ended.err
    assert not server.bodies("StartAgent")


def test_a_folder_that_is_no_repository_is_refused(cli: Cli, server: Scripted, tmp_path: Path) -> None:
    ended = cli("run", "Go", "--repo", str(tmp_path))
    assert (ended.code, server.asked) == (2, [])
    assert "not in a Git repository" in ended.err


def test_a_failed_run_ends_with_1_and_says_why(cli: Cli, server: Scripted) -> None:
    reason = "AGENT_EXECUTION_FAILURE_REASON_LLM_INTEGRATION"
    server.executions = [execution(phase="STOPPED", failureMessage="the key is wrong", failureReason=reason)]
    server.streams = [[END]]
    ended = cli("run", "Go")
    assert ended.code == 1
    assert "failed (llm integration): the key is wrong" in ended.out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"clarifyingQuestions": {"questions": [{"question": "Which one?", "choices": []}]}}, "Which one?"),
        ({"hostAuthenticationRequired": {"actionId": "a", "host": "git.example.org"}}, "git.example.org"),
    ],
)
def test_an_open_request_ends_with_3(cli: Cli, server: Scripted, asked: dict[str, object], said: str) -> None:
    server.streams = [[seen(1), block(2, asked), END]]
    ended = cli("run", "Go")
    assert ended.code == 3
    assert said in ended.out


def test_an_answered_question_is_not_open(cli: Cli, server: Scripted) -> None:
    question = block(1, {"clarifyingQuestions": {"questions": [{"question": "Which one?"}]}})
    server.streams = [[question, block(2, {"text": {"content": "This one"}}, tag=2), END]]
    assert cli("run", "Go").code == 0


def test_json_is_one_object_a_line_with_the_id_first_and_the_end_last(cli: Cli, server: Scripted) -> None:
    server.streams = [[seen(1), text(2, "Done."), END]]
    lines = [json.loads(line) for line in cli("run", "Go", "--json").lines]
    assert lines[0] == {"type": "execution", "id": ID}
    assert [line["type"] for line in lines[1:]] == ["frame", "frame", "end"]
    assert lines[2]["body"]["text"]["content"] == "Done."
    assert (lines[2]["id"], lines[2]["tag"]) == ("2", 1)
    assert (lines[-1]["exitCode"], lines[-1]["execution"]["id"]) == (0, ID)


def test_a_file_change_a_plan_and_a_long_result_are_short(cli: Cli, server: Scripted) -> None:
    groups = [
        {"type": "TYPE_UNCHANGED", "lines": [f"    line {n}" for n in range(50)]},
        {"type": "TYPE_REMOVED", "lines": ["    return old"]},
        {"type": "TYPE_ADDED", "lines": ["    return new"]},
    ]
    change = {"filePath": "a.py", "diff": {"diffGroups": groups, "stats": {"additions": 1, "deletions": 1}}}
    todos = [
        {"id": "1", "title": "Look", "phase": "PHASE_DONE"},
        {"id": "2", "title": "Mend", "phase": "PHASE_PENDING"},
    ]
    long = "\n".join(f"row {n}" for n in range(100))
    frames = [
        seen(1),
        block(2, {"fileModification": change}),
        block(3, {"todoGroup": {"todos": todos}}),
        block(4, {"actionCompleted": {"actionId": "x", "resultDescription": long}}),
        END,
    ]
    server.streams = [frames, frames]
    ended = cli("run", "Go")
    for shown in (
        "± a.py +1 -1",
        "-     return old",
        "+     return new",
        "✓ Look",
        "· Mend",
        "row 0",
        "row 99",
        "… 94 more lines",
        "☰ to do: 1 of 2 done",
    ):
        assert shown in ended.out
    assert "row 50" not in ended.out
    assert "line 3\n" not in ended.out
    assert "row 50" in cli("run", "Go", "--full").out


def test_results_of_parallel_actions_name_their_action(cli: Cli, server: Scripted) -> None:
    started = [block(n, {"actionStarted": {"actionId": f"a{n}", "intentDescription": f"cmd {n}"}}) for n in (1, 2)]
    done = [block(n + 2, {"actionCompleted": {"actionId": f"a{n}", "resultDescription": f"out {n}"}}) for n in (1, 2)]
    server.streams = [[*started, *done, END]]
    rows = cli("run", "Go").lines
    assert rows[rows.index("  │ out 1") - 1] == "  ↳ cmd 1"


def test_refused_hosts_are_shown_with_the_command_that_allows_them(cli: Cli, server: Scripted) -> None:
    server.extra = {"refusedHosts": ["example.org:443", "example.org:80", "example.net:8443"]}
    server.executions = [execution(warningMessage="a note; refused by the allow list: example.org:443")]
    failed = {"actionCompleted": {"actionId": "a", "resultDescription": "403", "failed": True}}
    server.streams = [[seen(1), block(2, failed), END]]
    ended = cli("run", "Go")
    assert ended.out.count("allow it with: hostler allow example.org --environment 0198c2aa-0001\n") == 1
    assert ended.out.count("allow it with: hostler allow example.net:8443 --environment 0198c2aa-0001\n") == 1
    assert ended.out.count("! a note") == 1


def test_text_of_an_agent_cannot_control_the_terminal(cli: Cli, server: Scripted) -> None:
    server.streams = [[text(1, "a\x1b[2Jb\x1b]0;title\x07c\x9b2Jd\u202ee\rf"), END]]
    out = cli("run", "Go").out
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(out)
    assert "abcde\nf" in out


def test_thoughts_are_shown_only_on_request(cli: Cli, server: Scripted) -> None:
    frames = [text(1, "Hm.", kind="THOUGHTS"), text(2, "Yes.", name="block-2"), END]
    server.streams = [frames, frames]
    assert "Hm." not in cli("run", "Go").out
    assert "Hm." in cli("run", "Go", "--thoughts").out


def test_an_unknown_agent_is_named_with_those_there_are(cli: Cli, server: Scripted) -> None:
    server.answers["ListAgents"] = {"agents": [{"id": "a-1", "metadata": {"name": "tidy"}}]}
    ended = cli("run", "Go", "--agent", "nobody")
    assert ended.code == 1
    assert "tidy" in ended.err
    assert not server.bodies("StartAgent")


def test_a_refused_start_is_one_line(cli: Cli, server: Scripted) -> None:
    server.answers["StartAgent"] = Refused(400, "failed_precondition", "the model needs a key: set ANTHROPIC_API_KEY")
    ended = cli("run", "Go")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "hostler: the model needs a key: set ANTHROPIC_API_KEY\n"


def test_a_task_that_was_not_delivered_names_the_execution(cli: Cli, server: Scripted) -> None:
    server.answers["SendToAgentExecution"] = Refused(503, "unavailable", "the server is stopping")
    ended = cli("run", "Go")
    assert ended.code == 1
    assert ID in ended.err


def test_the_task_may_come_from_standard_input(cli: Cli, server: Scripted) -> None:
    cli("run", "-", "--detach", stdin="From a file\n")
    assert server.bodies("SendToAgentExecution")[0]["userInput"]["inputs"][0]["text"]["content"] == "From a file\n"
