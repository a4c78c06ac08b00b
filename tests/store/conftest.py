"""Both databases, empty, for every test that asks for one."""

import os
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from hostler.store import Store, open_store
from hostler.testing.postgres import NoPostgres, ThrowAwayPostgres, programs, throw_away_postgres
from hostler.testing.store_suite import FOLD, Opener

NUMBERS = count(1)


@dataclass(frozen=True)
class Home:
    """Where a store keeps its things."""

    url: str
    blobs: Path

    @property
    def driver_url(self) -> str:
        """The URL for looking into the database behind the store's back."""
        return self.url.replace("postgresql://", "postgresql+psycopg://")

    def open(self, **options: Any) -> AbstractAsyncContextManager[Store]:
        options.setdefault("patience", timedelta(seconds=5))
        return open_store(self.url, blobs=self.blobs, fold=FOLD, **options)


@pytest.fixture(scope="session")
def postgres() -> Iterator[ThrowAwayPostgres]:
    try:
        programs()
    except NoPostgres as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))
    with throw_away_postgres() as server:
        yield server


@pytest.fixture
def sqlite_home(tmp_path: Path) -> Home:
    return Home(f"sqlite:///{tmp_path}/hostler.db", tmp_path / "blobs")


@pytest.fixture
def postgres_home(postgres: ThrowAwayPostgres, tmp_path: Path) -> Iterator[Home]:
    schema = f"t{next(NUMBERS)}"
    home = Home(postgres.url(schema), tmp_path / "blobs")
    engine = create_engine(home.driver_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield home
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def home(request: pytest.FixtureRequest) -> Home:
    return request.getfixturevalue(f"{request.param}_home")


@pytest.fixture
def opener(home: Home) -> Opener:
    return home.open
