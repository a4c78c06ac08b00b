"""restore, and what is asked before work goes for good."""

import json

from tests.cli.conftest import Cli
from tests.cli.scripted import ENVIRONMENT, ID, OTHER, OWN, Raw, Refused, Scripted

KEPT = {"turn": 3, "commit": "c" * 40, "files": 2, "pushed": False, "applied": False}


def test_an_execution_whose_changes_are_nowhere_else_is_removed_by_force_only(cli: Cli, server: Scripted) -> None:
    server.extra = {"kept": KEPT}
    ended = cli("rm", ID)
    assert ended.code == 1
    assert f"{ID}: its changes in 2 files were neither pushed nor applied" in ended.err
    assert f"hostler apply {ID}" in ended.err
    assert not server.bodies("DeleteAgentExecution")
    assert cli("rm", ID, "--force").code == 0
    assert server.bodies("DeleteAgentExecution") == [{"agentExecutionId": ID}]


def test_what_was_pushed_or_applied_goes_without_a_question(cli: Cli, server: Scripted) -> None:
    for extra in ({"kept": {**KEPT, "pushed": True}}, {"kept": {**KEPT, "applied": True}}, {"kept": None}, {}):
        server.extra = extra
        assert cli("rm", ID).code == 0


def test_show_tells_what_is_kept_and_what_is_not(cli: Cli, server: Scripted) -> None:
    server.extra = {"kept": {**KEPT, "at": "2026-01-02T00:00:00Z", "leftOut": ["ignored by git: .venv/"]}}
    told = "2 files, neither pushed nor applied; kept at 2026-01-02T00:00:00Z, without what is ignored by git: .venv/"
    assert told in cli("show", ID).out
    server.extra = {"notKept": "too large"}
    assert "not kept: too large" in cli("show", ID).out


def test_changes_that_could_not_be_kept_are_told(cli: Cli, server: Scripted) -> None:
    server.extra = {"notKept": "too large"}
    assert "its last changes could not be kept (too large)" in cli("rm", ID).err


def test_an_environment_goes_when_its_work_is_kept_and_says_where(cli: Cli, server: Scripted) -> None:
    path = f"{OWN}/environments/{ENVIRONMENT}/work"
    server.answers |= {"DeleteEnvironment": {}, "GetEnvironment": {"environment": {"id": ENVIRONMENT}}}
    server.answers[path] = {"executions": [{"id": ID, "kept": KEPT}], "changes": 0}
    ended = cli("env", "rm", ENVIRONMENT)
    assert (ended.code, f"hostler diff {ID}" in ended.err) == (0, True)
    server.answers[path] = {"executions": [{"id": ID, "kept": KEPT, "notKept": "too large"}], "changes": 0}
    assert cli("env", "rm", ENVIRONMENT).code == 1
    server.answers[path] = {"executions": [], "changes": 1}
    assert "changes in 1 file of it belong to no execution" in cli("env", "rm", ENVIRONMENT).err
    assert len(server.bodies("DeleteEnvironment")) == 1


def test_restore_and_env_create_from_name_execution_and_turn(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/restore"] = {"environmentId": ENVIRONMENT}
    assert ENVIRONMENT in cli("restore", ID, "--turn", "2").out
    server.answers[f"{OWN}/environments"] = {"environmentId": ENVIRONMENT}
    assert cli("env", "create", "--from", f"{ID}:4", "--detach").out == f"{ENVIRONMENT}\n"
    bodies = [asked.body for asked in server.asked if asked.method == "POST" and asked.path.startswith(OWN)]
    assert bodies == [{"turn": 2}, {"execution": ID, "turn": 4, "class": ""}]
    for wrong in (("--from", f"{ID}:x"), ("--from", ID, "--repo", ".")):
        assert cli("env", "create", *wrong).code == 2
    server.answers[f"{OWN}/executions/{OTHER}/restore"] = Refused(400, "failed_precondition", "it is still there")
    assert "it is still there" in cli("restore", OTHER).err


def test_diff_says_that_it_is_what_was_kept(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/diff"] = Raw(b"+new\n", {"x-hostler-kept-turn": "3"})
    ended = cli("diff", ID)
    assert (ended.raw, "kept at the end of turn 3" in ended.err) == (b"+new\n", True)
    assert json.loads(cli("diff", ID, "--json").out)["keptTurn"] == 3
    assert "kept at the end" not in cli("diff", ID, "--turn", "3").err
    assert server.asked[-1].query == {"turn": "3"}
