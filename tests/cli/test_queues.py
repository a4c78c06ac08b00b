"""hostler queue: what is shown, which message is meant, and what is asked of the server."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, OTHER, OWN, Scripted

THIRD = "0198c2ab-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def queue(server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/queue"] = {
        "queue": [
            {"id": ID, "text": "First\nand more", "images": 0, "steer": False},
            {"id": OTHER, "text": "", "images": 2, "steer": True},
            {"id": THIRD, "text": "Third", "images": 0, "steer": False},
        ]
    }


def controls(server: Scripted) -> list[object]:
    return [body["controlInput"] for body in server.bodies("SendToAgentExecution")]


def test_what_waits_is_listed_with_numbers(cli: Cli, server: Scripted) -> None:
    assert [line.split(maxsplit=2) for line in cli("queue", "list", ID).lines] == [
        ["1", "0198c2aa-0001", "First"],
        ["2", "0198c2aa-0002", "joins now  (no text) [2 images]"],
        ["3", "0198c2ab-0000", "Third"],
    ]
    assert [one["id"] for one in json.loads(cli("queue", "list", ID, "--json").out)] == [ID, OTHER, THIRD]


def test_the_execution_may_come_first_and_alone_it_lists(cli: Cli, server: Scripted) -> None:
    assert cli("queue", ID, "list").out == cli("queue", "list", ID).out == cli("queue", ID).out
    assert cli("queue", ID, "rm", "2").code == 0
    assert controls(server) == [{"deleteQueuedMessage": {"userInputId": OTHER}}]
    assert json.loads(cli("queue", ID, "--json").out)[0]["id"] == ID


def test_a_message_is_edited_in_one_call(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/executions/{ID}/queue/{THIRD}/edit"] = lambda body: {"id": "new", "said": body["text"]}
    assert cli("queue", "edit", ID, "0198c2ab", "Better").out == "changed; its id is new\n"
    assert json.loads(cli("queue", "edit", ID, "3", "-", "--json", stdin="From a pipe").out)["said"] == "From a pipe"


def test_messages_are_taken_back_moved_and_steered(cli: Cli, server: Scripted) -> None:
    for words in (("rm", "2"), ("move", "3", "--before", "1"), ("move", "1"), ("steer", "0198c2ab")):
        assert cli("queue", words[0], ID, *words[1:]).code == 0
    assert controls(server) == [
        {"deleteQueuedMessage": {"userInputId": OTHER}},
        {"moveQueuedMessage": {"userInputId": THIRD, "beforeUserInputId": ID}},
        {"moveQueuedMessage": {"userInputId": ID, "beforeUserInputId": ""}},
        {"steerQueuedMessage": {"userInputId": THIRD}},
    ]


@pytest.mark.parametrize(("given", "said"), [("4", "no message"), ("0198c2aa", "several messages"), ("", "no message")])
def test_a_message_that_is_not_clear_changes_nothing(cli: Cli, server: Scripted, given: str, said: str) -> None:
    ended = cli("queue", "rm", ID, given)
    assert (ended.code, said in ended.err) == (2, True)
    assert not server.bodies("SendToAgentExecution")
