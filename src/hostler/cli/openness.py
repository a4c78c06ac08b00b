"""What a conversation leaves open for a person: questions, proposed next steps, a credential."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hostler.cli.endings import ANSWER
from hostler.cli.screen import clean, line
from hostler.cli.stream import Frame

MAKING = "environment"
"""The action that a host refused where it was the making of the environment."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer on offer: what is shown of it, and what is sent."""

    label: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `other` says that words of one's own answer it too."""

    id: str
    text: str
    choices: tuple[Choice, ...] = ()
    other: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """A next step that the agent proposes, and the prompt that starts it."""

    title: str
    prompt: str


class Openness:
    """Follows frames and knows what is open after them."""

    def __init__(self) -> None:
        self.questions: tuple[Question, ...] = ()
        self.steps: tuple[Step, ...] = ()
        self.host = ""
        self.making = False
        """The host stands in the way of the environment, so that whatever comes after it is past."""
        self.answered: tuple[Question, ...] = ()
        """The questions that the last input answered, if any."""

    def heed(self, frame: Frame) -> None:
        """Take over what a frame opens; whatever a person says closes all of it."""
        body = frame.body
        if "hostAuthenticationRequired" in body:
            asked: Mapping[str, Any] = body["hostAuthenticationRequired"]
            self.host, self.making = line(str(asked.get("host", ""))), asked.get("actionId") == MAKING
            return
        if self.making and not ({"userInput", "userInputQueueUpdated"} & set(body)) and frame.tag == 1:
            self.host, self.making = "", False
        if frame.tag == 2 or "userInput" in body:
            self.answered = self.questions
            self.questions, self.steps, self.host = (), (), self.host if self.making else ""
        elif "clarifyingQuestions" in body:
            self.questions = tuple(question(one) for one in _list(body["clarifyingQuestions"], "questions"))
        elif "nextStepsProposal" in body:
            self.steps = tuple(step(one) for one in _list(body["nextStepsProposal"], "actions"))

    @property
    def asked(self) -> str:
        """Return what the agent wants before it goes on; empty when it wants nothing."""
        if self.questions:
            return ANSWER
        return f"a credential for {self.host}" if self.host else ""


def question(body: Mapping[str, Any]) -> Question:
    """Return a question without control codes, as the contract names its parts or as Hostler's own view does."""
    choices = tuple(
        Choice(line(str(one.get("label", ""))), line(str(one.get("description") or one.get("text", ""))))
        for one in _list(body, "choices")
    )
    id_, text = str(body.get("questionId") or body.get("id", "")), str(body.get("question") or body.get("text", ""))
    return Question(id_, clean(text).strip(), choices, bool(body.get("allowOther")) or not choices)


def step(body: Mapping[str, Any]) -> Step:
    """Return a proposed step of the contract."""
    return Step(line(str(body.get("title", ""))), str(body.get("prompt", "")))


def asked_of(extra: Mapping[str, Any]) -> tuple[tuple[Question, ...], tuple[Step, ...]]:
    """Return what Hostler's own view of an execution has open: questions, and proposed next steps."""
    return tuple(map(question, _list(extra, "openQuestions"))), tuple(map(step, _list(extra, "nextSteps")))


def in_words(questions: Sequence[Question], said: str) -> str:
    """Return an answer that is a JSON object in the words of questions and answers; empty when it is none."""
    try:
        found: Any = json.loads(said)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or not any(one.id in found for one in questions):
        return ""
    given = cast("dict[str, object]", found)
    rows = [f"{line(one.text)} → {given.get(one.id) or '(no answer)'}" for one in questions]
    return "\n".join(rows)


def _list(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found: Any = body.get(name)
    return cast("Sequence[Mapping[str, Any]]", found) if isinstance(found, list) else ()
