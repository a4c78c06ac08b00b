"""The logs of environments, and what is signalled when something about an environment changes."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from dataclasses import replace
from datetime import timedelta

from hostler.core.environment_log import LogEntry
from hostler.store import Store
from hostler.testing.store_suite.library import environment
from hostler.testing.store_suite.scene import NOW, StoreSuite, new_id

STEP = "once/setup-1/1"
PATIENCE = 10.0
"""Seconds until a signal that does not come is missed."""


class EnvironmentLogBook(StoreSuite):
    """Logs of environments."""

    async def test_entries_read_back_in_order_and_from_any_place(self, store: Store) -> None:
        row = await store.environments.save(environment())
        await store.environment_logs.say(row.id, "it begins 😀", NOW)
        await store.environment_logs.output(row.id, STEP, 6, "hello\n", NOW + timedelta(seconds=1))
        entries = await store.environment_logs.read(row.id)
        assert entries == (
            LogEntry(1, NOW, "", "it begins 😀\n"),
            LogEntry(2, NOW + timedelta(seconds=1), STEP, "hello\n"),
        )
        assert await store.environment_logs.read(row.id, after=1) == entries[1:]
        assert await store.environment_logs.read(row.id, limit=1) == entries[:1]
        assert await store.environment_logs.read(new_id()) == ()

    async def test_output_that_is_told_again_is_kept_once(self, store: Store) -> None:
        row = await store.environments.save(environment())
        assert await store.environment_logs.upto(row.id, STEP) == 0
        for _ in range(2):
            await store.environment_logs.output(row.id, STEP, 3, "abc", NOW)
            await store.environment_logs.output(row.id, STEP, 6, "def", NOW)
        await store.environment_logs.output(row.id, "another", 3, "ghi", NOW)
        assert await store.environment_logs.upto(row.id, STEP) == 6
        assert [entry.text for entry in await store.environment_logs.read(row.id)] == ["abc", "def", "ghi"]

    async def test_texts_that_no_column_can_hold_are_made_harmless(self, store: Store) -> None:
        row = await store.environments.save(environment())
        await store.environment_logs.say(row.id, "a\0b\ud800c", NOW)
        (entry,) = await store.environment_logs.read(row.id)
        assert entry.text == "a\N{SYMBOL FOR NULL}b?c\n"

    async def test_a_log_goes_with_its_environment_and_one_that_is_gone_takes_nothing(self, store: Store) -> None:
        row = await store.environments.save(environment())
        await store.environment_logs.say(row.id, "here", NOW)
        await store.environments.remove(row.id)
        assert await store.environment_logs.read(row.id) == ()
        await store.environment_logs.say(row.id, "late", NOW)
        await store.environment_logs.output(row.id, STEP, 1, "x", NOW)
        assert await store.environment_logs.read(row.id) == ()

    async def test_writers_at_once_lose_nothing(self, store: Store) -> None:
        row = await store.environments.save(environment())
        await asyncio.gather(*(store.environment_logs.say(row.id, str(n), NOW) for n in range(20)))
        entries = await store.environment_logs.read(row.id)
        assert [entry.seq for entry in entries] == list(range(1, 21))
        assert {entry.text for entry in entries} == {f"{n}\n" for n in range(20)}


class EnvironmentSignals(StoreSuite):
    """What watchers of everything are told."""

    async def test_every_change_of_an_environment_is_signalled_and_what_changed_nothing_is_not(
        self, store: Store
    ) -> None:
        async with store.executions.watch() as watch:
            row = await store.environments.save(environment())
            assert await watch.changed(PATIENCE) == {row.id}
            row = await store.environments.save(replace(row, phase="running"))
            assert await watch.changed(PATIENCE) == {row.id}
            await store.environments.use(row.id, "execution", NOW)
            assert await watch.changed(PATIENCE) == {row.id}
            await store.environments.release(row.id, "execution")
            assert await watch.changed(PATIENCE) == {row.id}
            await store.environment_logs.say(row.id, "something", NOW)
            assert await watch.changed(PATIENCE) == {row.id}
            await store.environments.use(row.id, "execution", NOW)
            await store.environments.use(row.id, "execution", NOW)
            await store.environments.remove(row.id)
            await store.environments.remove(row.id)
            other = await store.environments.save(environment())
            seen: set[str] = set()
            while other.id not in seen:
                seen |= await watch.changed(PATIENCE)
            assert seen == {row.id, other.id}

    async def test_a_watcher_of_one_environment_hears_of_it_alone(self, store: Store) -> None:
        mine, other = [await store.environments.save(environment()) for _ in range(2)]
        async with store.executions.watch(mine.id) as watch:
            await store.environment_logs.say(other.id, "not for you", NOW)
            await store.environment_logs.say(mine.id, "for you", NOW)
            assert await watch.changed(PATIENCE) == {mine.id}
