"""Questions to a person: what an input says to each of them. There is one form for all agents and all clients.

An answer is an ordinary input of text. It is a JSON object of question id to answer, or has one line for each question
in their order, or else is meant whole for each. An answer is the label or text of a choice, or words of one's own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hostler.core.agents import Question


def answers(questions: Sequence[Question], said: str) -> Mapping[str, str]:
    """Return the answer to each question by its id; '' where an object leaves one out."""
    given = _by_question(questions, said)
    return {one.id: _chosen(one, given[one.id]) for one in questions}


def in_words(questions: Sequence[Question], said: str) -> str:
    """Return an input for a reader that does not know the ids: an object becomes questions with their answers."""
    if _object(questions, said) is None:
        return said
    given = answers(questions, said)
    return "\n".join(f"{one.text}\n→ {given[one.id] or '(no answer)'}" for one in questions)


def _by_question(questions: Sequence[Question], said: str) -> Mapping[str, str]:
    if (found := _object(questions, said)) is not None:
        return {one.id: str(found.get(one.id, "")) for one in questions}
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if len(questions) > 1 and len(lines) == len(questions):
        return {one.id: line for one, line in zip(questions, lines, strict=True)}
    return {one.id: said.strip() for one in questions}


def _object(questions: Sequence[Question], said: str) -> Mapping[str, Any] | None:
    """Return the JSON object that answers at least one of the questions."""
    try:
        found: Any = json.loads(said)
    except (ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and any(one.id in found for one in questions)
    return cast("Mapping[str, Any]", found) if known else None


def _chosen(question: Question, said: str) -> str:
    """Return the choice that was meant, by its label or text, else what was said."""
    for choice in question.choices:
        if said.casefold() in (choice.label.casefold(), choice.text.casefold()):
            return choice.text
    return said
