"""What executions in memory have spent."""

from collections.abc import Mapping, Sequence

from hostler.core.ports import Projection
from hostler.core.spending import DaySum, Dimension, ExecutionSum, Spent
from hostler.testing.memory import MemoryExecutions


class MemorySpending:
    """The sums over executions in memory."""

    def __init__(self, executions: MemoryExecutions) -> None:
        self._executions = executions

    async def daily(self, since: str, by: Dimension, of: str = "") -> Sequence[DaySum]:
        """Return the sums from a day on."""
        sums = dict[tuple[str, str], Spent]()
        for shown in self._executions.projections().values():
            if of and shown.creator_id != of:
                continue
            for (day, model), spent in shown.spent.items():
                name = {"model": model, "agent": shown.agent_id, "project": shown.project_id}[by]
                sums[day, name] = sums.get((day, name), Spent()) + spent
        return [DaySum(day, name, spent) for (day, name), spent in sorted(sums.items()) if day >= since]

    async def top(self, since: str, limit: int, of: str = "") -> Sequence[ExecutionSum]:
        """Return the executions that spent most."""
        every = self._executions.projections().items()
        shown = [(id_, one) for id_, one in every if not of or one.creator_id == of]
        sums = [ExecutionSum(id_, _all(one, since)) for id_, one in shown if any(day >= since for day, _ in one.spent)]
        return sorted(sums, key=_tokens, reverse=True)[:limit]

    async def by_person(self, day: str) -> Mapping[str, int]:
        """Return the tokens of one day by person."""
        sums = dict[str, int]()
        for shown in self._executions.projections().values():
            for (of, _), spent in shown.spent.items():
                if of == day:
                    both = spent.usage + spent.guess
                    sums[shown.creator_id] = sums.get(shown.creator_id, 0) + both.whole_input + both.output
        return sums


def _all(shown: Projection, since: str) -> Spent:
    return sum((spent for (day, _), spent in shown.spent.items() if day >= since), Spent())


def _tokens(one: ExecutionSum) -> tuple[int, str]:
    usage = one.spent.usage
    return usage.whole_input + usage.output, one.execution
