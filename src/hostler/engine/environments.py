"""The life of environments: made, prepared, started again, stopped and removed; what runs is read from the world.

A row says what is wanted of an environment and what is known of its content; whether it runs is asked of its provider.
Work on one environment is done by one task at a time in this process.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import structlog
from pydantic import TypeAdapter

from hostler.core.ambient import Ambient
from hostler.core.desk import EnvironmentClass, NewEnvironment
from hostler.core.errors import (
    Conflict,
    EnvironmentError_,
    EnvironmentFailed,
    FailedPrecondition,
    Fenced,
    HostlerError,
    MachineLost,
    NotFound,
)
from hostler.core.machines import FileProblem, Machine, Patch
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Principal
from hostler.core.providers import EnvSpec, Handle, Limits, NetworkPolicy, Provider, RemoteRepository, Source, Workspace
from hostler.core.redaction import Redactor
from hostler.engine.effects import Prepared
from hostler.environments.content import host_of

log = structlog.get_logger(__name__)

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
TOUCH = 30.0
"""Seconds after which the use of an environment is noted again."""
INSTRUCTIONS = 64 << 10
"""Bytes of AGENTS.md that are read."""

Bring = Callable[[Machine, EnvSpec, int], Awaitable[Workspace]]
"""Brings an environment's content into its workspace; raises EnvironmentFailed.

Repeating it under the same number of tries goes on where it was; after a failure the number is the next one.
"""
MachineOf = Callable[[Handle], Machine]


class Environments:
    """Every environment of this runner."""

    def __init__(
        self,
        runner: str,
        rows: EnvironmentRows,
        provider: Provider,
        machine_of: MachineOf,
        bring: Bring,
        classes: Sequence[EnvironmentClass],
        allow: Sequence[str],
        private: Sequence[str],
        ambient: Ambient,
        redactor: Redactor,
    ) -> None:
        self._redactor = redactor
        self.works: Callable[[str], bool] = lambda _: False
        """Says whether an execution is at work now."""
        self._runner = runner
        self._rows = rows
        self._provider = provider
        self._machine_of = machine_of
        self._bring = bring
        self._classes = {cls.id: cls for cls in classes}
        self._allow = tuple(allow)
        self._private = tuple(private)
        self._ambient = ambient
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- rows ---------------------------------------------------------------------------------------------------

    async def write(self, environment: str, new: NewEnvironment, creator: Principal, *, owner: str = "") -> None:
        """Write the row of a new environment; nothing is made yet."""
        if new.class_id not in self._classes:
            raise NotFound("there is no such environment class", field="environment_class_id")
        now = self._ambient.now()
        spec = {
            "source": SOURCE.dump_python(new.source, mode="json"),
            "kind": type(new.source).__name__,
            "variables": dict(new.variables or {}),
            "request": dict(new.request or {}),
            "project": new.project_id,
            "setup": list(new.setup),
        }
        await self._rows.save(
            EnvironmentRow(
                id=environment,
                runner=self._runner,
                phase="creating",
                version=0,
                class_id=new.class_id,
                name=new.name,
                creator_id=creator.id,
                created_at=now,
                last_used_at=now,
                spec=spec,
                handle=None,
                status={"creator_kind": creator.kind},
                owner_execution=owner,
            )
        )

    async def forget(self, environment: str) -> None:
        """Take back a row that was just written."""
        if environment:
            await self._rows.remove(environment)

    async def get(self, environment: str) -> EnvironmentRow:
        """Return an environment; NotFound when there is none."""
        row = await self._rows.get(environment)
        if row is None or row.phase in ("deleting", "deleted"):
            raise NotFound("there is no such environment", field="environment_id")
        return row

    async def usable(self, environment: str) -> EnvironmentRow:
        """Return an environment that an execution may use."""
        row = await self._rows.get(environment)
        if row is None:
            raise NotFound("there is no such environment", field="code_context.environment_id")
        if row.phase in ("deleting", "deleted"):
            raise FailedPrecondition("the environment is being deleted", field="code_context.environment_id")
        if row.runner != self._runner:
            raise FailedPrecondition("another runner holds the environment", field="code_context.environment_id")
        return row

    async def revivable(self, environment: str) -> None:
        """Raise FailedPrecondition when an environment can never be brought back."""
        row = await self._rows.get(environment)
        if row is None or row.phase in ("deleting", "deleted"):
            raise FailedPrecondition("the execution's environment was deleted and cannot be brought back")

    async def use(self, environment: str, execution: str) -> None:
        """Note that an execution uses an environment."""
        await self._rows.use(environment, execution, self._ambient.now())

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment."""
        return await self._rows.users(environment)

    # --- what effects need --------------------------------------------------------------------------------------

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Make or find the environment and admit the execution."""
        row = await self._up(environment)
        machine = self._machine(row)
        incarnation = await machine.register(execution, fence)
        status = row.status
        return Prepared(
            incarnation,
            str(status.get("base", "")),
            tuple(status.get("notes", ())),
            await _instructions(machine),
        )

    async def machine_for(self, environment: str) -> Machine:
        """Return the inside of an environment that was prepared."""
        row = await self._rows.get(environment)
        if row is None or row.handle is None:
            raise MachineLost("the environment is gone")
        return self._machine(row)

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End every process of the execution; an environment that does not run has none."""
        row = await self._rows.get(environment)
        if row is None or row.handle is None:
            return
        try:
            await self._machine(row).kill_group(execution, fence)
        except MachineLost:
            handle = Handle.from_json(row.handle)
            if (await self._provider.observe(handle)).state == "running":
                # What is to be killed may hold the supervisor up; starting replaces one that does not answer.
                await self._provider.start(handle)
                await self._machine(row).kill_group(execution, fence)

    async def release(self, environment: str, execution: str, *, owned: bool) -> None:
        """Give the environment up; one that was made for an execution goes with its last user."""
        await self._rows.release(environment, execution)
        row = await self._rows.get(environment)
        if row is not None and (owned or row.owner_execution) and not await self._rows.users(environment):
            await self._remove(environment)

    # --- the desk -----------------------------------------------------------------------------------------------

    async def create(self, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write an environment and begin to make it."""
        environment = self._ambient.new_id()
        await self.write(environment, new, creator)
        self._begin(environment)
        return await self.get(environment)

    async def start(self, environment: str) -> EnvironmentRow:
        """Bring a stopped environment back."""
        row = await self.get(environment)
        if row.phase != "running":
            await self._change(environment, phase="starting", status={"failure": ""})
            self._begin(environment)
        return await self.get(environment)

    async def stop(self, environment: str) -> EnvironmentRow:
        """End every process of the environment and keep its files."""
        if busy := [user for user in await self._rows.users(environment) if self.works(user)]:
            raise FailedPrecondition(f"agent execution {busy[0]} works in the environment; stop it first")
        async with self._lock(environment):
            row = await self.get(environment)
            if row.handle is not None:
                await self._change(environment, phase="stopping")
                try:
                    await self._provider.stop(Handle.from_json(row.handle))
                except (EnvironmentError_, OSError):
                    await self._change(environment, phase="running", quiet=True)
                    raise
            await self._change(environment, phase="stopped")
        return await self.get(environment)

    async def delete(self, environment: str, *, force: bool) -> None:
        """Remove the environment."""
        await self.get(environment)
        if not force and (users := await self._rows.users(environment)):
            raise FailedPrecondition(
                f"{len(users)} agent execution(s) use the environment; delete them or set force", field="force"
            )
        await self._remove(environment)

    async def machine(self, environment: str) -> Machine:
        """Return the inside of a running environment; it is started when stopped."""
        await self.get(environment)
        try:
            return self._machine(await self._up(environment))
        except EnvironmentFailed as problem:
            raise FailedPrecondition(problem.message) from None

    async def diff(self, environment: str) -> Patch:
        """Return what has changed in the workspace since it was made."""
        machine = await self.machine(environment)
        row = await self.get(environment)
        try:
            return await machine.git_diff(str(row.status.get("base", "")) or None)
        except FileProblem as problem:
            raise FailedPrecondition(problem.message) from None

    def protections(self, row: EnvironmentRow) -> Sequence[Mapping[str, Any]]:
        """Return which limits hold in an environment, and by which means."""
        return tuple(row.status.get("protections", ()))

    # --- boot ---------------------------------------------------------------------------------------------------

    async def reconcile(self, exists: Callable[[str], Awaitable[bool]]) -> None:
        """Bring rows and world together after a crash: finish deletions, end what nobody knows, note what stopped."""
        known = {row.id: row for row in await self._rows.find(runner=self._runner)}
        async for handle in self._provider.list():
            if handle.environment not in known:
                # A row is written before and removed after its environment, so this is another database's.
                log.warning(
                    "an environment that this database does not know is stopped", environment=handle.environment
                )
                with contextlib.suppress(EnvironmentFailed):
                    await self._provider.stop(handle)
        for row in known.values():
            try:
                await self._reconcile(row, exists)
            except HostlerError as problem:
                log.warning("an environment could not be looked at", environment=row.id, problem=problem.message)

    async def _reconcile(self, row: EnvironmentRow, exists: Callable[[str], Awaitable[bool]]) -> None:
        if row.phase == "deleting" or (row.owner_execution and not await self._wanted_by_any(row, exists)):
            self._spawn(self._remove(row.id))
        elif row.phase == "starting" or (row.phase == "creating" and not row.owner_execution):
            self._begin(row.id)
        elif row.phase in ("running", "stopping") and row.handle is not None:
            observed = await self._provider.observe(Handle.from_json(row.handle))
            if observed.state != "running":
                await self._change(row.id, phase="stopped")
            elif row.phase == "running":
                self._begin(row.id)

    async def _wanted_by_any(self, row: EnvironmentRow, exists: Callable[[str], Awaitable[bool]]) -> bool:
        """Return whether the execution that an environment was made for, or any of its users, is still there."""
        return any([await exists(one) for one in (row.owner_execution, *await self._rows.users(row.id))])

    async def stop_idle(self) -> None:
        """Stop what nobody has used for as long as its class allows."""
        now = self._ambient.now()
        for row in await self._rows.find(runner=self._runner, phases=("running",)):
            cls = self._classes.get(row.class_id)
            idle = (now - row.last_used_at).total_seconds()
            if any(self.works(user) for user in await self._rows.users(row.id)):
                if idle > TOUCH:
                    await self._change(row.id, used=True, quiet=True)
            elif cls is not None and idle > cls.idle_seconds:
                log.info("an idle environment is stopped", environment=row.id, idle_seconds=round(idle))
                try:
                    await self.stop(row.id)
                except (HostlerError, OSError) as problem:
                    log.warning("an idle environment could not be stopped", environment=row.id, problem=str(problem))

    async def settled(self) -> None:
        """Return when no work is in progress."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Let go of work in progress; the next boot goes on with it."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    # --- making -------------------------------------------------------------------------------------------------

    async def _up(self, environment: str) -> EnvironmentRow:
        """Make an environment run, from wherever it is; raises EnvironmentFailed."""
        async with self._lock(environment):
            row = await self._rows.get(environment)
            if row is None or row.phase in ("deleting", "deleted"):
                raise EnvironmentFailed("the environment was deleted")
            try:
                return await self._make(row)
            except Fenced:
                raise
            except EnvironmentError_ as problem:
                failures, message = int(row.status.get("failures", 0)) + 1, self._redactor.text(problem.message)
                await self._change(environment, status={"failure": message, "failures": failures}, quiet=True)
                raise EnvironmentFailed(message) from problem

    async def _make(self, row: EnvironmentRow) -> EnvironmentRow:
        spec = self.spec(row)
        handle = await self._provider.create(spec)
        if row.handle is None:
            row = await self._change(row.id, handle=handle.to_json())
        await self._provider.start(handle)
        machine = self._machine_of(handle)
        status: dict[str, Any] = {"failure": ""}
        if not row.status.get("content"):
            workspace = await self._bring(machine, spec, int(row.status.get("failures", 0)))
            status |= {"content": True, "base": workspace.base or "", "branch": workspace.branch or ""}
            status |= {"notes": [self._redactor.text(note) for note in workspace.notes]}
        observed = await self._provider.observe(handle)
        status |= {"protections": [asdict(p) for p in observed.protections], "incarnation": observed.incarnation or ""}
        return await self._change(row.id, phase="running", status=status, used=True)

    def spec(self, row: EnvironmentRow) -> EnvSpec:
        """Return what a provider is asked for; raises EnvironmentFailed when the class is not configured any more."""
        cls = self._classes.get(row.class_id)
        if cls is None:
            raise EnvironmentFailed(f"the environment class {row.class_id} is not configured any more")
        limits = Limits(
            cpus=cls.cpus, memory_bytes=cls.memory_bytes, disk_bytes=cls.disk_bytes, processes=cls.processes
        )
        kinds = {kind.__name__: kind for kind in Source.__args__}
        source = TypeAdapter(kinds[row.spec["kind"]]).validate_python(row.spec["source"])
        own = (host_of(source.url),) if isinstance(source, RemoteRepository) else ()
        network = NetworkPolicy(allow=(*own, *self._allow, *cls.allow), private=self._private)
        return EnvSpec(row.id, limits, network, dict(row.spec.get("variables", {})), source)

    def _machine(self, row: EnvironmentRow) -> Machine:
        if row.handle is None:
            raise MachineLost("the environment was not made yet")
        return self._machine_of(Handle.from_json(row.handle))

    async def _remove(self, environment: str) -> None:
        """Remove an environment for good; a creation under way ends first, and repeating it is fine."""
        if await self._rows.get(environment) is None:
            return
        with contextlib.suppress(EnvironmentFailed):
            await self._change(environment, phase="deleting")
        async with self._lock(environment):
            row = await self._rows.get(environment)
            if row is None:
                return
            await self._provider.delete(Handle(self._provider.name, environment))
            await self._rows.remove(environment)

    async def _change(
        self,
        environment: str,
        *,
        phase: str | None = None,
        handle: Mapping[str, Any] | None = None,
        status: Mapping[str, Any] | None = None,
        used: bool = False,
        quiet: bool = False,
    ) -> EnvironmentRow:
        """Write a row by compare-and-set; a deletion that came between wins."""
        while True:
            row = await self._rows.get(environment)
            if row is None or (row.phase == "deleting" and phase != "deleting"):
                if row is not None and quiet:
                    return row
                raise EnvironmentFailed("the environment was deleted")
            changed = replace(
                row,
                phase=phase or row.phase,
                handle=handle or row.handle,
                status={**row.status, **(status or {})},
                last_used_at=self._ambient.now() if used else row.last_used_at,
            )
            try:
                return await self._rows.save(changed)
            except Conflict:
                continue

    def _begin(self, environment: str) -> None:
        """Make an environment run in the background; a failure is in its status."""
        self._spawn(self._quietly(environment))

    async def _quietly(self, environment: str) -> None:
        try:
            await self._up(environment)
        except (EnvironmentFailed, Fenced) as problem:
            log.info("an environment could not be made", environment=environment, problem=problem.message)
        except HostlerError:
            log.exception("an environment could not be made", environment=environment)

    def _lock(self, environment: str) -> asyncio.Lock:
        return self._locks.setdefault(environment, asyncio.Lock())

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _instructions(machine: Machine) -> str:
    """Return the repository's AGENTS.md, cut; empty when there is none."""
    try:
        return (await machine.read("AGENTS.md", limit=INSTRUCTIONS)).data.decode(errors="replace")
    except FileProblem:
        return ""
