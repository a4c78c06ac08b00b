"""How many there are of what: counts by phase, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hostler.store.reading import Readers
from hostler.store.schema import environment, execution

EXECUTIONS = select(execution.c.phase, func.count()).group_by(execution.c.phase)
"""Read off an index alone, so executions that are being removed count until they are gone."""
ENVIRONMENTS = select(environment.c.phase, func.count()).group_by(environment.c.phase)


@dataclass(frozen=True, slots=True)
class Counts:
    """Executions and environments of the whole installation, by phase."""

    executions: Mapping[str, int]
    environments: Mapping[str, int]


class StoredFigures:
    """Counts."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def phases(self) -> Counts:
        """Return the counts."""

        def read(connection: Connection) -> Counts:
            executions = {row[0]: int(row[1]) for row in connection.execute(EXECUTIONS)}
            return Counts(executions, {row[0]: int(row[1]) for row in connection.execute(ENVIRONMENTS)})

        return await self._readers.do(read)
