"""A changed copy of a value is what `dataclasses.replace` would make."""

from dataclasses import dataclass, field, replace

import pytest

from hostler.core.changing import changed
from hostler.core.state import State, fold
from tests import corpus


@dataclass(frozen=True, slots=True)
class Pair:
    left: int
    right: list[int] = field(default_factory=list)


def test_only_the_named_fields_change_and_the_value_stays_as_it_was():
    one = Pair(1, [2])
    other = changed(one, left=3)
    assert (other, one) == (Pair(3, [2]), Pair(1, [2]))
    assert other.right is one.right
    assert hash(changed(State(), seq=2).phase) == hash("")


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="no field 'middle'"):
        changed(Pair(1), middle=2)


@pytest.mark.parametrize("name", corpus.LOGS)
def test_a_state_is_changed_as_replace_would_change_it(name: str):
    state = fold(corpus.log(name))
    assert changed(state, seq=7, todos=()) == replace(state, seq=7, todos=())
