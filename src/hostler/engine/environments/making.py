"""Brings one environment up from wherever it is: made, started, filled, set up. Every step may be repeated."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Protocol

import structlog

from hostler.core.ambient import Ambient
from hostler.core.errors import (
    EnvironmentError_,
    EnvironmentFailed,
    Fenced,
    HostlerError,
    MachineLost,
    NotAuthenticated,
    Unavailable,
)
from hostler.core.machines import Machine, Operation
from hostler.core.ports import EnvironmentRow
from hostler.core.providers import EnvSpec, Handle, KeptSource, LocalRepository, Provider, RemoteRepository, Workspace
from hostler.core.redaction import Redactor
from hostler.core.vault import Vault
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.rows import GONE, LEAVING, Ledger
from hostler.engine.environments.setup import Setup, Site
from hostler.engine.environments.shape import Shapes, devcontainer_of, source_of
from hostler.projections.status import stamp

log = structlog.get_logger(__name__)

TRIES, PAUSE = 60, timedelta(seconds=1)
"""How often it is tried to make an environment while the database does not answer, and how long is waited between."""

Bring = Callable[[Machine, EnvSpec, int], Awaitable[Workspace]]
"""Brings an environment's content into its workspace; raises EnvironmentFailed.

Repeating it under the same number of tries goes on where it was; after a failure the number is the next one.
"""
MachineOf = Callable[[Handle], Machine]


class Hooks(Protocol):
    """What others do at turns of an environment's life; each may be called again after a crash."""

    async def filled(self, row: EnvironmentRow, machine: Machine) -> None:
        """Follow the content, before any setup command runs."""
        ...

    async def ready(self, row: EnvironmentRow, machine: Machine) -> None:
        """Follow the setup commands, when the environment has come up with content and setup for the first time."""
        ...

    async def leaving(self, row: EnvironmentRow) -> None:
        """Precede the removal of an environment, which may be stopped; what it raises keeps nothing from going."""
        ...


class Maker:
    """Makes environments run."""

    def __init__(
        self,
        ledger: Ledger,
        provider: Provider,
        machine_of: MachineOf,
        bring: Bring,
        shapes: Shapes,
        journal: Journal,
        vault: Vault,
        ambient: Ambient,
        redactor: Redactor,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._machine_of = machine_of
        self._bring = bring
        self._shapes = shapes
        self._journal = journal
        self._vault = vault
        self._ambient = ambient
        self._redactor = redactor
        self._setup = Setup(ledger, journal)
        self.hooks: list[Hooks] = []

    def machine(self, row: EnvironmentRow) -> Machine:
        """Return the inside of an environment that was made; raises MachineLost."""
        if row.handle is None:
            raise MachineLost("the environment was not made yet")
        return self._machine_of(Handle.from_json(row.handle))

    async def lost(self, row: EnvironmentRow) -> bool:
        """Return whether an environment that had got its content has left nothing in the world."""
        if row.handle is None or not row.status.get("content"):
            return False
        return (await self._provider.observe(Handle.from_json(row.handle))).state == "absent"

    async def up(self, environment: str) -> EnvironmentRow:
        """Make an environment run, from wherever it is; raises EnvironmentFailed with the reason, which is kept.

        While the database does not answer, it is tried again: that is no failure of the environment.
        """
        for left in reversed(range(TRIES)):
            try:
                return await self._up(environment)
            except Unavailable as problem:
                if not left:
                    raise
                log.warning("an environment waits for the database", environment=environment, problem=problem.message)
            await self._ambient.until(self._ambient.now() + PAUSE)
        raise AssertionError("the last try returns or raises")

    async def _up(self, environment: str) -> EnvironmentRow:
        row = await self._ledger.rows.get(environment)
        if row is None or row.phase in LEAVING:
            raise EnvironmentFailed(GONE)
        try:
            return await self._make(row)
        except (Fenced, Unavailable):
            raise
        except HostlerError as problem:
            if not isinstance(problem, EnvironmentError_):
                log.exception("an environment could not be made", environment=environment)
            failed = await self._failed(environment, problem.message)
            if isinstance(problem, NotAuthenticated):
                raise NotAuthenticated(failed.message, problem.url) from problem
            raise failed from problem
        except OSError as problem:
            raise await self._failed(environment, f"the server's machine: {problem.strerror or problem}") from problem
        except Exception as problem:  # A fault of ours; the row must not tell for ever that it is coming up.
            log.exception("an environment could not be made", environment=environment)
            reason = f"it could not be made, by a fault inside Hostler: {type(problem).__name__}"
            raise await self._failed(environment, reason) from problem

    async def _failed(self, environment: str, reason: str) -> EnvironmentFailed:
        """Note a failure, and return it; what did not come up to the end is stopped."""
        failed = EnvironmentFailed(self._redactor.text(reason))
        with contextlib.suppress(EnvironmentError_):
            await self._note_failure(environment, failed.message)
        return failed

    async def _note_failure(self, environment: str, message: str) -> None:
        row = await self._ledger.rows.get(environment)
        if row is None:
            return
        failures = int(row.status.get("failures", 0)) + 1
        await self._ledger.change(environment, status={"failure": message, "failures": failures}, quiet=True)
        await self._journal.say(environment, f"failed: {message}")
        if row.handle is None:
            await self._ledger.change(environment, phase="stopped", quiet=True)
            return
        handle = Handle.from_json(row.handle)
        if row.phase != "running" or not row.status.get("content"):
            await self._provider.stop(handle)
        if (await self._provider.observe(handle)).state != "running":
            await self._ledger.change(environment, phase="stopped", quiet=True)

    async def _make(self, row: EnvironmentRow) -> EnvironmentRow:
        was = row.status.get("incarnation", "")
        row = await self._started(row)
        machine = self.machine(row)
        site = await self._setup.entered(row.id, machine)
        if not row.status.get("content"):
            row = await self._fill(row, machine, site)
            for hooks in self.hooks:
                await hooks.filled(row, machine)
            if devcontainer_of(row).get("variables"):
                row, site = await self._again(row)
        if site.incarnation != was:
            await self._put_files(row, site)
        row = await self._setup.run(row, self._shapes.setup(row), site)
        for hooks in self.hooks if not row.status.get("ready") else ():
            await hooks.ready(row, machine)
        observed = await self._provider.observe(Handle.from_json(row.handle or {}))
        status: dict[str, Any] = {"failure": "", "overfull": "", "ready": True, "timed_out": "", "archived_at": ""}
        status |= {"protections": [asdict(p) for p in observed.protections], "incarnation": observed.incarnation or ""}
        if site.incarnation != was:
            status["started_at"] = stamp(self._ambient.now())
            await self._journal.say(row.id, "the environment runs")
        return await self._ledger.change(row.id, phase="running", status=status, used=True)

    async def _started(self, row: EnvironmentRow) -> EnvironmentRow:
        """Return the row of an environment whose supervisor answers."""
        if await self.lost(row):
            raise EnvironmentFailed("the environment's files are not on this machine any more")
        spec = self._shapes.spec(row, await self._vault.get(row.id) if row.spec.get("secrets") else {})
        handle = await self._provider.create(spec)
        if row.handle is None:
            row = await self._ledger.change(row.id, handle=handle.to_json())
        if row.status.get("hosts") and (await self._provider.observe(handle)).state == "stopped":
            row = await self._ledger.change(row.id, status={"hosts": []})  # It had stopped without us.
        await self._provider.start(handle)
        return row

    async def _again(self, row: EnvironmentRow) -> tuple[EnvironmentRow, Site]:
        """Start the supervisor anew, because variables that the repository asks for are seen from its start on."""
        await self._provider.stop(Handle.from_json(row.handle or {}))
        row = await self._started(row)
        return row, await self._setup.entered(row.id, self.machine(row))

    async def _fill(self, row: EnvironmentRow, machine: Machine, site: Site) -> EnvironmentRow:
        """Bring the content, and read what it wants to be set up with."""
        match source_of(row):
            case RemoteRepository(url=url, ref=ref):
                await self._journal.say(row.id, f"cloning {url}{f' at {ref}' if ref else ''}")
            case LocalRepository(path=path):
                await self._journal.say(row.id, f"bringing in {path}")
            case KeptSource(execution=execution, turn=turn):
                await self._journal.say(row.id, f"what execution {execution} had done by turn {turn} is brought back")
            case _:
                await self._journal.say(row.id, "the environment begins with an empty workspace")
        spec = self._shapes.spec(row, {})
        workspace = await self._bring(machine, spec, int(row.status.get("failures", 0)))
        notes = [self._redactor.text(note) for note in workspace.notes]
        asked = self._redactor.json(await self._setup.read(row, site))
        for note in (*notes, *asked.get("ignored", ()), *([asked["problem"]] if "problem" in asked else [])):
            await self._journal.say(row.id, note)
        status: Mapping[str, Any] = {
            "content": True,
            "base": workspace.base or "",
            "anchor": (workspace.base if workspace.anchor is None else workspace.anchor) or "",
            "branch": workspace.branch or "",
            "notes": notes,
            "devcontainer": asked,
        }
        return await self._ledger.change(row.id, status=status)

    async def rebuild(self, row: EnvironmentRow, name: str) -> Sequence[str]:
        """Read devcontainer.json of a running environment again and run its commands; return what went wrong."""
        site = await self._setup.entered(row.id, self.machine(row))
        asked = self._redactor.json(await self._setup.read(row, site, anew=True))
        row = await self._ledger.change(row.id, status={"devcontainer": asked}, used=True)
        for note in asked.get("ignored", ()):
            await self._journal.say(row.id, note)
        await self._journal.say(row.id, "the lifecycle commands of devcontainer.json are run again")
        failures = await self._setup.again(row, site, name)
        await self._ledger.change(row.id, used=True)
        return failures

    async def _put_files(self, row: EnvironmentRow, site: Site) -> None:
        """Write the secrets that are meant to be files; they are there again after every start."""
        mounted = [one for one in row.spec.get("secrets", ()) if one["path"]]
        values: Mapping[str, str] = await self._vault.get(row.id) if mounted else {}
        for one in mounted:
            if one["name"] not in values:
                raise EnvironmentFailed(f"the value of the secret {one['name']} is not kept on this machine any more")
            operation = Operation(site.group, 1, f"secret/{one['path']}")
            data = values[one["name"]].encode()
            await site.machine.write(operation, one["path"], data, incarnation=site.incarnation, mode=0o600)
        if mounted:
            names = ", ".join(sorted(one["name"] for one in mounted))
            await self._journal.say(row.id, f"secrets were put into files: {names}")

    async def stop(self, row: EnvironmentRow) -> None:
        """End every process of an environment; its phase is left as it was when that fails."""
        if row.handle is not None:
            await self._ledger.change(row.id, phase="stopping")
            try:
                await self._provider.stop(Handle.from_json(row.handle))
            except (EnvironmentError_, OSError):
                await self._ledger.change(row.id, phase=row.phase, quiet=True)
                raise
        await self._ledger.change(row.id, phase="stopped")

    async def delete(self, row: EnvironmentRow) -> None:
        """Leave nothing of an environment."""
        await self._provider.delete(Handle(self._provider.name, row.id))
        await self._vault.remove(row.id)
        await self._ledger.rows.remove(row.id)
