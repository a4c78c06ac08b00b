"""The life of environments, with a real supervisor and a real store."""

import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from hostler.config import load
from hostler.core.ambient import SystemAmbient
from hostler.core.desk import NewEnvironment
from hostler.core.errors import EnvironmentFailed, FailedPrecondition, MachineLost, NotFound
from hostler.core.machines import Command, Exited, Operation
from hostler.core.providers import LocalRepository, RemoteRepository, Scratch
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import classes_of
from hostler.engine.environments import Environments
from hostler.environments import processes
from hostler.environments.registry import Outside
from hostler.projections.row import project
from hostler.store.folding import Fold
from hostler.store.opening import open_store
from hostler.store.vault import FileVault
from hostler.testing.clock import HandClock
from hostler.testing.stage import SOMEBODY
from tests.conftest import ROOT
from tests.server import repository_at

CLASSES = classes_of(load())
REGULAR = CLASSES[0].id


class Later(SystemAmbient):
    """The real world, some time later."""

    ahead = timedelta(0)

    def now(self):
        return super().now() + self.ahead


@pytest.fixture
async def environments(place: Path) -> AsyncIterator[Environments]:
    outside = Outside("none", place / "environments", {})
    ambient = Later()
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
            (),
            ambient,
            Redactor(),
            logs=store.environment_logs,
            vault=FileVault(place / "secrets"),
        )
        made.ambient = ambient  # type: ignore[attr-defined]
        yield made
        for row in await store.environments.find():
            await made.delete(row.id, force=True)
        await made.close()
        await outside.close()


async def made(environments: Environments, source=None) -> str:
    environment = HandClock().new_id()
    await environments.write(environment, NewEnvironment(REGULAR, source or Scratch()), SOMEBODY)
    return environment


async def test_an_environment_is_prepared_twice_to_the_same_incarnation(environments: Environments):
    environment = await made(environments)
    first = await environments.prepare(environment, "execution", 1)
    second = await environments.prepare(environment, "execution", 2)
    assert first.incarnation == second.incarnation
    assert (await environments.get(environment)).phase == "running"


async def test_a_stopped_environment_keeps_its_files_and_starts_again_on_demand(environments: Environments):
    environment = await made(environments)
    ready = await environments.prepare(environment, "execution", 1)
    machine = await environments.machine_for(environment)
    await machine.write(Operation("execution", 1, "w"), "kept", b"here", incarnation=ready.incarnation)
    await environments.stop(environment)
    assert (await environments.get(environment)).phase == "stopped"
    again = await environments.prepare(environment, "execution", 2)
    assert again.incarnation != ready.incarnation
    assert (await (await environments.machine_for(environment)).read("kept")).data == b"here"


async def test_an_idle_environment_is_stopped_and_one_at_work_is_not(environments: Environments):
    environment = await made(environments)
    await environments.prepare(environment, "execution", 1)
    await environments.use(environment, "execution")
    environments.ambient.ahead = timedelta(hours=1)  # type: ignore[attr-defined]
    environments.works = lambda _: True
    await environments.stop_idle()
    assert (await environments.get(environment)).phase == "running"
    environments.works = lambda _: False
    await environments.stop_idle()
    assert (await environments.get(environment)).phase == "running", "it was at work a moment ago"
    environments.ambient.ahead = timedelta(hours=2)  # type: ignore[attr-defined]
    await environments.stop_idle()
    assert (await environments.get(environment)).phase == "stopped"


async def test_an_environment_that_cannot_be_stopped_does_not_keep_others_running_and_is_tried_again(
    environments: Environments, place: Path
):
    first, second = "a", "b"
    for environment in (first, second):
        await environments.write(environment, NewEnvironment(REGULAR, Scratch()), SOMEBODY)
        await environments.prepare(environment, "execution", 1)
    environments.ambient.ahead = timedelta(hours=2)  # type: ignore[attr-defined]
    launch = place / "environments" / first / "launch.json"
    launch.rename(place / "aside")
    launch.mkdir()  # It cannot be read for now, and so nobody knows what to end.
    await environments.stop_idle()
    launch.rmdir()
    (place / "aside").rename(launch)
    assert (await environments.get(second)).phase == "stopped"
    assert (await environments.get(first)).phase == "running"
    await environments.stop_idle()
    assert (await environments.get(first)).phase == "stopped"


async def test_a_supervisor_that_was_frozen_from_inside_does_not_keep_a_stop_from_coming_true(
    environments: Environments, place: Path
):
    environment = await made(environments)
    ready = await environments.prepare(environment, "execution", 1)
    machine = await environments.machine_for(environment)
    daemon = Command(("/bin/sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"))
    ran = await machine.exec(Operation("execution", 1, "daemon"), daemon, incarnation=ready.incarnation)
    process = int(ran.out.head)
    assert processes.started(process) is not None
    launch = json.loads((place / "environments" / environment / "launch.json").read_text())
    os.kill(launch["pid"], signal.SIGSTOP)
    await environments.kill_group(environment, "execution", 2)
    assert processes.started(process) is None


async def test_the_agents_file_of_the_repository_is_read(environments: Environments, wordcount: Path):
    environment = await made(environments, LocalRepository(str(wordcount)))
    ready = await environments.prepare(environment, "execution", 1)
    assert ready.instructions == (wordcount / "AGENTS.md").read_text()
    assert len(ready.base_commit) == 40


async def test_a_diff_shows_what_changed_since_the_beginning_new_files_too(environments: Environments, wordcount: Path):
    environment = await made(environments, LocalRepository(str(wordcount)))
    ready = await environments.prepare(environment, "execution", 1)
    machine = await environments.machine_for(environment)
    line = "echo more >> README.md; echo new > new.txt; git -c user.name=a -c user.email=a@b commit -qam committed"
    operation = Operation("execution", 1, "x")
    done = await machine.exec(operation, Command(("bash", "-c", line)), incarnation=ready.incarnation)
    assert done.outcome == Exited(0)
    patch = (await environments.diff(environment)).data.decode()
    assert "+more" in patch
    assert "new.txt" in patch


async def test_a_repository_that_is_not_there_is_said_plainly_and_can_be_tried_again(
    environments: Environments, place: Path
):
    environment = await made(environments, LocalRepository(str(place / "nowhere")))
    with pytest.raises(EnvironmentFailed, match="nowhere"):
        await environments.prepare(environment, "execution", 1)
    assert "nowhere" in (await environments.get(environment)).status["failure"]
    repository_at(place / "nowhere", ROOT / "examples" / "wordcount")
    again = await environments.prepare(environment, "execution", 2)
    assert len(again.base_commit) == 40
    assert (await environments.get(environment)).status["failure"] == ""


async def test_an_environment_in_use_is_not_deleted_unless_forced(environments: Environments):
    environment = await made(environments)
    await environments.use(environment, "execution")
    with pytest.raises(FailedPrecondition, match="force"):
        await environments.delete(environment, force=False)
    await environments.delete(environment, force=True)
    with pytest.raises(NotFound):
        await environments.get(environment)
    with pytest.raises(FailedPrecondition):
        await environments.revivable(environment)


async def test_a_stopped_environment_is_deleted_whoever_used_it(environments: Environments):
    """The official client's programs stop and then delete, without force."""
    environment = await made(environments)
    await environments.use(environment, "execution")
    await environments.stop(environment)
    await environments.delete(environment, force=False)
    with pytest.raises(NotFound):
        await environments.get(environment)


async def test_a_boot_finishes_deletions_and_forgets_environments_of_executions_that_never_came(
    environments: Environments,
):
    kept, orphan = await made(environments), HandClock()
    orphan.new_id()
    name = orphan.new_id()
    await environments.write(name, NewEnvironment(REGULAR, Scratch()), SOMEBODY, owner="never")

    async def exists(_: str) -> bool:
        return False

    await environments.reconcile(exists)
    await environments.settled()
    with pytest.raises(NotFound):
        await environments.get(name)
    assert (await environments.get(kept)).id == kept


async def test_the_repositorys_own_host_may_be_reached(environments: Environments):
    environment = await made(environments, RemoteRepository("https://git.example.org/a/b"))
    row = await environments.get(environment)
    assert environments.spec(row).network.allow == ("git.example.org:443",)


async def test_an_environment_that_the_database_does_not_know_is_stopped_and_keeps_its_files(
    environments: Environments, place: Path
):
    environment = await made(environments)
    ready = await environments.prepare(environment, "execution", 1)
    machine = await environments.machine_for(environment)
    await machine.write(Operation("execution", 1, "w"), "kept", b"here", incarnation=ready.incarnation)
    await environments.forget(environment)

    async def exists(_: str) -> bool:
        return False

    await environments.reconcile(exists)
    await environments.settled()
    assert [file.read_bytes() for file in (place / "environments").rglob("kept")] == [b"here"]
    with pytest.raises(MachineLost):
        await machine.ping()
