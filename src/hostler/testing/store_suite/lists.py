"""Lists: each filter alone, filters together, and pages that neither skip nor repeat."""

# ruff: noqa: D102 - the names of the tests say what they show

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.core import events as ev
from hostler.core.errors import InvalidArgument
from hostler.core.ports import ExecutionQuery, Position
from hostler.core.prompts import PromptQuery
from hostler.store import Store
from hostler.testing.store_suite.scene import INCARNATION, NOW, RUNNER, StoreSuite, new_id, started

LONG = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(64))
"""As long as an annotation may be, and nothing that a database could compress."""

FILTERS: Mapping[str, tuple[dict[str, Any], Mapping[str, Any]]] = {
    "agent": ({"agent_id": "agent-2"}, {"agent_ids": ["agent-2", "agent-3"]}),
    "project": ({"request": {"project": "p"}}, {"project_ids": ["p"]}),
    "environment": ({"environment_id": "e"}, {"environment_ids": ["e", "f"]}),
    "creator": ({"creator_id": "user-2"}, {"creator_ids": ["user-2"]}),
    "role": ({"request": {"role": "WORKFLOW"}}, {"roles": ["WORKFLOW"]}),
    "session": ({"session_id": "s"}, {"session_ids": ["s"]}),
    "annotation": ({"request": {"annotations": {"a": "b", "c": "d"}}}, {"annotations": {"a": "b"}}),
    "both annotations": ({"request": {"annotations": {"a": "b", "c": "d"}}}, {"annotations": {"a": "b", "c": "d"}}),
    "standing": ({"request": {"standing": "needs"}}, {"standings": ["needs"]}),
    "words": ({"request": {"words": "strasse 50% off_\\ here"}}, {"words": "STRASSE 50% OFF_\\"}),
    "long annotation": ({"request": {"annotations": {"a": LONG}}}, {"annotations": {"a": LONG}}),
}


class Listing(StoreSuite):
    """Filters."""

    @pytest.mark.parametrize("name", FILTERS)
    async def test_a_filter_finds_what_it_names_and_nothing_else(self, store: Store, name: str) -> None:
        changes, query = FILTERS[name]
        await self.begin(store)
        wanted = await self.begin(store, **changes)
        await self.begin(store, request={"annotations": {"a": "d", "c": "b"}})
        assert [row.id for row in await store.executions.find(ExecutionQuery(**query))] == [wanted]

    async def test_phases_and_ids_filter(self, store: Store) -> None:
        ids = [await self.begin(store) for _ in range(3)]
        turn = [ev.TurnStarted(1, INCARNATION)]
        await store.executions.append(ids[1], Position(0, 1), NOW, decisions=turn)
        running = await store.executions.find(ExecutionQuery(phases=["RUNNING"]))
        either = await store.executions.find(ExecutionQuery(phases=["RUNNING", "PENDING"]))
        named = await store.executions.find(ExecutionQuery(execution_ids=[ids[0], ids[2], new_id()]))
        assert [[row.id for row in rows] for rows in (running, either, named)] == [
            [ids[1]],
            ids[::-1],
            [ids[2], ids[0]],
        ]

    async def test_all_filters_must_match(self, store: Store) -> None:
        await self.begin(store, agent_id="x")
        await self.begin(store, session_id="y")
        both = await self.begin(store, agent_id="x", session_id="y")
        found = await store.executions.find(ExecutionQuery(agent_ids=["x"], session_ids=["y"]))
        assert [row.id for row in found] == [both]

    async def test_an_empty_annotation_value_matches_only_an_empty_value(self, store: Store) -> None:
        empty = await self.begin(store, request={"annotations": {"a": ""}})
        await self.begin(store, request={"annotations": {"a": "b"}})
        await self.begin(store)
        assert [row.id for row in await store.executions.find(ExecutionQuery(annotations={"a": ""}))] == [empty]

    async def test_words_also_find_the_beginning_of_an_id(self, store: Store) -> None:
        wanted = await self.begin(store)
        await self.begin(store, request={"words": "other"})
        assert [row.id for row in await store.executions.find(ExecutionQuery(words=wanted.upper()))] == [wanted]
        assert await store.executions.find(ExecutionQuery(words=wanted[1:])) == ()

    async def test_rows_are_counted_up_to_a_bound(self, store: Store) -> None:
        for standing in ("needs", "done", "needs", "needs"):
            await self.begin(store, request={"standing": standing, "annotations": {"a": "b"}})
        for query in (ExecutionQuery(standings=["needs"]), ExecutionQuery(standings=["needs"], annotations={"a": "b"})):
            assert [await store.executions.count(query, most) for most in (2, 3, 10)] == [2, 3, 3]

    async def test_annotations_follow_the_log(self, store: Store) -> None:
        execution = await self.begin(store, request={"annotations": {"a": "1", "b": "1"}})
        change = ev.AnnotationsSet({"a": "2", "b": ""})
        await store.executions.append(execution, Position(0, 1), NOW, decisions=[change])
        for annotations, count in (({"a": "1"}, 0), ({"b": "1"}, 0), ({"a": "2"}, 1)):
            assert len(await store.executions.find(ExecutionQuery(annotations=annotations))) == count

    async def test_a_filter_for_odd_text_finds_nothing(self, store: Store) -> None:
        await self.begin(store)
        for odd in ("%", "_", "'", "a\\"):
            assert await store.executions.find(ExecutionQuery(annotations={odd: odd})) == ()
            assert await store.executions.find(ExecutionQuery(annotations={"a": odd})) == ()
        assert await store.executions.find(ExecutionQuery(agent_ids=["agent%", "'"])) == ()

    @pytest.mark.parametrize("most", [32, 33, 100_000])
    async def test_a_filter_has_so_many_annotations_as_a_database_takes(self, store: Store, most: int) -> None:
        query = ExecutionQuery(annotations={f"k{number}": "v" for number in range(most)})
        if most == 32:
            assert await store.executions.find(query) == ()
            return
        with pytest.raises(InvalidArgument, match="annotations"):
            await store.executions.find(query)

    @pytest.mark.parametrize("text", ["NUL \0", "half \ud83d"])
    async def test_a_filter_that_no_column_can_hold_is_refused(self, store: Store, text: str) -> None:
        for query in (ExecutionQuery(annotations={"a": text}), ExecutionQuery(session_ids=[text])):
            with pytest.raises(InvalidArgument):
                await store.executions.find(query)
        with pytest.raises(InvalidArgument):
            await store.prompts.find(PromptQuery(search=text))

    async def test_a_prefix_finds_ids_letter_by_letter(self, store: Store) -> None:
        for execution in ("aa-1", "aa-2", "ab-1", "b%-1"):
            await store.executions.create(execution, RUNNER, [started()], NOW)
        for prefix, ids in (("aa", ["aa-1", "aa-2"]), ("ab", ["ab-1"]), ("b%", ["b%-1"]), ("%", []), ("a_", [])):
            assert [row.id for row in await store.executions.with_prefix(prefix)] == ids
        assert len(await store.executions.with_prefix("a", limit=3)) == 3

    async def test_busy_rows_are_the_runners_own_oldest_first(self, store: Store) -> None:
        ids = [await self.begin(store) for _ in range(3)]
        await store.executions.create(new_id(), "runner-2", [started()], NOW)
        await store.executions.append(ids[1], Position(0, 1), NOW, decisions=[ev.TurnEnded(1)])
        assert [row.id for row in await store.executions.busy(RUNNER)] == [ids[0], ids[2]]

    @given(
        groups=st.lists(st.sampled_from("abc"), max_size=12),
        limit=st.integers(1, 5),
        wanted=st.sets(st.sampled_from("abc"), max_size=2),
    )
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_pages_neither_skip_nor_repeat(
        self, store: Store, groups: list[str], limit: int, wanted: set[str]
    ) -> None:
        case = new_id()
        request = {"annotations": {"case": case}}
        ids = [await self.begin(store, session_id=group, request=request) for group in groups]
        query = ExecutionQuery(annotations={"case": case}, session_ids=sorted(wanted))
        seen: list[str] = []
        page = await store.executions.find(query, limit=limit)
        while page:
            assert len(page) <= limit
            seen += [row.id for row in page]
            assert len(seen) <= len(ids)
            page = await store.executions.find(query, seen[-1], limit)
        expected = [it for it, group in zip(ids, groups, strict=True) if group in wanted or not wanted]
        assert seen == expected[::-1]

    async def test_a_new_execution_does_not_disturb_the_pages_behind_it(self, store: Store) -> None:
        ids = [await self.begin(store) for _ in range(4)]
        first = await store.executions.find(ExecutionQuery(), limit=2)
        await self.begin(store)
        second = await store.executions.find(ExecutionQuery(), first[-1].id, limit=2)
        assert [row.id for row in (*first, *second)] == ids[::-1]
        assert second[0].created_at == NOW
        assert second[0].updated_at - NOW == timedelta(0)
