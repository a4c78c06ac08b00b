"""What model calls cost: kept with the log, summed by day and model, agent, project and execution."""

# ruff: noqa: D102 - the names of the tests say what they show

from datetime import timedelta

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.ports import Position
from hostler.core.spending import DaySum, ExecutionSum, Spent
from hostler.store import Store
from hostler.testing.store_suite.scene import INCARNATION, NOW, RUNNER, Opener, StoreSuite

DAY, NEXT = "2026-03-29", "2026-03-30"
ONE, TWO = Usage(10, 20, 3, 4), Usage(100, 0, 0, 1 << 33)


def called(number: int, usage: Usage, model: str = "m") -> list[ev.Event]:
    """Return the events of a call that was counted."""
    return [ev.ModelCallStarted(f"c{number}", model), ev.ModelReplied(f"c{number}", (), usage, "stop")]


class SpendingSums(StoreSuite):
    """Sums over executions."""

    async def test_calls_are_summed_by_day_model_agent_and_project(self, store: Store) -> None:
        first = await self.begin(store, *called(1, ONE), request={"project": "p"}, agent_id="a")
        await self.begin(store, *called(1, TWO, "n"), *called(2, ONE), agent_id="b")
        tomorrow = NOW + timedelta(days=1)
        await store.executions.append(first, Position(0, 3), tomorrow, decisions=called(2, TWO))
        one, two = Spent(1, ONE), Spent(1, TWO)
        assert await store.spending.daily(DAY, "model") == [
            DaySum(DAY, "m", one + one),
            DaySum(DAY, "n", two),
            DaySum(NEXT, "m", two),
        ]
        assert await store.spending.daily(DAY, "agent") == [
            DaySum(DAY, "a", one),
            DaySum(DAY, "b", one + two),
            DaySum(NEXT, "a", two),
        ]
        assert await store.spending.daily(NEXT, "project") == [DaySum(NEXT, "p", two)]

    async def test_what_was_cut_off_is_summed_apart(self, store: Store) -> None:
        cut = [ae.AgentCallStarted("c", "m", "/v1"), ae.AgentCallCut("c", ONE, "the server restarted")]
        execution = await self.begin(store, *called(1, TWO), *cut)
        [sum_] = await store.spending.daily(DAY, "model")
        assert sum_.spent == Spent(1, TWO, 1, ONE)
        assert await store.spending.top(DAY, 5) == [ExecutionSum(execution, sum_.spent)]

    async def test_the_executions_that_spent_most_come_first(self, store: Store) -> None:
        ids = [await self.begin(store, *called(1, Usage(input=n))) for n in (5, 900, 70)]
        await self.begin(store)
        assert [one.execution for one in await store.spending.top(DAY, 2)] == [ids[1], ids[2]]
        assert await store.spending.top(NEXT, 2) == []

    async def test_a_deleted_execution_is_in_no_sum(self, store: Store) -> None:
        execution = await self.begin(store, *called(1, ONE))
        await store.executions.append(execution, Position(0, 3), NOW, decisions=[ev.Deleted()])
        assert await store.spending.daily(DAY, "model") == []
        await store.executions.purge(execution)
        assert await store.spending.top(DAY, 5) == []

    async def test_sums_go_on_where_another_process_left_them(self, opener: Opener) -> None:
        async with opener() as store:
            await store.runners.boot(RUNNER, INCARNATION, NOW + timedelta(seconds=30))
            execution = await self.begin(store, *called(1, ONE))
        async with opener() as store:
            await store.executions.append(execution, Position(0, 3), NOW, decisions=called(2, TWO))
            assert await store.spending.daily(DAY, "model") == [DaySum(DAY, "m", Spent(2, ONE + TWO))]
