"""The corpus holds every kind of everything, so that a new kind cannot be forgotten by those who show it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import protovalidate
import pytest
from protobuf import message_from_json_value

from hostler.contract.gitpod.v1.agent_input_pb import AgentMessage, UserInputBlock
from hostler.contract.gitpod.v1.agent_response_pb import AgentResponseBlock
from hostler.core.events import KINDS
from hostler.core.state import fold
from hostler.projections import blocks
from hostler.projections.row import project
from tests import corpus

CLASSES = {1: AgentResponseBlock, 2: UserInputBlock, 3: AgentMessage}


@dataclass(frozen=True)
class Shown:
    """A frame of a log, or one of the others."""

    where: str
    tag: int
    body: Mapping[str, Any]


def everything() -> Iterator[Shown]:
    for name in corpus.LOGS:
        for frame in blocks.frames(name, corpus.log(name)):
            yield Shown(f"{name} {frame.seq}", frame.tag, frame.body)
    for number, frame in enumerate(corpus.frames()):
        yield Shown(f"frames {number}", frame["tag"], frame["body"])


ALL = tuple(everything())


def members(kind: Any) -> set[str]:
    """Return the JSON names of the members of a message's oneofs."""
    return {
        field.json_name for field in kind.desc().fields if getattr(field.value, "oneof", None) or in_oneof(kind, field)
    }


def in_oneof(kind: Any, field: Any) -> bool:
    return any(field in oneof.fields for oneof in kind.desc().oneofs)


def values(kind: Any) -> set[str]:
    """Return the wire names of an enum's values, without the one that means nothing."""
    return {value.name for value in kind.desc().values if value.number}


def test_every_kind_of_event_is_in_a_log():
    there = {type(recorded.event).__name__ for name in corpus.LOGS for recorded in corpus.log(name)}
    assert there == set(KINDS), "add the new kind to tests/corpus/logs.py, and run python -m tests.corpus.write"


@pytest.mark.parametrize("name", corpus.LOGS)
def test_a_log_is_one_that_an_execution_could_write(name: str):
    log = corpus.log(name)
    assert [recorded.seq for recorded in log] == list(range(1, len(log) + 1))
    assert [recorded.at for recorded in log] == sorted(recorded.at for recorded in log)
    assert project(fold(log)).view


def test_every_kind_of_block_is_there():
    there = {key for shown in ALL if shown.tag == 1 for key in shown.body}
    assert members(AgentResponseBlock) <= there


def test_every_kind_of_input_is_there():
    bodies = [shown.body for shown in ALL if shown.tag == 2]
    assert members(UserInputBlock) <= {key for body in bodies for key in body}
    parts = {key for body in bodies for part in body.get("inputs", ()) for key in part}
    assert members(UserInputBlock.Input) <= parts


def test_every_kind_of_message_and_every_word_of_the_enums_is_there():
    said = repr([shown.body for shown in ALL])
    enums = (
        AgentResponseBlock.Phase,
        AgentResponseBlock.AgentModeChange.State,
        AgentResponseBlock.FileModification.DiffGroup.Type,
        AgentResponseBlock.TextOutput.Type,
        AgentResponseBlock.TodoItem.Phase,
        AgentMessage.Type,
        AgentMessage.Role,
    )
    missing = {value for enum in enums for value in values(enum) if f"'{value}'" not in said}
    assert not missing


@pytest.mark.parametrize("shown", ALL, ids=lambda shown: shown.where)
def test_a_frame_is_valid(shown: Shown):
    message = message_from_json_value(CLASSES[shown.tag](), dict(shown.body))
    questions = shown.body.get("clarifyingQuestions", {}).get("questions", [])
    if all("choices" in question for question in questions):
        protovalidate.validate(message)
    else:  # a free question offers nothing, though the contract's rule wants two choices; no client insists
        with pytest.raises(protovalidate.ValidationError) as refused:
            protovalidate.validate(message)
        assert {violation.proto.field.elements[-1].field_name for violation in refused.value.violations} == {"choices"}
