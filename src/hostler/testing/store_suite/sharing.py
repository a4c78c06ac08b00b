"""What holds besides where several processes have the database open at once: `store` and `other` are two of them."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import pytest_asyncio

from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.egress import ClassHost
from hostler.core.errors import Conflict, NotFound, StaleFence
from hostler.core.policy import Policy
from hostler.core.ports import PRESENT, Fact, Idempotency, Position, Principal
from hostler.store import Store
from hostler.testing.store_suite.library import environment, prompt
from hostler.testing.store_suite.projects import host_token
from hostler.testing.store_suite.scene import (
    INCARNATION,
    NOW,
    RUNNER,
    Opener,
    StoreSuite,
    finished,
    new_id,
    queued,
    shown,
    started,
)
from hostler.testing.store_suite.spending import DAY, called

ROUNDS = 20
SOON = NOW + timedelta(seconds=30)
PATIENCE = 30


class TwoProcesses(StoreSuite):
    """Opens the same database a second time; the other process has a runner of its own."""

    @pytest_asyncio.fixture
    async def other(self, store: Store, opener: Opener) -> AsyncGenerator[Store]:
        """Return a second open store."""
        async with opener() as other:
            await other.runners.boot("runner-2", "incarnation-of-runner-2", SOON)
            yield other

    async def agrees(self, store: Store, execution: str) -> list[ev.Event]:
        """Return the log's events; the row is what they say, and no seq is missing or twice."""
        log, row = await store.executions.read(execution), await store.executions.row(execution)
        assert row is not None
        assert [recorded.seq for recorded in log] == list(range(1, row.last_seq + 1))
        assert row.view == shown(log)
        return [recorded.event for recorded in log]


class SharedLog(TwoProcesses):
    """One log, whoever appends."""

    async def test_each_goes_on_where_the_other_left_it(self, store: Store, other: Store) -> None:
        execution = await self.begin(store)
        for n in range(ROUNDS):
            here = (store, other)[n % 2]
            appended = await here.executions.append(execution, Position(0, n + 1), NOW, decisions=[queued(str(n))])
            assert appended.position == Position(0, n + 2)
        assert await self.agrees(other, execution) == [started(), *(queued(str(n)) for n in range(ROUNDS))]

    async def test_of_two_decisions_from_one_state_one_is_kept(self, store: Store, other: Store) -> None:
        execution = await self.begin(store)
        for n in range(ROUNDS):
            answers = await asyncio.gather(
                *(
                    one.executions.append(execution, Position(0, n + 1), NOW, decisions=[queued(f"{n}{name}")])
                    for name, one in (("a", store), ("b", other))
                ),
                return_exceptions=True,
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["Appended", "Conflict"]
        assert len(await self.agrees(store, execution)) == ROUNDS + 1

    async def test_a_fact_that_both_report_is_kept_once(self, store: Store, other: Store) -> None:
        execution = await self.begin(store)
        facts = [Fact(f"t{n}", finished(str(n))) for n in range(ROUNDS)]
        await asyncio.gather(
            *(
                one.executions.append(execution, Position(0, 1), NOW, facts=[fact])
                for fact in facts
                for one in (store, other, store, other)
            )
        )
        events = await self.agrees(other, execution)
        assert sorted(str(event) for event in events[1:]) == sorted(str(fact.event) for fact in facts)

    async def test_an_append_whose_acknowledgement_was_lost_may_be_repeated_elsewhere(
        self, store: Store, other: Store
    ) -> None:
        execution, fact = await self.begin(store), Fact("t", finished("1"))
        await store.executions.append(execution, Position(0, 1), NOW, facts=[fact], decisions=[queued("a")])
        again = await other.executions.append(execution, Position(0, 1), NOW, facts=[fact], decisions=[queued("a")])
        assert (again.position, again.recorded, again.decided) == (Position(0, 3), (), False)
        with pytest.raises(Conflict):
            await other.executions.append(execution, Position(0, 2), NOW, decisions=[queued("a")])
        assert await self.agrees(store, execution) == [started(), finished("1"), queued("a")]

    async def test_an_owner_that_was_replaced_writes_nothing(self, store: Store, other: Store) -> None:
        execution = await self.begin(store, queued("a"))
        assert await store.executions.claim(execution, 0, INCARNATION) == Position(1, 2)
        await other.executions.append(execution, Position(1, 2), NOW, decisions=[queued("b")], new_fence=True)
        for at in (Position(1, 2), Position(1, 3)):
            with pytest.raises(StaleFence):
                await store.executions.append(execution, at, NOW, facts=[Fact("t", finished("1"))])
            with pytest.raises(StaleFence):
                await store.executions.append(execution, at, NOW, decisions=[queued("c")])
        assert await store.executions.claim(execution, 1, INCARNATION) is None
        assert len(await self.agrees(store, execution)) == 3

    async def test_of_two_claims_one_is_granted(self, store: Store, other: Store) -> None:
        execution = await self.begin(store, queued("a"))
        for fence in range(ROUNDS):
            taken = await asyncio.gather(
                *(one.executions.claim(execution, fence, INCARNATION) for one in (store, other))
            )
            assert sorted(map(str, taken)) == ["None", str(Position(fence + 1, 2))]

    async def test_who_decides_for_another_runner_makes_its_present_incarnation_the_owner(
        self, store: Store, other: Store
    ) -> None:
        execution = await self.begin(store)
        await other.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")], own=PRESENT)
        row = await store.executions.row(execution)
        await store.runners.boot(RUNNER, "incarnation-2", SOON)
        await other.executions.append(execution, Position(0, 2), NOW, decisions=[queued("b")], own=PRESENT)
        after = await store.executions.row(execution)
        assert row is not None
        assert after is not None
        assert (row.owner, after.owner) == (INCARNATION, "incarnation-2")
        with pytest.raises(StaleFence):
            await store.executions.claim(execution, 0, INCARNATION)

    async def test_nobody_decides_for_a_runner_that_never_was(self, store: Store) -> None:
        execution, _ = await store.executions.create(new_id(), "runner-never", [started()], NOW)
        with pytest.raises(StaleFence):
            await store.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")], own=PRESENT)

    async def test_a_key_that_both_use_at_once_starts_one_execution(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            once = Idempotency("user-1", f"key {n}", "body")
            first, second = await asyncio.gather(
                *(one.executions.create(new_id(), RUNNER, [started()], NOW, once) for one in (store, other))
            )
            assert first[0] == second[0]
            assert sorted((first[1], second[1])) == [False, True]
            assert len(await self.agrees(store, first[0])) == 1

    async def test_batches_that_lock_the_same_rows_in_opposite_orders_all_get_through(
        self, store: Store, other: Store
    ) -> None:
        names = [await self.begin(store) for _ in range(ROUNDS)]
        for turn in range(2):
            fact = Fact(f"store{turn}", finished(f"store{turn}")), Fact(f"other{turn}", finished(f"other{turn}"))
            await asyncio.gather(
                *(store.executions.append(name, Position(0, 1), NOW, facts=[fact[0]]) for name in names),
                *(other.executions.append(name, Position(0, 1), NOW, facts=[fact[1]]) for name in reversed(names)),
            )
        for name in names:
            assert len(await self.agrees(store, name)) == 5

    async def test_an_execution_that_both_purge_counts_once_for_its_person(self, store: Store, other: Store) -> None:
        usage = Usage(1, 2, 3, 4)
        for _ in range(5):
            execution = await self.begin(store, *called(1, usage), creator_id="ann")
            await asyncio.gather(*(one.executions.purge(execution) for one in (store, other, store)))
            with pytest.raises(NotFound):
                await other.executions.append(execution, Position(0, 1), NOW, decisions=[queued("a")])
        assert (await store.spending.by_person(DAY))["ann"] == 50


class SharedSignals(TwoProcesses):
    """What one process commits, those who watch in another one hear."""

    async def test_commits_of_another_process_are_heard(self, store: Store, other: Store) -> None:
        one, two, place = await self.begin(store), await self.begin(store), environment()
        async with other.executions.watch() as everything, other.executions.watch(one) as only_one:
            heard = set[str]()
            await store.executions.append(one, Position(0, 1), NOW, decisions=[queued("a")])
            await store.executions.append(two, Position(0, 1), NOW, decisions=[queued("a")])
            await store.environments.save(place)
            async with asyncio.timeout(PATIENCE):
                while heard != {one, two, place.id}:
                    heard |= await everything.changed(PATIENCE)
            assert await only_one.changed(PATIENCE) == {one}

    async def test_what_was_not_committed_is_not_heard(self, store: Store, other: Store) -> None:
        async with other.executions.watch() as watch:
            one, last = await self.begin(store), await self.begin(store)
            heard = set[str]()
            while last not in heard:
                heard |= await watch.changed(PATIENCE)
            with pytest.raises(Conflict):
                await store.executions.append(one, Position(0, 7), NOW, decisions=[queued("a")])
            await store.executions.append(last, Position(0, 1), NOW, decisions=[queued("a")])
            assert await watch.changed(PATIENCE) == {last}

    async def test_nobody_hears_his_own_process_twice(self, store: Store, other: Store) -> None:
        mine, last = await self.begin(store), await self.begin(store)
        async with store.executions.watch() as watch:
            await store.executions.append(mine, Position(0, 1), NOW, decisions=[queued("a")])
            assert await watch.changed(PATIENCE) == {mine}
            await other.executions.append(last, Position(0, 1), NOW, decisions=[queued("a")])
            assert await watch.changed(PATIENCE) == {last}

    async def test_a_commit_of_very_many_is_heard_whole(self, store: Store, other: Store) -> None:
        async with other.executions.watch() as watch:
            made = await asyncio.gather(
                *(store.executions.create(new_id(), RUNNER, [started()], NOW) for _ in range(600))
            )
            heard = set[str]()
            async with asyncio.timeout(PATIENCE):
                while not heard >= {name for name, _ in made}:
                    heard |= await watch.changed(PATIENCE)

    async def test_a_follower_elsewhere_sees_the_last_event(self, store: Store, other: Store) -> None:
        execution = await self.begin(store)

        async def follow() -> int:
            async with other.executions.watch(execution) as watch:
                seq = 0
                while seq <= ROUNDS:
                    seq += len(await other.executions.read(execution, seq))
                    if seq <= ROUNDS:
                        assert await watch.changed(PATIENCE)
                return seq

        follower = asyncio.create_task(follow())
        for n in range(ROUNDS):
            await store.executions.append(execution, Position(0, 1), NOW, facts=[Fact(f"t{n}", finished(str(n)))])
        assert await follower == ROUNDS + 1


class SharedBooks(TwoProcesses):
    """What may be there once is there once, whoever writes it; the other one gets the error that it always gets."""

    async def test_of_two_writers_of_a_new_environment_or_of_one_version_one_wins(
        self, store: Store, other: Store
    ) -> None:
        for _ in range(ROUNDS):
            row = environment()
            for _ in range(2):
                answers = await asyncio.gather(
                    *(one.environments.save(row) for one in (store, other)), return_exceptions=True
                )
                assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "EnvironmentRow"]
                row = next(answer for answer in answers if not isinstance(answer, BaseException))

    async def test_a_use_and_a_removal_at_once_leave_no_use_behind(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            row = await store.environments.save(environment())
            await asyncio.gather(
                store.environments.use(row.id, f"e{n}", NOW),
                other.environments.remove(row.id),
                return_exceptions=True,
            )
            assert await store.environments.users(row.id) == ()

    async def test_lines_of_one_log_from_both_are_all_there_in_an_order(self, store: Store, other: Store) -> None:
        row = await store.environments.save(environment())
        said = [f"{n}\n" for n in range(ROUNDS)]
        await asyncio.gather(
            *(
                one.environment_logs.say(row.id, line, NOW)
                for line, one in zip(said, [store, other] * 20, strict=False)
            ),
            *(one.environment_logs.output(row.id, "step", 3, "abc", NOW) for one in (store, other)),
        )
        entries = await store.environment_logs.read(row.id)
        assert [entry.seq for entry in entries] == list(range(1, ROUNDS + 2))
        assert sorted(entry.text for entry in entries) == sorted([*said, "abc"])

    async def test_a_command_belongs_to_one_prompt(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            answers = await asyncio.gather(
                *(one.prompts.save(prompt(command=f"do-{n}"), new=True) for one in (store, other)),
                return_exceptions=True,
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyExists", "NoneType"]

    async def test_a_subject_has_one_credential_for_a_host(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            answers = await asyncio.gather(
                *(one.host_tokens.save(host_token(f"h{n}.example"), new=True) for one in (store, other)),
                return_exceptions=True,
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyExists", "NoneType"]

    async def test_a_host_that_both_allow_is_allowed_by_one(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            host = ClassHost("class", f"h{n}.example", "ann", NOW)
            added = await asyncio.gather(*(one.class_hosts.add(host) for one in (store, other)))
            assert sorted(added) == [False, True]

    async def test_of_two_changes_of_the_policy_one_is_asked_to_look_again(self, store: Store, other: Store) -> None:
        by = Principal(new_id(), "user", "Ann")
        for version in range(ROUNDS):
            answers = await asyncio.gather(
                *(one.policies.adopt(Policy(), version, NOW, by) for one in (store, other)), return_exceptions=True
            )
            assert sorted(type(answer).__name__ for answer in answers) == ["Adopted", "FailedPrecondition"]
        assert (await other.policies.current()).version == ROUNDS

    async def test_what_all_must_agree_on_is_what_the_first_one_said(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            said = await asyncio.gather(
                *(one.installation.agreed(f"key {n}", name) for one, name in ((store, "a"), (other, "b")))
            )
            assert said in (["a", "a"], ["b", "b"])

    async def test_bytes_that_one_keeps_the_other_reads_and_spares(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            await store.blobs.put("old", b"same")
            name, _ = await asyncio.gather(store.blobs.put(f"new-{n}", b"same"), other.blobs.purge("old"))
            assert await other.blobs.get(name) == b"same"
            await other.blobs.purge(f"new-{n}")
            assert await store.blobs.get(name) is None

    async def test_of_two_first_boots_of_a_runner_the_last_one_counts(self, store: Store, other: Store) -> None:
        for n in range(ROUNDS):
            before = await asyncio.gather(
                *(one.runners.boot(f"r{n}", name, SOON) for one, name in ((store, "a"), (other, "b")))
            )
            last = await store.runners.incarnation_of(f"r{n}")
            assert {one.incarnation if one else None for one in before} == {None, {"a": "b", "b": "a"}[last or ""]}


SHARING: tuple[type[TwoProcesses], ...] = (SharedLog, SharedSignals, SharedBooks)
