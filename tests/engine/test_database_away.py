"""A database that is away for a moment while an environment is made is no failure of the environment."""

from dataclasses import replace
from typing import Any

import pytest

from hostler.core.errors import Unavailable
from hostler.core.ports import EnvironmentRow
from tests.engine.homes import Home, home_in


class Hiccuping:
    """Rows whose database does not answer at one of the writes."""

    def __init__(self, rows: Any, at: int) -> None:
        self._rows = rows
        self._left = at
        self.missed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def save(self, row: EnvironmentRow) -> EnvironmentRow:
        self._left -= 1
        if self._left == 0:
            self.missed += 1
            raise Unavailable("the database does not answer")
        return await self._rows.save(row)


@pytest.mark.parametrize("at", [2, 3, 4])
async def test_an_environment_comes_up_although_the_database_was_away_for_a_moment(place: Any, at: int):
    async with home_in(place) as home:
        rows = Hiccuping(home.store.environments, at)
        away = Home(place, replace(home.store, environments=rows))
        row = await away.up()
        assert (row.phase, row.status["failure"], rows.missed) == ("running", "", 1)
        await away.environments.delete(row.id, force=True)
        await away.environments.close()
        await away.outside.close()
