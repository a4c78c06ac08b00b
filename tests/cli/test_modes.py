"""How an agent is to work, and its goal: what the command line asks of the server, and what it shows."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, Scripted, execution

GOAL = {
    "status": "GOAL_STATUS_PAUSED",
    "objective": "All tests pass",
    "tokensUsed": "1200",
    "tokenBudget": "200000",
}


def sent(server: Scripted) -> list[dict[str, object]]:
    return [
        {
            "text": body["userInput"]["inputs"][0]["text"]["content"],
            "modes": body.get("turnOptions", {}).get("modes", []),
        }
        for body in server.bodies("SendToAgentExecution")
    ]


@pytest.mark.parametrize("mode", ["planning", "spec", "ralph", "execution"])
def test_a_mode_is_that_of_the_turn(cli: Cli, server: Scripted, mode: str) -> None:
    assert cli("send", ID, "Port it", "--mode", mode).code == 0
    assert cli("run", "Port it", "--detach", "--mode", mode).code == 0
    assert sent(server) == [{"text": "Port it", "modes": [f"AGENT_MODE_{mode.upper()}"]}] * 2


def test_a_goal_is_begun_with_its_budget_and_names_the_execution(cli: Cli, server: Scripted) -> None:
    assert cli("run", "All tests pass\nand so on", "--detach", "--mode", "goal", "--budget", "200k").code == 0
    assert sent(server) == [{"text": "/ona:goal --budget 200k All tests pass\nand so on", "modes": []}]
    assert server.bodies("StartAgent")[0]["name"] == "All tests pass"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "careful"), "'careful' is none of"),
        (("--budget", "200k"), "needs --mode goal"),
        (("--mode", "goal", "--budget", "much"), "no number of tokens"),
    ],
)
def test_what_makes_no_sense_starts_nothing(cli: Cli, server: Scripted, words: tuple[str, ...], said: str) -> None:
    for command in (("run", "x", "--detach"), ("send", ID, "x")):
        ended = cli(*command, *words)
        assert (ended.code, said in ended.err) == (2, True)
    assert not server.bodies("StartAgent")
    assert not server.bodies("SendToAgentExecution")


def test_a_goal_is_set_paused_resumed_completed_and_cleared(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(goal=GOAL)]
    assert cli("goal", ID, "set", "All tests pass", "--budget", "2m").code == 0
    for word in ("pause", "resume", "complete", "clear"):
        assert cli("goal", word, ID).out == "paused: All tests pass (1,200 of 200,000 tokens)\n"
    assert [body["controlInput"]["goal"] for body in server.bodies("SendToAgentExecution")] == [
        {"set": {"objective": "--budget 2m All tests pass"}},
        {"pause": {}},
        {"resume": {}},
        {"complete": {}},
        {"clear": {}},
    ]
    assert json.loads(cli("goal", "show", ID, "--json").out) == {"id": ID, "goal": GOAL}


def test_without_a_goal_it_says_so(cli: Cli, server: Scripted) -> None:
    assert cli("goal", "show", ID).out == "no goal\n"
    assert cli("goal", "set", ID, " ").code == 2
