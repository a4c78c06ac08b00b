"""hostler answer: what is sent, and what is refused before anything is."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, Scripted, execution

COLOUR = {
    "id": "colour",
    "ask": "a",
    "text": "Which colour?",
    "choices": [{"label": "Blue", "text": "blue", "description": "like the sky"}, {"label": "Red", "text": "Red"}],
    "allowOther": False,
}
SIZE: dict[str, Any] = {"id": "size", "ask": "a", "text": "How large?", "choices": [], "allowOther": True}
STEPS = [{"title": "Add a test", "prompt": "Add a test for the empty list."}]


def said(server: Scripted) -> str:
    (body,) = server.bodies("SendToAgentExecution")
    (part,) = body["userInput"]["inputs"]
    return part["text"]["content"]


@pytest.mark.parametrize("words", ["1", "Blue", " blue ", "colour=1", "colour=Blue"])
def test_a_choice_is_meant_by_number_label_or_id(cli: Cli, server: Scripted, words: str) -> None:
    server.extra = {"openQuestions": [COLOUR]}
    ended = cli("answer", ID, words)
    assert (ended.code, ended.out) == (0, "answered: Which colour? → Blue\n")
    assert json.loads(said(server)) == {"colour": "Blue"}


def test_words_of_ones_own_answer_where_they_may(cli: Cli, server: Scripted) -> None:
    server.extra = {"openQuestions": [{**COLOUR, "allowOther": True}]}
    assert cli("answer", ID, "Green, and dark").code == 0
    assert json.loads(said(server)) == {"colour": "Green, and dark"}


def test_several_questions_are_answered_in_order_or_by_id(cli: Cli, server: Scripted) -> None:
    server.extra = {"openQuestions": [COLOUR, SIZE]}
    assert cli("answer", ID, "2", "7").out == "answered: Which colour? → Red\nHow large? → 7\n"
    assert json.loads(said(server)) == {"colour": "Red", "size": "7"}
    server.asked.clear()
    assert cli("answer", ID, "size=a = b\nc", "colour=Red").code == 0
    assert json.loads(said(server)) == {"colour": "Red", "size": "a = b\nc"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("3", "7"), "has no choice 3; there are: 1 Blue, 2 Red"),
        (("0", "7"), "has no choice 0"),
        (("Green", "7"), "'Green' does not answer 'Which colour?'; there are: 1 Blue, 2 Red"),
        (("1",), "2 questions, but 1 answer: colour: Which colour?; size: How large?"),
        (("1", " "), "the answer to 'How large?' is empty"),
        (("colour=1",), "no answer to size"),
    ],
)
def test_what_answers_nothing_is_refused_and_not_sent(
    cli: Cli, server: Scripted, words: tuple[str, ...], complaint: str
) -> None:
    server.extra = {"openQuestions": [COLOUR, SIZE]}
    ended = cli("answer", ID, *words)
    assert ended.code == 2
    assert complaint in ended.err
    assert not server.bodies("SendToAgentExecution")


def test_a_next_step_is_chosen_by_its_number(cli: Cli, server: Scripted) -> None:
    server.extra = {"nextSteps": STEPS}
    assert cli("answer", ID, "2").code == 2
    assert cli("answer", ID, "1").code == 0
    assert said(server) == "Add a test for the empty list."


@pytest.mark.parametrize(("phase", "told"), [("RUNNING", "it works"), ("WAITING_FOR_INPUT", "hostler send")])
def test_where_nothing_is_asked_that_is_said(cli: Cli, server: Scripted, phase: str, told: str) -> None:
    server.executions = [execution(phase=phase)]
    ended = cli("answer", ID, "1")
    assert (ended.code, told in ended.err) == (1, True)
    assert "nothing is asked" in ended.err
    assert not server.bodies("SendToAgentExecution")
