"""What model calls cost, summed over executions: by day and model, agent or project, and by execution."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Label, RowMapping, func, select

from hostler.core.conversation import Usage
from hostler.core.spending import DaySum, Dimension, ExecutionSum, Spent
from hostler.store.reading import Readers, Rows
from hostler.store.schema import execution, spent, spent_gone

USAGE = ("input", "cached_input", "cache_creation", "output")
NUMBERS = ("calls", *USAGE, "guessed_calls", *(f"guessed_{name}" for name in USAGE))
TOKENS = (*USAGE, *(f"guessed_{name}" for name in USAGE))
NAMES: Mapping[Dimension, ColumnElement[str]] = {
    "model": spent.c.model,
    "agent": execution.c.agent_id,
    "project": execution.c.project_id,
}


class StoredSpending:
    """The sums."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def daily(self, since: str, by: Dimension, of: str = "") -> Sequence[DaySum]:
        """Return the sums from a day on."""
        name = NAMES[by].label("name")
        statement = _summed(since, of, spent.c.day, name).group_by(spent.c.day, name).order_by(spent.c.day, name)
        return [DaySum(row["day"], row["name"], _spent(row)) for row in await self._rows(statement)]

    async def top(self, since: str, limit: int, of: str = "") -> Sequence[ExecutionSum]:
        """Return the executions that spent most tokens from a day on."""
        tokens = sum((func.sum(spent.c[name]) for name in USAGE[1:]), func.sum(spent.c.input))
        one = spent.c.execution_id
        statement = _summed(since, of, one).group_by(one).order_by(tokens.desc(), one.desc()).limit(limit)
        return [ExecutionSum(row["execution_id"], _spent(row)) for row in await self._rows(statement)]

    async def by_person(self, day: str) -> Mapping[str, int]:
        """Return the tokens of one day by person."""
        tokens = sum((func.sum(spent.c[name]) for name in TOKENS[1:]), func.sum(spent.c[TOKENS[0]])).label("tokens")
        there = select(execution.c.creator_id.label("person"), tokens)
        there = there.join(spent, execution.c.id == spent.c.execution_id).where(spent.c.day == day)
        gone = select(spent_gone.c.person, spent_gone.c.tokens).where(spent_gone.c.day == day)
        sums = dict[str, int]()
        for row in (*await self._rows(there.group_by(execution.c.creator_id)), *await self._rows(gone)):
            sums[row["person"]] = sums.get(row["person"], 0) + int(row["tokens"])
        return sums

    async def _rows(self, statement: Rows) -> Sequence[RowMapping]:
        return await self._readers.do(lambda connection: connection.execute(statement).mappings().all())


def _summed(since: str, of: str, *columns: ColumnElement[str]) -> Rows:
    """Return the SELECT of all numbers of executions (of one person's) that are not deleted, beside some columns."""
    numbers: list[Label[int]] = [func.sum(spent.c[name]).label(name) for name in NUMBERS]
    joined = select(*columns, *numbers).join(execution, execution.c.id == spent.c.execution_id)
    joined = joined.where(spent.c.day >= since, execution.c.deleted_at.is_(None))
    return joined.where(execution.c.creator_id == of) if of else joined


def _spent(found: RowMapping) -> Spent:
    """Return the numbers; a Postgres sum is a Decimal."""
    usage = Usage(*(int(found[name]) for name in USAGE))
    guess = Usage(*(int(found[f"guessed_{name}"]) for name in USAGE))
    return Spent(int(found["calls"]), usage, int(found["guessed_calls"]), guess)
