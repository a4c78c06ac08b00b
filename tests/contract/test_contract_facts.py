"""proto/ says what contract.json lists, so that a hand edit of proto/ cannot drop a field or a rule unnoticed.

contract.json is a compact copy of the published facts; it changes only when a new client is published.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract import deviations
from tests.contract.shapes import Shape, generated_files, shape_of

FACTS: dict[str, Any] = json.loads(Path(__file__).with_name("contract.json").read_text())


@pytest.fixture(scope="module")
def ours() -> Shape:
    return shape_of(generated_files())


def expected_fields(message: str) -> dict[str, Any]:
    """Returns the published fields of a message with the reviewed rules put in."""
    return {
        name: facts | {"rules": deviations.RELAXED_RULES[message, name]}
        if (message, name) in deviations.RELAXED_RULES
        else facts
        for name, facts in FACTS["messages"][message].items()
    }


@pytest.mark.parametrize("message", FACTS["messages"])
def test_message_has_the_published_fields_types_and_rules(ours: Shape, message: str) -> None:
    fields = {n: f for n, f in ours.messages[message].items() if (message, n) not in deviations.FIELDS_OF_OURS}
    assert fields == expected_fields(message)


def test_nothing_is_added_but_what_was_reviewed(ours: Shape) -> None:
    assert ours.messages.keys() - FACTS["messages"].keys() == deviations.MESSAGES_OF_OURS.keys()
    assert ours.enums.keys() == FACTS["enums"].keys()
    assert ours.methods.keys() == FACTS["methods"].keys()


def test_fields_of_ours_keep_their_numbers(ours: Shape) -> None:
    for (message, name), number in deviations.FIELDS_OF_OURS.items():
        assert ours.messages[message][name]["number"] == number
    for message, numbers in deviations.MESSAGES_OF_OURS.items():
        assert {n: f["number"] for n, f in ours.messages[message].items()} == numbers


def test_every_relaxed_rule_differs_from_the_published_one() -> None:
    for (message, name), rules in deviations.RELAXED_RULES.items():
        assert FACTS["messages"][message][name]["rules"] != rules


@pytest.mark.parametrize("enum", FACTS["enums"])
def test_enum_has_the_published_values(ours: Shape, enum: str) -> None:
    assert ours.enums[enum] == FACTS["enums"][enum]


def test_deprecated_values_are_marked(ours: Shape) -> None:
    assert ours.deprecated_values == set(FACTS["deprecated_values"])


@pytest.mark.parametrize("service", FACTS["methods"])
def test_service_has_the_published_methods(ours: Shape, service: str) -> None:
    assert ours.methods[service] == FACTS["methods"][service]


def test_required_oneofs_are_marked(ours: Shape) -> None:
    assert ours.required_oneofs == set(FACTS["required_oneofs"])


def test_reserved_numbers_stay_reserved_unless_we_use_them(ours: Shape) -> None:
    in_use = deviations.RESERVED_NUMBERS_IN_USE
    left = {m: sorted(set(numbers) - in_use.get(m, set())) for m, numbers in FACTS["reserved"].items()}
    assert ours.reserved == {message: numbers for message, numbers in left.items() if numbers}
    for message, numbers in in_use.items():
        assert numbers <= {f["number"] for f in ours.messages[message].values()}
