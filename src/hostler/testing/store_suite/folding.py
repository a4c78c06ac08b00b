"""The one property that everything else rests on: a row is a function of its log."""

# ruff: noqa: D102 - the names of the tests say what they show

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.core import events as ev
from hostler.core.errors import Conflict, InvalidArgument, LogError
from hostler.core.events import Event
from hostler.core.ports import Fact, Position
from hostler.store import Store
from hostler.testing.store_suite.scene import INCARNATION, NOW, StoreSuite, finished, queued, shown, started

TEXT = st.text(max_size=8)
DECISION: st.SearchStrategy[Event] = st.one_of(
    st.builds(queued, TEXT),
    st.builds(ev.AnnotationsSet, st.dictionaries(TEXT, TEXT, max_size=3)),
    st.builds(ev.TurnStarted, st.integers(1, 9), TEXT, st.floats(0, 2)),
    st.builds(ev.TurnEnded, st.integers(1, 9)),
    st.builds(started),
)
FACT = st.builds(
    Fact,
    st.sampled_from(["e1", "e2", "e3"]),
    st.one_of(st.builds(finished, TEXT, TEXT), st.builds(ev.SupervisorLost, TEXT)),
)


@dataclass(frozen=True)
class Try:
    """An append that somebody tries, `behind` events and `off` fences beside the truth."""

    facts: list[Fact]
    decisions: list[Event]
    behind: int
    off: int
    own: bool
    new_fence: bool
    progress: bool


TRY = st.builds(
    Try,
    facts=st.lists(FACT, max_size=3),
    decisions=st.lists(DECISION, max_size=3),
    behind=st.sampled_from([0, 0, 0, 1]),
    off=st.sampled_from([0, 0, 0, 0, -1, 1]),
    own=st.booleans(),
    new_fence=st.booleans(),
    progress=st.booleans(),
)


class Folding(StoreSuite):
    """Row and log agree after any sequence of appends, whatever came of each."""

    @given(tries=st.lists(TRY, max_size=8))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_a_row_is_a_function_of_its_log(self, store: Store, tries: list[Try]) -> None:
        execution = await self.begin(store)
        facts: set[tuple[str, str]] = set()
        for one in tries:
            at = await self.position(store, execution)
            log = await store.executions.read(execution)
            try:
                appended = await store.executions.append(
                    execution,
                    Position(at.fence + one.off, at.seq - one.behind),
                    NOW,
                    facts=one.facts,
                    decisions=one.decisions,
                    own=INCARNATION if one.own else None,
                    new_fence=one.new_fence,
                    progress=one.progress,
                )
            except (LogError, Conflict, InvalidArgument):
                assert await store.executions.read(execution) == log
                assert await self.position(store, execution) == at
                continue
            fresh = {(fact.effect, type(fact.event).__name__) for fact in one.facts} - facts
            facts |= fresh
            after = await store.executions.read(execution)
            assert after == log + appended.recorded
            assert len(appended.recorded) == len(fresh) + (len(one.decisions) if appended.decided else 0)
            assert appended.position.fence == at.fence + (one.new_fence and appended.decided)
        row = await store.executions.row(execution)
        log = await store.executions.read(execution)
        assert row is not None
        assert [recorded.seq for recorded in log] == list(range(1, row.last_seq + 1))
        assert row.view == shown(log) == (await store.executions.rebuild(execution)).view
