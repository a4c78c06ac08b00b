"""What an append promises: facts by fence, decisions by compare-and-set, each once, all or nothing."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from hostler.core import events as ev
from hostler.core.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, StaleFence, Unavailable
from hostler.core.ports import Appended, ExecutionQuery, Fact, Idempotency, Position
from hostler.store import Store
from hostler.testing.store_suite.scene import (
    INCARNATION,
    NOW,
    RUNNER,
    Opener,
    Refused,
    StoreSuite,
    finished,
    new_id,
    queued,
    shown,
    started,
)


class Starting(StoreSuite):
    """Executions begin once."""

    async def test_a_new_execution_has_a_log_and_a_row_that_agree(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"), agent_id="agent-7", environment_id="env-1")
        row = await store.executions.row(execution)
        assert row is not None
        assert (row.runner, row.owner, row.fence, row.attempts, row.last_seq) == (RUNNER, "", 0, 0, 2)
        assert (row.phase, row.turn, row.busy, row.due_at, row.deleted_at) == ("PENDING", 0, True, None, None)
        assert row.created_at == row.updated_at == NOW
        assert row.view == shown(await store.executions.read(execution))

    async def test_a_known_key_with_the_same_body_answers_the_first_execution(self, store: Store) -> None:
        once = Idempotency("user-1", "key", "body")
        first = await store.executions.create(new_id(), RUNNER, [started()], NOW, once)
        again = await store.executions.create(new_id(), RUNNER, [started()], NOW + timedelta(hours=23), once)
        other = await store.executions.create(new_id(), RUNNER, [started()], NOW, replace(once, principal="user-2"))
        assert (first[1], again, other[1]) == (True, (first[0], False), True)
        assert len(await store.executions.find(ExecutionQuery())) == 2

    async def test_a_known_key_with_another_body_is_refused(self, store: Store) -> None:
        once = Idempotency("user-1", "key", "body")
        await store.executions.create(new_id(), RUNNER, [started()], NOW, once)
        with pytest.raises(AlreadyExists):
            await store.executions.create(new_id(), RUNNER, [started()], NOW, replace(once, body_sha256="other"))
        assert len(await store.executions.find(ExecutionQuery())) == 1

    async def test_a_key_counts_for_24_hours(self, store: Store) -> None:
        once = Idempotency("user-1", "key", "body")
        first, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW, once)
        day = timedelta(hours=24)
        before = await store.executions.create(new_id(), RUNNER, [started()], NOW + day - timedelta.resolution, once)
        after = await store.executions.create(new_id(), RUNNER, [started()], NOW + day, once)
        assert before == (first, False)
        assert after[1]

    async def test_ten_starts_at_once_with_one_key_make_one_execution(self, store: Store) -> None:
        once = Idempotency("user-1", "k" * 5000, "body")
        starts = (store.executions.create(new_id(), RUNNER, [started()], NOW, once) for _ in range(10))
        answers = await asyncio.gather(*starts)
        assert len({execution for execution, _ in answers}) == 1
        assert sorted(fresh for _, fresh in answers) == [False] * 9 + [True]

    async def test_an_id_is_given_once(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"))
        with pytest.raises(AlreadyExists):
            await store.executions.create(execution, RUNNER, [started()], NOW)
        assert await self.kinds(store, execution) == ["Started", "InputQueued"]


class Appending(StoreSuite):
    """Facts and decisions."""

    async def test_an_event_reads_back_as_it_was_written(self, store: Store) -> None:
        odd = "NUL \0, half a pair \ud83d, a whole one 😀, Straße, \u2028"
        block: ev.Json = {"text": odd, "big": 2**70, "half": 0.1, "none": None, "deep": [{"a": [True, []]}], "": ""}
        events = [
            ev.InputQueued("a", block, odd),
            ev.TurnStarted(1, INCARNATION, 1.5),
            ev.ModelCallFailed("c", odd, NOW + timedelta(microseconds=1)),
        ]
        execution = await self.begin(store, *events)
        elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
        await store.executions.append(execution, Position(0, 4), elsewhere, decisions=[ev.TurnEnded(1)])
        log = await store.executions.read(execution)
        assert [recorded.event for recorded in log[1:4]] == events
        assert [(recorded.at, recorded.at.utcoffset()) for recorded in log] == [(NOW, timedelta(0))] * 5

    async def test_reading_starts_behind_a_seq_and_stops_at_a_limit(self, store: Store) -> None:
        execution = await self.begin(store, *(queued(str(n)) for n in range(9)))
        assert [r.seq for r in await store.executions.read(execution)] == list(range(1, 11))
        assert [r.seq for r in await store.executions.read(execution, 7)] == [8, 9, 10]
        assert [r.seq for r in await store.executions.read(execution, 2, 3)] == [3, 4, 5]
        assert await store.executions.read(execution, 10) == ()
        assert await store.executions.read(new_id()) == ()

    async def test_an_append_answers_what_a_reader_reads(self, store: Store) -> None:
        execution = await self.begin(store)
        fact = Fact("tool:1", ev.ToolFinished("1", "ok", "out", details={"pair": (1, 2)}))
        appended = await store.executions.append(
            execution, Position(0, 1), NOW + timedelta(seconds=1), facts=[fact], decisions=[queued("a")]
        )
        assert appended == Appended(Position(0, 3), await store.executions.read(execution, 1), True)
        row = await store.executions.row(execution)
        assert row is not None
        assert (row.last_seq, row.updated_at, row.created_at) == (3, NOW + timedelta(seconds=1), NOW)

    async def test_a_decision_from_an_older_state_is_refused_and_changes_nothing(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"))
        before = await store.executions.row(execution)
        for seq in (0, 1, 3):
            with pytest.raises(Conflict):
                await store.executions.append(
                    execution, Position(0, seq), NOW, decisions=[queued("b")], own=INCARNATION, new_fence=True
                )
        assert await store.executions.row(execution) == before
        assert await self.kinds(store, execution) == ["Started", "InputQueued"]

    async def test_of_twenty_decisions_at_once_one_wins(self, store: Store) -> None:
        execution = await self.begin(store)
        tries = (store.executions.append(execution, Position(0, 1), NOW, decisions=[queued(str(n))]) for n in range(20))
        answers = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(answer, Appended) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == 19
        assert len(await store.executions.read(execution)) == 2

    async def test_a_fact_needs_no_seq(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"), queued("b"))
        appended = await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("t", finished("1"))])
        assert (appended.position, appended.decided) == (Position(0, 4), True)

    async def test_another_fence_writes_nothing_not_even_a_fact(self, store: Store) -> None:
        execution = await self.begin(store)
        await store.executions.claim(execution, 0, INCARNATION)
        before = await store.executions.row(execution)
        for fence in (0, 2):
            with pytest.raises(StaleFence):
                await store.executions.append(
                    execution,
                    Position(fence, 1),
                    NOW,
                    facts=[Fact("t", finished("1"))],
                    decisions=[queued("a")],
                    progress=True,
                )
        assert await store.executions.row(execution) == before
        assert await self.kinds(store, execution) == ["Started"]

    async def test_a_repeated_fact_is_left_out_and_does_not_count_as_growth(self, store: Store) -> None:
        execution = await self.begin(store)
        fact = Fact("tool:1", finished("1", "first"))
        await store.executions.append(execution, Position(0, 1), NOW, facts=[fact])
        repeated = Fact("tool:1", finished("1", "second"))
        again = await store.executions.append(execution, Position(0, 2), NOW + timedelta(days=1), facts=[repeated])
        assert again == Appended(Position(0, 2), (), True)
        row = await store.executions.row(execution)
        assert row is not None
        assert row.updated_at == NOW
        both = await store.executions.append(
            execution, Position(0, 2), NOW, facts=[repeated, Fact("tool:2", finished("2"))], decisions=[queued("a")]
        )
        assert [r.event for r in both.recorded] == [finished("2"), queued("a")]
        assert both.position == Position(0, 4)

    async def test_a_fact_twice_in_one_append_is_written_once(self, store: Store) -> None:
        execution, fact = await self.begin(store), Fact("tool:1", finished("1"))
        await store.executions.append(execution, Position(0, 1), NOW, facts=[fact, fact])
        assert await self.kinds(store, execution) == ["Started", "ToolFinished"]

    async def test_one_effect_may_report_facts_of_several_kinds(self, store: Store) -> None:
        execution = await self.begin(store)
        await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("e", finished("1"))])
        await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("e", ev.EgressRefused("h", "r"))])
        assert await self.kinds(store, execution) == ["Started", "ToolFinished", "EgressRefused"]

    async def test_the_same_effect_in_two_executions_is_two_facts(self, store: Store) -> None:
        for execution in (await self.begin(store), await self.begin(store)):
            await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("e", finished("1"))])
            assert await self.kinds(store, execution) == ["Started", "ToolFinished"]

    async def test_a_mixed_append_that_loses_its_race_keeps_its_facts_only(self, store: Store) -> None:
        execution = await self.begin(store)
        await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("first")])
        mixed = await store.executions.append(
            execution,
            Position(0, 1),
            NOW,
            facts=[Fact("t", finished("1"))],
            decisions=[ev.TurnEnded(1)],
            own=INCARNATION,
            new_fence=True,
        )
        assert (mixed.position, mixed.decided) == (Position(0, 3), False)
        assert [r.event for r in mixed.recorded] == [finished("1")]
        row = await store.executions.row(execution)
        assert row is not None
        assert (row.owner, row.fence) == ("", 0)
        again = await store.executions.append(
            execution, mixed.position, NOW, decisions=[ev.TurnEnded(1)], new_fence=True
        )
        assert (again.position, again.decided) == (Position(1, 4), True)

    async def test_an_append_whose_acknowledgement_was_lost_can_be_repeated(self, store: Store) -> None:
        execution, at = await self.begin(store), Position(0, 1)
        facts, decisions = [Fact("t", finished("1"))], [queued("a")]
        await store.executions.append(execution, at, NOW, facts=facts, decisions=decisions)
        again = await store.executions.append(execution, at, NOW, facts=facts, decisions=decisions)
        assert again == Appended(Position(0, 3), (), False)
        with pytest.raises(Conflict):
            await store.executions.append(execution, at, NOW, decisions=decisions)
        assert await self.kinds(store, execution) == ["Started", "ToolFinished", "InputQueued"]

    async def test_an_append_of_nothing_says_where_the_log_stands(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"))
        assert await store.executions.append(execution, Position(0, 1), NOW) == Appended(Position(0, 2), (), True)
        with pytest.raises(StaleFence):
            await store.executions.append(execution, Position(1, 2), NOW)

    async def test_a_decision_may_take_the_execution_and_raise_the_fence(self, store: Store) -> None:
        execution = await self.begin(store)
        begun = [queued("a"), ev.TurnStarted(1, INCARNATION)]
        taken = await store.executions.append(
            execution, Position(0, 1), NOW, decisions=begun, own=INCARNATION, new_fence=True
        )
        assert taken.position == Position(1, 3)
        row = await store.executions.row(execution)
        assert row is not None
        assert (row.owner, row.fence, row.attempts, row.turn, row.phase) == (INCARNATION, 1, 0, 1, "RUNNING")
        with pytest.raises(StaleFence):
            await store.executions.append(execution, Position(0, 3), NOW, facts=[Fact("t", finished("1"))])

    async def test_progress_starts_the_attempts_again(self, store: Store) -> None:
        execution = await self.begin(store)
        for fence in range(3):
            await store.executions.claim(execution, fence, INCARNATION)
        await store.executions.append(execution, Position(3, 1), NOW, facts=[Fact("a", finished("1"))])
        row = await store.executions.row(execution)
        assert row is not None
        assert row.attempts == 3
        facts = [Fact("b", finished("2"))]
        await store.executions.append(execution, Position(3, 2), NOW, facts=facts, progress=True)
        row = await store.executions.row(execution)
        assert row is not None
        assert row.attempts == 0

    async def test_what_the_fold_refuses_is_not_written_and_harms_nobody_else(self, store: Store) -> None:
        bad, good = await self.begin(store), await self.begin(store)
        before = await store.executions.row(bad)
        answers = await asyncio.gather(
            store.executions.append(good, Position(0, 1), NOW, decisions=[queued("a")]),
            store.executions.append(bad, Position(0, 1), NOW, decisions=[queued("b"), started()]),
            store.executions.append(good, Position(0, 2), NOW, decisions=[queued("c")]),
            return_exceptions=True,
        )
        assert isinstance(answers[1], Refused)
        assert await store.executions.row(bad) == before
        assert await self.kinds(store, good) == ["Started", "InputQueued", "InputQueued"]
        await store.executions.append(bad, Position(0, 1), NOW, decisions=[queued("d")])
        assert await self.kinds(store, bad) == ["Started", "InputQueued"]

    @pytest.mark.parametrize("value", ["NUL \0", "half \ud83d"])
    async def test_an_annotation_that_no_column_can_hold_is_refused(self, store: Store, value: str) -> None:
        execution = await self.begin(store)
        with pytest.raises(InvalidArgument, match="annotations"):
            await store.executions.append(execution, Position(0, 1), NOW, decisions=[ev.AnnotationsSet({"a": value})])
        assert await self.kinds(store, execution) == ["Started"]

    async def test_an_unknown_execution_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.executions.append(new_id(), Position(0, 0), NOW, decisions=[queued("a")])
        with pytest.raises(NotFound):
            await store.executions.claim(new_id(), 0, INCARNATION)
        with pytest.raises(NotFound):
            await store.executions.rebuild(new_id())
        assert await store.executions.row(new_id()) is None

    async def test_two_hundred_appends_at_once_leave_no_gap(self, store: Store) -> None:
        executions = [await self.begin(store) for _ in range(20)]

        async def one(execution: str, n: int) -> None:
            fact = Fact(f"tool:{n}", finished(str(n)))
            await store.executions.append(execution, Position(0, 1), NOW, facts=[fact])

        await asyncio.gather(*(one(execution, n) for n in range(10) for execution in executions))
        for execution in executions:
            log = await store.executions.read(execution)
            row = await store.executions.row(execution)
            assert row is not None
            assert [recorded.seq for recorded in log] == list(range(1, 12))
            assert (row.last_seq, row.view) == (11, shown(log))

    async def test_a_row_shows_its_log_also_when_nothing_of_it_is_remembered(self, opener: Opener) -> None:
        async with opener(remembered=1) as store:
            executions = [await self.begin(store, request={"annotations": {"n": str(n)}}) for n in range(3)]
            for seq in range(1, 4):
                for execution in executions:
                    change = ev.AnnotationsSet({"n": "", "m": str(seq)} if seq % 2 else {"k": "v"})
                    await store.executions.append(execution, Position(0, seq), NOW, decisions=[change])
            for execution in executions:
                row = await store.executions.row(execution)
                assert row is not None
                assert row.view == shown(await store.executions.read(execution))
                assert row.view == (await store.executions.rebuild(execution)).view
            found = await store.executions.find(ExecutionQuery(annotations={"m": "3", "k": "v"}))
            assert [row.id for row in found] == executions[::-1]
            assert await store.executions.find(ExecutionQuery(annotations={"n": "1"})) == ()

    async def test_what_is_due_reads_back(self, store: Store) -> None:
        execution, due = await self.begin(store), NOW + timedelta(days=400, microseconds=7)
        failed = ev.ModelCallFailed("c", "later", due)
        await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact("c", failed)])
        row = await store.executions.row(execution)
        assert row is not None
        assert row.due_at == due


class Owning(StoreSuite):
    """Claims, incarnations, and what an owner that was replaced can still do: nothing."""

    async def test_a_claim_takes_the_execution_once(self, store: Store) -> None:
        execution = await self.begin(store)
        claims = await asyncio.gather(*(store.executions.claim(execution, 0, INCARNATION) for _ in range(5)))
        assert [claim for claim in claims if claim] == [Position(1, 1)]
        row = await store.executions.row(execution)
        assert row is not None
        assert (row.owner, row.fence, row.attempts, row.last_seq) == (INCARNATION, 1, 1, 1)

    async def test_an_owner_that_was_replaced_writes_nothing(self, store: Store) -> None:
        execution = await self.begin(store)
        old = await store.executions.claim(execution, 0, INCARNATION)
        await store.runners.boot(RUNNER, "incarnation-2", NOW)
        new = await store.executions.claim(execution, 1, "incarnation-2")
        assert old is not None
        assert new is not None
        await store.executions.append(execution, new, NOW, facts=[Fact("t", finished("1", "new"))])
        with pytest.raises(StaleFence):
            await store.executions.append(execution, old, NOW, facts=[Fact("t", finished("1", "old"))])
        with pytest.raises(StaleFence):
            await store.executions.append(execution, old, NOW, decisions=[ev.TurnEnded(1)])
        assert [r.event for r in await store.executions.read(execution, 1)] == [finished("1", "new")]

    async def test_only_the_present_incarnation_of_the_own_runner_may_own(self, store: Store) -> None:
        execution = await self.begin(store)
        before = await store.executions.row(execution)
        await store.runners.boot("runner-2", "incarnation-of-runner-2", NOW)
        await store.runners.boot(RUNNER, "incarnation-2", NOW)
        for owner in (INCARNATION, "incarnation-of-runner-2", "never booted"):
            with pytest.raises(StaleFence):
                await store.executions.claim(execution, 0, owner)
            with pytest.raises(StaleFence):
                await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")], own=owner)
        assert await store.executions.row(execution) == before

    async def test_an_execution_of_a_runner_that_never_booted_cannot_be_claimed(self, store: Store) -> None:
        execution, _ = await store.executions.create(new_id(), "runner-9", [started()], NOW)
        with pytest.raises(StaleFence):
            await store.executions.claim(execution, 0, INCARNATION)

    async def test_a_boot_tells_who_lived_before_and_until_when(self, store: Store) -> None:
        seen = NOW + timedelta(minutes=5, microseconds=3)
        await store.runners.heartbeat(seen)
        before = await store.runners.boot(RUNNER, "incarnation-2", NOW)
        assert before is not None
        assert (before.incarnation, before.until) == (INCARNATION, seen)
        assert await store.runners.boot("runner-2", "x", NOW) is None
        assert await store.runners.incarnation_of(RUNNER) == "incarnation-2"
        assert await store.runners.incarnation_of("runner-3") is None


class Removing(StoreSuite):
    """Deleted executions are hidden at once and gone when they are purged."""

    async def test_a_deleted_execution_is_in_no_list_but_still_has_a_row(self, store: Store) -> None:
        execution = await self.begin(store)
        later = NOW + timedelta(seconds=1)
        await store.executions.append(execution, Position(0, 1), later, decisions=[ev.Deleted()])
        await store.executions.append(execution, Position(0, 2), later + timedelta(1), decisions=[ev.Deleted()])
        row = await store.executions.row(execution)
        assert row is not None
        assert row.deleted_at == later
        assert await store.executions.find(ExecutionQuery()) == ()
        assert await store.executions.with_prefix(execution[:8]) == ()
        assert [row.id for row in await store.executions.busy(RUNNER)] == [execution]

    async def test_a_purge_leaves_nothing_and_can_be_repeated(self, store: Store) -> None:
        once = Idempotency("user-1", "key", "body")
        first = [started({"annotations": {"a": "b"}}, environment_id="env"), queued("a")]
        execution, _ = await store.executions.create(new_id(), RUNNER, first, NOW, once)
        kept = await self.begin(store, request={"annotations": {"a": "b"}}, environment_id="env")
        await store.executions.purge(execution)
        await store.executions.purge(execution)
        assert await store.executions.row(execution) is None
        assert await store.executions.read(execution) == ()
        with pytest.raises(NotFound):
            await store.executions.append(execution, Position(0, 2), NOW, facts=[Fact("t", finished("1"))])
        query = ExecutionQuery(annotations={"a": "b"}, environment_ids=["env"])
        assert [row.id for row in await store.executions.find(query)] == [kept]
        assert (await store.executions.create(execution, RUNNER, [started()], NOW, once))[1]
        row = await store.executions.row(execution)
        assert row is not None
        assert row.view == shown(await store.executions.read(execution))


class Closing(StoreSuite):
    """What was acknowledged is there when the store is opened again."""

    async def test_closing_finishes_what_was_begun(self, opener: Opener) -> None:
        async with opener() as store:
            execution = await self.begin(store)
            facts = [Fact(f"t{n}", finished(str(n))) for n in range(50)]
            tasks = [
                asyncio.create_task(store.executions.append(execution, Position(0, 1), NOW, facts=[fact]))
                for fact in facts
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(*tasks)
        assert sorted(answer.position.seq for answer in answers) == list(range(2, 52))
        async with opener() as store:
            assert len(await store.executions.read(execution)) == 51

    async def test_a_closed_store_says_that_it_is_unavailable(self, opener: Opener) -> None:
        async with opener() as store:
            pass
        with pytest.raises(Unavailable):
            await store.executions.create(new_id(), RUNNER, [started()], NOW)
        with pytest.raises(Unavailable):
            await store.executions.find(ExecutionQuery())


class Watching(StoreSuite):
    """From entering on no commit is missed."""

    async def test_a_watcher_is_told_of_every_change_and_only_once(self, store: Store) -> None:
        one, two = await self.begin(store), await self.begin(store)
        async with store.executions.watch() as everything, store.executions.watch(one) as only_one:
            await store.executions.append(one, Position(0, 1), NOW, decisions=[queued("a")])
            await store.executions.append(one, Position(0, 2), NOW, decisions=[queued("b")])
            await store.executions.append(two, Position(0, 1), NOW, decisions=[queued("a")])
            assert await everything.changed(5) == {one, two}
            assert await only_one.changed(5) == {one}
            assert await everything.changed(0) == await only_one.changed(0) == frozenset()

    async def test_what_changes_nothing_tells_nobody(self, store: Store) -> None:
        execution = await self.begin(store, queued("a"))
        fact = Fact("t", finished("1"))
        await store.executions.append(execution, Position(0, 2), NOW, facts=[fact])
        async with store.executions.watch() as watch:
            await store.executions.append(execution, Position(0, 3), NOW, facts=[fact])
            with pytest.raises(Conflict):
                await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("b")])
            assert await store.executions.claim(execution, 7, INCARNATION) is None
            assert await watch.changed(0) == frozenset()

    async def test_claims_and_purges_are_changes(self, store: Store) -> None:
        execution = await self.begin(store)
        async with store.executions.watch(execution) as watch:
            await store.executions.claim(execution, 0, INCARNATION)
            assert await watch.changed(5) == {execution}
            await store.executions.purge(execution)
            assert await watch.changed(5) == {execution}

    async def test_a_reader_that_subscribed_first_sees_the_last_event(self, store: Store) -> None:
        execution, last = await self.begin(store), 40

        async def write() -> None:
            for n in range(last):
                await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact(f"t{n}", finished(str(n)))])

        async def follow() -> int:
            async with store.executions.watch(execution) as watch:
                seq = 0
                while True:
                    seq += len(await store.executions.read(execution, seq))
                    if seq == last + 1:
                        return seq
                    assert await watch.changed(60)

        followers = [asyncio.create_task(follow()) for _ in range(3)]
        await write()
        assert await asyncio.gather(*followers) == [last + 1] * 3
