"""Environments that others use, that are gone, that failed, that were being started."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hostler.config import load
from hostler.core.ambient import SystemAmbient
from hostler.core.desk import NewEnvironment, NewExecution
from hostler.core.errors import AlreadyExists, EnvironmentFailed, NotFound
from hostler.core.events import Agent
from hostler.core.ports import Idempotency
from hostler.core.providers import RemoteRepository, Scratch
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import classes_of
from hostler.engine.environments import Environments
from hostler.environments.registry import Outside
from hostler.models.registry import Registry
from hostler.projections.row import project
from hostler.store.folding import Fold
from hostler.store.opening import open_store
from hostler.store.vault import FileVault
from hostler.testing.stage import SOMEBODY, Stage
from hostler.testing.world import World
from tests.environments.git_server import git, serving

CLASSES = classes_of(load())
REGULAR = CLASSES[0].id


@pytest.fixture
def port(place: Path) -> Iterator[int]:
    (place / "repositories").mkdir()
    with serving(place / "repositories", smart=True) as port:
        yield port


@pytest.fixture
async def environments(place: Path, port: int) -> AsyncIterator[Environments]:
    outside = Outside("none", place / "environments", {})
    private = (f"127.0.0.1:{port}",)
    url = f"sqlite:///{place / 'hostler.db'}"
    async with open_store(url, blobs=place / "blobs", fold=Fold(State(), evolve, project)) as store:
        made = Environments(
            "runner",
            store.environments,
            outside.provider,
            outside.machine,
            outside.bring,
            CLASSES,
            (),
            private,
            SystemAmbient(),
            Redactor(),
            logs=store.environment_logs,
            vault=FileVault(place / "secrets"),
        )
        yield made
        for row in await store.environments.find():
            await made.delete(row.id, force=True)
        await made.close()
        await outside.close()


async def made(environments: Environments, *, owner: str = "", source=None) -> str:
    environment = SystemAmbient().new_id()
    await environments.write(environment, NewEnvironment(REGULAR, source or Scratch()), SOMEBODY, owner=owner)
    return environment


def exists_only(*known: str):
    async def exists(execution: str) -> bool:
        return execution in known

    return exists


async def test_an_execution_whose_environment_was_removed_by_hand_can_be_purged(environments: Environments):
    environment = await made(environments, owner="mine")
    await environments.use(environment, "mine")
    await environments.delete(environment, force=True)
    await environments.release(environment, "mine", owned=True)


async def test_a_purge_that_died_after_the_environment_went_can_be_repeated(environments: Environments):
    environment = await made(environments, owner="mine")
    await environments.use(environment, "mine")
    await environments.release(environment, "mine", owned=True)
    await environments.release(environment, "mine", owned=True)


async def test_a_boot_does_not_remove_an_environment_that_another_execution_uses(environments: Environments):
    environment = await made(environments, owner="first")
    await environments.use(environment, "first")
    await environments.use(environment, "second")
    await environments.release(environment, "first", owned=True)  # the first is deleted; the second goes on
    assert (await environments.get(environment)).id == environment
    await environments.reconcile(exists_only("second"))
    await environments.settled()
    assert (await environments.get(environment)).id == environment


async def test_the_last_user_of_an_environment_takes_it_away_whoever_it_was_made_for(environments: Environments):
    environment = await made(environments, owner="first")
    await environments.use(environment, "first")
    await environments.use(environment, "second")
    await environments.release(environment, "first", owned=True)
    await environments.release(environment, "second", owned=False)
    with pytest.raises(NotFound):  # else nobody removes it while the server lives
        await environments.get(environment)


async def test_a_clone_that_failed_once_is_tried_again(environments: Environments, place: Path, port: int):
    source = RemoteRepository(f"http://127.0.0.1:{port}/original/.git")
    environment = await made(environments, source=source)
    with pytest.raises(EnvironmentFailed):
        await environments.prepare(environment, "execution", 1)
    original = place / "repositories" / "original"
    original.mkdir()
    git(original, "init", "--quiet")
    (original / "a").write_text("a")
    git(original, "add", "a")
    git(original, "commit", "--quiet", "-m", "it is there now")
    ready = await environments.prepare(environment, "execution", 2)
    assert len(ready.base_commit) == 40


async def test_an_owned_environment_that_was_being_started_by_hand_at_a_crash_is_started(environments: Environments):
    environment = await made(environments, owner="mine")
    await environments.use(environment, "mine")
    await environments.prepare(environment, "mine", 1)
    await environments.stop(environment)
    await environments._ledger.change(environment, phase="starting")
    await environments.reconcile(exists_only("mine"))
    await environments.settled()
    assert (await environments.get(environment)).phase != "starting", "it says 'starting' for ever"


class Written(World):
    """A world that remembers which environments were written and taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: set[str] = set()

    async def write(self, environment: str, new: NewEnvironment, creator, *, owner: str = "") -> None:
        self.rows.add(environment)

    async def forget(self, environment: str) -> None:
        self.rows.discard(environment)


async def test_a_refused_start_leaves_no_environment_behind():
    stage = Stage(Registry({}), world=Written())
    server = await stage.boot()
    agent = Agent("agent", "stage", "builtin", "scripted:demo")

    def new(body: str) -> NewExecution:
        once = Idempotency(SOMEBODY.id, "key", body)
        return NewExecution({}, agent, NewEnvironment(REGULAR, Scratch()), SOMEBODY, "", once=once)

    await server.desk.start(new("one"))
    before = set(stage.world.rows)
    with pytest.raises(AlreadyExists):
        await server.desk.start(new("another"))
    await stage.kill()
    assert stage.world.rows == before
