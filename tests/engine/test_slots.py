"""Who may run a turn, and who is next."""

from hypothesis import given
from hypothesis import strategies as st

from hostler.engine.slots import FairSlots


class Asked:
    """What was asked of the slots, and who was told that it is his turn."""

    def __init__(self, size: int, **most: int) -> None:
        self.slots = FairSlots(size, lambda person: most.get(person, 0))
        self.told: list[str] = []

    def take(self, execution: str) -> bool:
        """Take a slot for `PERSON/NUMBER`."""
        return self.slots.take(execution, execution.partition("/")[0], lambda: self.told.append(execution))


def test_a_free_slot_is_had_at_once_and_kept_when_asked_for_again():
    asked = Asked(1)
    assert asked.take("ann/1")
    assert asked.take("ann/1")
    assert asked.told == []


def test_one_with_many_turns_does_not_keep_out_one_with_a_single_one():
    asked = Asked(2)
    for number in range(5):
        asked.take(f"ann/{number}")
    assert not asked.take("bob/0")
    asked.slots.give_back("ann/0")
    assert asked.told == ["bob/0"]
    asked.slots.give_back("ann/1")
    assert asked.told == ["bob/0", "ann/2"]


def test_a_cap_leaves_slots_to_others():
    asked = Asked(3, ann=1)
    assert asked.take("ann/0")
    assert not asked.take("ann/1")
    assert asked.take("bob/0")
    asked.slots.give_back("ann/0")
    assert asked.told == ["ann/1"]


def test_who_leaves_the_queue_is_not_served():
    asked = Asked(1)
    asked.take("ann/0")
    asked.take("ann/1")
    asked.take("bob/0")
    asked.slots.give_back("bob/0")
    asked.slots.give_back("ann/0")
    assert asked.told == ["ann/1"]


def test_a_raised_cap_and_more_slots_count_at_the_next_look():
    most = {"ann": 1}
    slots, told = FairSlots(2, lambda person: most[person]), list[str]()
    slots.take("ann/0", "ann", lambda: None)
    slots.take("ann/1", "ann", lambda: told.append("ann/1"))
    slots.take("ann/2", "ann", lambda: told.append("ann/2"))
    most["ann"] = 3
    slots.look_again()
    assert told == ["ann/1"]
    slots.resize(3)
    assert told == ["ann/1", "ann/2"]


@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 4)), max_size=60),
)
def test_sizes_and_caps_hold_and_no_slot_stays_empty_beside_somebody_who_could_have_it(
    size: int, cap: int, steps: list[tuple[bool, str, int]]
):
    told: set[str] = set()
    slots, has, waits = FairSlots(size, lambda person: cap), set[str](), set[str]()
    for takes, person, number in steps:
        execution = f"{person}/{number}"
        if takes:
            (has if slots.take(execution, person, lambda one=execution: told.add(one)) else waits).add(execution)
        else:
            slots.give_back(execution)
            has.discard(execution)
            waits.discard(execution)
        has |= told
        waits -= has
        told.clear()
        running = {one: sum(1 for held in has if held[0] == one) for one in "abc"}
        assert len(has) <= size
        assert not cap or max(running.values()) <= cap
        assert len(has) == size or not [one for one in waits if not cap or running[one[0]] < cap]
