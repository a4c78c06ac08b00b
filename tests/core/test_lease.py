"""Until when a process may begin anything."""

from hostler.core.lease import Lease
from hostler.testing.clock import HandClock


def test_a_lease_counts_from_when_it_was_asked_for_not_from_the_answer():
    clock = HandClock()
    lease = Lease(clock.boot, 20)
    assert not lease.held
    asked = clock.boot()
    clock.advance(15)
    lease.renewed(asked)
    assert lease.held
    clock.advance(5)
    assert not lease.held


def test_an_answer_that_comes_late_takes_nothing_from_a_later_renewal():
    clock = HandClock()
    lease = Lease(clock.boot, 20)
    first = clock.boot()
    clock.advance(10)
    lease.renewed(clock.boot())
    lease.renewed(first)
    clock.advance(15)
    assert lease.held
