"""`hostler answer`: answers what an agent asks, or chooses one of the next steps that it proposes."""

import json as text_of
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hostler.cli import endings, ids, places
from hostler.cli.client import Client
from hostler.cli.executions import say_to
from hostler.cli.extras import seen
from hostler.cli.openness import Question, Step, asked_of, in_words
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import clean, emit, line, say

Json = dict[str, Any]
STATES = {
    "PHASE_PENDING": "it has not begun yet",
    "PHASE_RUNNING": "it works",
    "PHASE_WAITING_FOR_INPUT": "it waits for your next message: hostler send",
    "PHASE_STOPPED": "it is stopped",
}


def answer(
    execution: Execution,
    answers: Annotated[
        list[str],
        typer.Argument(
            metavar="ANSWER...", help="A choice's number or label, or words of your own; or QUESTION=ANSWER."
        ),
    ],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Answer what an agent asks, or choose a proposed next step.

    Several questions are answered in their order, or by their ids. All is checked before anything is sent.

    Examples:

        hostler answer 0198c2 1

        hostler answer 0198c2 "Blue, but darker"

        hostler answer 0198c2 colour=Blue size=2
    """
    client = Client(places.find(data_dir))
    id_ = ids.execution(client, execution)
    found = seen(client, id_)
    questions, steps = asked_of(found.get("hostler", {}))
    text = answered(questions, answers) if questions else chosen(steps, answers, found)
    sent = say_to(client, id_, text)
    if json:
        emit({"id": id_, "inputId": sent, "text": text})
    else:
        shown = in_words(questions, text) or text
        say(f"answered: {clean(shown).strip()}")


def answered(questions: Sequence[Question], answers: Sequence[str]) -> str:
    """Return the message that answers all questions by their ids; raises a usage problem that names what is wrong."""
    given = _by_id(questions, answers) or _in_order(questions, answers)
    return text_of.dumps({one.id: meant(one, given[one.id]) for one in questions}, ensure_ascii=False)


def _by_id(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, str]:
    """Return answers by question; nothing where they do not name questions."""
    pairs = [answer.partition("=") for answer in answers]
    known = {one.id for one in questions}
    if not all(equals and id_ in known for id_, equals, _ in pairs):
        return {}
    given = {id_: text for id_, _, text in pairs}
    if missing := [one.id for one in questions if one.id not in given]:
        raise usage(f"no answer to {', '.join(missing)}: all questions are answered at once")
    return given


def _in_order(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, str]:
    if len(answers) != len(questions):
        asked = "; ".join(f"{one.id}: {line(one.text)}" for one in questions)
        hint = " (quote an answer of several words)" if len(questions) == 1 else ""
        count = f"{len(questions)} question{'' if len(questions) == 1 else 's'}"
        raise usage(f"{count}, but {len(answers)} answer{'' if len(answers) == 1 else 's'}{hint}: {asked}")
    return {one.id: answer for one, answer in zip(questions, answers, strict=True)}


def meant(question: Question, given: str) -> str:
    """Return the answer that was meant: a choice by number or label, else the words themselves where they may be."""
    said = given.strip()
    if said.isdecimal() and question.choices:
        if 1 <= int(said) <= len(question.choices):
            return question.choices[int(said) - 1].label
        raise usage(f"{line(question.text)!r} has no choice {said}; {offered(question)}")
    for choice in question.choices:
        if said.casefold() in (choice.label.casefold(), choice.text.casefold()) and said:
            return choice.label
    if not said:
        raise usage(f"the answer to {line(question.text)!r} is empty")
    if question.other:
        return said
    raise usage(f"{said!r} does not answer {line(question.text)!r}; {offered(question)}")


def offered(question: Question) -> str:
    """Return the choices in one line."""
    return "there are: " + ", ".join(f"{number} {one.label}" for number, one in enumerate(question.choices, 1))


def chosen(steps: Sequence[Step], answers: Sequence[str], found: Json) -> str:
    """Return the prompt of the next step that is chosen; raises Problem where nothing is open."""
    if not steps:
        state = STATES.get(endings.phase(found), "")
        raise Problem(f"nothing is asked{f'; {state}' if state else ''}")
    given = answers[0].strip() if len(answers) == 1 else ""
    if given.isdecimal() and 1 <= int(given) <= len(steps):
        return steps[int(given) - 1].prompt
    for step in steps:
        if given and given.casefold() == step.title.casefold():
            return step.prompt
    listed = ", ".join(f"{number} {one.title}" for number, one in enumerate(steps, 1))
    raise usage(f"nothing is asked, but next steps are proposed: {listed}; choose one by its number")
