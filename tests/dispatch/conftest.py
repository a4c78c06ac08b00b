"""One Postgres for the module that asks for it."""

import os
from collections.abc import Iterator

import pytest

from hostler.testing.postgres import NoPostgres, ThrowAwayPostgres, programs, throw_away_postgres


@pytest.fixture(scope="package")
def postgres() -> Iterator[ThrowAwayPostgres]:
    try:
        programs()
    except NoPostgres as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
    with throw_away_postgres() as server:
        yield server
