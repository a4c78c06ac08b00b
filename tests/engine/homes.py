"""Environments with real supervisors, a real store and no sandbox, that can be killed and booted again."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from hostler.config import load
from hostler.core.ambient import SystemAmbient
from hostler.core.desk import EnvironmentClass, NewEnvironment
from hostler.core.machines import Command, ExecResult, Operation
from hostler.core.ports import EnvironmentRow
from hostler.core.providers import LocalRepository, Scratch, Source
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.definitions import classes_of
from hostler.engine.environments import Environments
from hostler.environments.registry import Outside
from hostler.projections.row import project
from hostler.store.folding import Fold
from hostler.store.opening import Store, open_store
from hostler.store.vault import FileVault
from hostler.testing.stage import SOMEBODY

CLASSES = classes_of(load())
REGULAR = CLASSES[0].id


class Later(SystemAmbient):
    """The real world, some time later."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


async def nobody(_: str) -> bool:
    """No execution exists."""
    return False


@dataclass
class Home:
    """One data folder and the server over it."""

    place: Path
    store: Store
    classes: Sequence[EnvironmentClass] = CLASSES
    ambient: Later = field(default_factory=Later)
    redactor: Redactor = field(default_factory=Redactor)
    outside: Outside = field(init=False)
    environments: Environments = field(init=False)

    def __post_init__(self) -> None:
        self.boot()

    def boot(self) -> None:
        """Begin a server's life with nothing in memory."""
        self.redactor = Redactor()
        self.outside = Outside("none", self.place / "environments", {})
        self.environments = Environments(
            "runner",
            self.store.environments,
            self.outside.provider,
            self.outside.machine,
            self.outside.bring,
            self.classes,
            (),
            (),
            self.ambient,
            self.redactor,
            logs=self.store.environment_logs,
            vault=FileVault(self.place / "secrets"),
        )

    async def kill(self) -> None:
        """Lose all memory in the middle of everything, and boot again."""
        await self.environments.close()
        await self.outside.close()
        self.boot()

    async def restarted(self) -> None:
        """Kill and reconcile."""
        await self.kill()
        await self.environments.reconcile(nobody)

    async def created(self, source: Source | None = None, **more: object) -> str:
        """Begin an environment."""
        new = replace(NewEnvironment(REGULAR, source or Scratch()), **more)
        return (await self.environments.create(new, SOMEBODY)).id

    async def up(self, source: Source | None = None, **more: object) -> EnvironmentRow:
        """Make an environment to the end."""
        environment = await self.created(source, **more)
        await self.environments.settled()
        return await self.environments.get(environment)

    async def with_container(self, text: str, path: str = ".devcontainer.json", **more: object) -> EnvironmentRow:
        """Make an environment of a repository with a devcontainer.json."""
        return await self.up(self.repository(text, path), **more)

    def repository(self, text: str, path: str = ".devcontainer.json") -> LocalRepository:
        """Return a folder with a devcontainer.json as a repository."""
        from tests.environments.git_server import git

        folder = self.place / "project"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "first")
        return LocalRepository(str(folder))

    async def log(self, environment: str) -> str:
        """Return the environment's whole log."""
        return "".join(entry.text for entry in await self.environments.log(environment))

    async def run(self, environment: str, line: str, operation: str = "x") -> ExecResult:
        """Run a command line as the API does."""
        machine = await self.environments.machine(environment)
        incarnation = await machine.register("test", 1)
        return await machine.exec(
            Operation("test", 1, operation), Command(("/bin/sh", "-c", line)), incarnation=incarnation
        )

    async def said(self, environment: str, line: str, operation: str = "x") -> str:
        """Return what a command line says."""
        return (await self.run(environment, line, operation)).out.head.decode()


@contextlib.asynccontextmanager
async def home_in(place: Path, classes: Sequence[EnvironmentClass] = CLASSES) -> AsyncIterator[Home]:
    """Give a home, and remove all of its environments at the end."""
    url = f"sqlite:///{place / 'hostler.db'}"
    async with open_store(url, blobs=place / "blobs", fold=Fold(State(), evolve, project)) as store:
        home = Home(place, store, classes)
        try:
            yield home
        finally:
            for row in await store.environments.find():
                await home.environments.delete(row.id, force=True)
            await home.environments.close()
            await home.outside.close()
