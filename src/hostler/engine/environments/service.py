"""The front of environments: what the API, the engine's effects and the wiring ask for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from hostler.core.ambient import Ambient
from hostler.core.desk import EnvironmentChange, EnvironmentClass, NewEnvironment
from hostler.core.egress import ClassHosts
from hostler.core.environment_log import EnvironmentLogs, LogEntry
from hostler.core.errors import (
    EnvironmentFailed,
    FailedPrecondition,
    MachineLost,
    NotFound,
)
from hostler.core.kept import WorkKept
from hostler.core.machines import FileProblem, Machine, Patch
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Executions, Principal
from hostler.core.providers import EnvSpec, Handle, Provider
from hostler.core.redaction import Redactor
from hostler.core.vault import Vault
from hostler.engine.effects import Prepared
from hostler.engine.environments.hosts import Hosts, Report
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.lives import Lives
from hostler.engine.environments.making import Bring, Hooks, MachineOf, Maker
from hostler.engine.environments.rows import LEAVING, Ledger
from hostler.engine.environments.shape import Shapes, first_row
from hostler.engine.environments.skills import skills_in
from hostler.engine.environments.upkeep import TOUCH, Upkeep
from hostler.environments.supervisor import landlock
from hostler.projections.environments import setup_failures
from hostler.projections.status import stamp

log = structlog.get_logger(__name__)

INSTRUCTIONS = 64 << 10
"""Bytes of AGENTS.md that are read."""


Alone = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Keeper(Protocol):
    """Keeps work outside its environment."""

    async def keep(self, environment: str, execution: str, turn: int, alone: Alone) -> WorkKept:
        """Keep the work of a turn; raises EnvironmentError_ with the reason when it cannot be kept."""
        ...

    async def forget(self, execution: str) -> None:
        """Keep nothing of an execution any more."""
        ...


Admit = Callable[[NewEnvironment, Principal], Awaitable[NewEnvironment]]


async def _held_elsewhere(_: str, __: str) -> None:
    raise FailedPrecondition("another runner holds the environment", field="environment_id")


async def _anything(new: NewEnvironment, _: Principal) -> NewEnvironment:
    """Let every environment be made as it is."""
    return new


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
        *,
        logs: EnvironmentLogs,
        vault: Vault,
    ) -> None:
        self.keeper: Keeper | None = None
        """Keeps work after turns; without one, none is kept."""
        self.admit: Admit = _anything
        """Refuses an environment that may not be made."""
        self.works: Callable[[str], bool] = lambda _: False
        """Says whether an execution is at work now."""
        self.elsewhere: Callable[[str, str], Awaitable[None]] = _held_elsewhere
        """Refuses what only the holder can do with an environment, by the runner that holds it."""
        self._runner = runner
        self._rows = rows
        self._provider = provider
        self._ambient = ambient
        self._redactor = redactor
        self._logs = logs
        self._vault = vault
        self._ledger = Ledger(rows, ambient)
        self._shapes = Shapes(classes, allow, private)
        self._journal = Journal(logs, redactor, ambient)
        self._maker = Maker(
            self._ledger, provider, machine_of, bring, self._shapes, self._journal, vault, ambient, redactor
        )
        self._lives = Lives(self._ledger, self._maker, self._journal)
        self._prepared: dict[str, Machine] = {}
        """The insides of environments in use: a handle is given once, so that no step needs to read the row."""
        self._upkeep = Upkeep(
            runner,
            self._ledger,
            provider,
            vault,
            self._shapes,
            self._journal,
            self._lives,
            ambient,
            redactor,
            lambda user: self.works(user),
        )

    def follow(self, hooks: Hooks) -> None:
        """Have somebody told at turns of environments' lives, after those who came before."""
        self._maker.hooks.append(hooks)

    def hosts(self, class_hosts: ClassHosts, executions: Executions, report: Report) -> Hosts:
        """Return what allows hosts for these environments."""
        return Hosts(
            self._runner, self._rows, class_hosts, executions, self._shapes, self._journal, report, self._ambient
        )

    # --- rows ---------------------------------------------------------------------------------------------------

    def rules(self, allow: Sequence[str], private: Sequence[str]) -> None:
        """Take other rules of the network, for environments that start from now on."""
        self._shapes.become(allow, private)

    async def write(self, environment: str, new: NewEnvironment, creator: Principal, *, owner: str = "") -> None:
        """Write the row of a new environment; nothing is made yet."""
        if new.class_id not in self._shapes.classes:
            raise NotFound("there is no such environment class", field="environment_class_id")
        new = await self.admit(new, creator)
        if new.secrets:
            self._redactor.add(one.value for one in new.secrets)
            await self._vault.put(environment, {one.name: one.value for one in new.secrets})
        now = self._ambient.now()
        await self._rows.save(first_row(environment, self._runner, new, creator, owner, now))

    async def forget(self, environment: str) -> None:
        """Take back a row that was just written."""
        if environment:
            await self._rows.remove(environment)
            await self._vault.remove(environment)

    async def get(self, environment: str) -> EnvironmentRow:
        """Return an environment, also one that is being deleted, until it is gone."""
        return await self._ledger.get(environment)

    async def _here(self, environment: str) -> None:
        """Raise Unavailable or FailedPrecondition when another runner holds the environment."""
        row = await self._rows.get(environment)
        if row is not None and row.runner != self._runner:
            await self.elsewhere(row.runner, f"environment {environment}")

    async def usable(self, environment: str) -> EnvironmentRow:
        """Return an environment that an execution may use."""
        row = await self._rows.get(environment)
        if row is None:
            raise NotFound("there is no such environment", field="code_context.environment_id")
        if row.phase in LEAVING:
            raise FailedPrecondition("the environment is being deleted", field="code_context.environment_id")
        await self._here(environment)
        return row

    async def revivable(self, environment: str) -> None:
        """Raise FailedPrecondition when an environment can never be brought back."""
        row = await self._rows.get(environment)
        if row is None or row.phase in LEAVING:
            raise FailedPrecondition("the execution's environment was deleted and cannot be brought back")
        if row.runner == self._runner and await self._maker.lost(row):
            raise FailedPrecondition("the files of the execution's environment are not on this machine any more")

    async def use(self, environment: str, execution: str) -> None:
        """Note that an execution uses an environment."""
        await self._rows.use(environment, execution, self._ambient.now())

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return the executions that use an environment."""
        return await self._rows.users(environment)

    # --- what effects need --------------------------------------------------------------------------------------

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        """Make or find the environment and admit the execution."""
        before = await self._rows.get(environment)
        row = await self._lives.up(environment)
        machine = self._maker.machine(row)
        overfull = str(before.status.get("overfull", "")) if before else ""
        incarnation = await machine.register(execution, fence)
        self._prepared[environment] = machine
        status = row.status
        return Prepared(
            incarnation,
            str(status.get("base", "")),
            (
                *status.get("notes", ()),
                *([f"the environment was {overfull}"] if overfull else ()),
                *setup_failures(status),
            ),
            await _instructions(machine),
            await skills_in(machine),
            landlock.enough(),
        )

    async def machine_for(self, environment: str) -> Machine:
        """Return the inside of an environment that was prepared."""
        if known := self._prepared.get(environment):
            return known
        row = await self._rows.get(environment)
        if row is None or row.handle is None:
            raise MachineLost("the environment is gone")
        return self._maker.machine(row)

    async def phase(self, environment: str) -> tuple[str, str]:
        """Return the phase of an environment, "deleted" where there is none, and why it failed, if it did."""
        row = await self._rows.get(environment)
        return (row.phase, str(row.status.get("failure", ""))) if row is not None else ("deleted", "")

    async def rebuild(self, environment: str, name: str) -> Sequence[str]:
        """Run the lifecycle commands of devcontainer.json once under this name; return what went wrong."""
        return await self._lives.rebuild(environment, name)

    async def kill_group(self, environment: str, execution: str, fence: int) -> None:
        """End every process of the execution; an environment that does not run has none."""
        row = await self._rows.get(environment)
        if row is None or row.handle is None:
            return
        machine = self._maker.machine(row)
        try:
            await machine.kill_group(execution, fence)
        except MachineLost:
            handle = Handle.from_json(row.handle)
            if (await self._provider.observe(handle)).state == "running":
                # What is to be killed may hold the supervisor up; starting replaces one that does not answer.
                await self._provider.start(handle)
                await machine.kill_group(execution, fence)

    async def keep(self, environment: str, execution: str, turn: int) -> WorkKept:
        """Keep the work of a turn outside."""
        if self.keeper is None:
            raise EnvironmentFailed("work is not kept on this server")
        return await self.keeper.keep(environment, execution, turn, self._lives.work.alone)

    async def forget_work(self, execution: str) -> None:
        """Keep nothing of an execution's work any more."""
        if self.keeper is not None:
            await self.keeper.forget(execution)

    async def release(self, environment: str, execution: str, *, owned: bool) -> None:
        """Give the environment up; one that was made for an execution goes with its last user."""
        self._prepared.pop(environment, None)
        await self._rows.release(environment, execution)
        row = await self._rows.get(environment)
        if row is not None and (owned or row.owner_execution) and not await self._rows.users(environment):
            await self._lives.remove(environment)

    # --- the desk -----------------------------------------------------------------------------------------------

    async def create(self, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write an environment and begin to make it."""
        environment = self._ambient.new_id()
        await self.write(environment, new, creator)
        if new.running:
            self._lives.begin(environment)
        return await self.get(environment)

    async def made_for(self, environment: str, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write an environment under an id that the caller chose, and begin to make it; a repeat changes nothing."""
        if await self._rows.get(environment) is None:
            await self.write(environment, new, creator)
            self._lives.begin(environment)
        return await self.get(environment)

    async def start(self, environment: str) -> EnvironmentRow:
        """Bring a stopped environment back."""
        await self._here(environment)
        row = await self._ledger.staying(environment)
        if row.phase in ("stopped", "stopping"):
            await self._ledger.change(environment, phase="starting", status={"failure": "", "timed_out": ""})
        if row.phase != "running":
            self._lives.begin(environment)
        return await self.get(environment)

    async def stop(self, environment: str) -> EnvironmentRow:
        """End every process of the environment and keep its files."""
        await self._here(environment)
        await self._ledger.staying(environment)
        if busy := [user for user in await self._rows.users(environment) if self.works(user)]:
            raise FailedPrecondition(f"agent execution {busy[0]} works in the environment; stop it first")
        return await self._lives.stop(environment, "stopped")

    async def delete(self, environment: str, *, force: bool) -> None:
        """Remove the environment."""
        await self._here(environment)
        row = await self.get(environment)
        held = row.phase not in ("stopped", "deleting") and not force
        if held and (users := await self._rows.users(environment)):
            reason = f"{len(users)} agent execution(s) use the environment; stop it first, delete them or set force"
            raise FailedPrecondition(reason, field="force")
        self._prepared.pop(environment, None)
        await self._lives.remove(environment)

    async def update(self, environment: str, change: EnvironmentChange) -> EnvironmentRow:
        """Change an environment."""
        await self._here(environment)
        row = await self._ledger.staying(environment)
        moved = change.class_id is not None and change.class_id != row.class_id
        if change.class_id is not None and change.class_id not in self._shapes.classes:
            raise NotFound("there is no such environment class", field="spec.machine.class")
        if moved and row.phase != "stopped":
            raise FailedPrecondition("stop the environment first to change its class", field="spec.machine.class")
        request = row.spec.get("request", {})
        spec: dict[str, Any] = {}
        if change.request is not None:
            spec["request"] = {**request, "spec": {**request.get("spec", {}), **change.request}}
        if change.idle_seconds is not None:
            spec["idle"] = change.idle_seconds
        if change.variables is not None:
            spec["variables"] = {**row.spec.get("variables", {}), **change.variables}
        raised = {"spec_version": int(row.status.get("spec_version", 1)) + 1} if spec or moved else {}
        changed = await self._ledger.change(
            environment,
            name=change.name,
            class_id=change.class_id,
            spec=spec,
            status=raised,
            only_in=("stopped",) if moved else (),
        )
        if moved:
            await self._journal.say(environment, f"its class is now {self._shapes.classes[changed.class_id].name}")
        return changed

    async def archive(self, environment: str, *, archived: bool) -> EnvironmentRow:
        """Put an environment into the archive, or take it out again."""
        await self._here(environment)
        row = await self._ledger.staying(environment)
        if bool(row.status.get("archived_at")) == archived:
            return row
        if not archived:
            return await self._ledger.change(environment, status={"archived_at": ""})
        await self.stop(environment)
        return await self._ledger.change(environment, status={"archived_at": stamp(self._ambient.now())})

    async def active(self, environment: str, source: str) -> None:
        """Note that somebody is at work in an environment."""
        await self._here(environment)
        row = await self._ledger.staying(environment)
        if row.phase in ("stopping", "stopped"):
            raise FailedPrecondition(f"the environment is {row.phase}; start it first", field="environment_id")
        signal = {"source": self._redactor.text(source), "timestamp": stamp(self._ambient.now())}
        await self._ledger.change(environment, status={"activity": signal}, used=True)

    async def machine(self, environment: str) -> Machine:
        """Return the inside of a running environment; it is started when stopped, and counts as used."""
        await self._here(environment)
        row = await self._ledger.staying(environment)
        try:
            if row.phase != "running" or self._upkeep.idle(row) > TOUCH or not await self._runs(row):
                row = await self._lives.up(environment)
            return self._maker.machine(row)
        except EnvironmentFailed as problem:
            raise FailedPrecondition(problem.message) from None

    async def _runs(self, row: EnvironmentRow) -> bool:
        """Return whether the life of an environment that its row tells of is the one that the world shows."""
        observed = await self._provider.observe(Handle.from_json(row.handle or {}))
        return observed.state == "running" and observed.incarnation == row.status.get("incarnation")

    async def diff(self, environment: str) -> Patch:
        """Return what has changed in the workspace since it was made."""
        await self._here(environment)
        machine = await self.machine(environment)
        row = await self.get(environment)
        try:
            return await machine.git_diff(str(row.status.get("base", "")) or None)
        except FileProblem as problem:
            raise FailedPrecondition(problem.message) from None

    async def log(self, environment: str, after: int = 0, limit: int = 1000) -> Sequence[LogEntry]:
        """Return what happened in an environment, behind a seq."""
        await self.get(environment)
        return await self._logs.read(environment, after, limit)

    def protections(self, row: EnvironmentRow) -> Sequence[Mapping[str, Any]]:
        """Return which limits hold in an environment, and by which means."""
        return tuple(row.status.get("protections", ()))

    def spec(self, row: EnvironmentRow) -> EnvSpec:
        """Return what a provider is asked for, but for the values of secrets."""
        return self._shapes.spec(row, {})

    # --- boot and the watch -------------------------------------------------------------------------------------

    async def reconcile(self, exists: Callable[[str], Awaitable[bool]]) -> None:
        """Bring rows and world together after a crash: finish what was begun, end what nobody knows."""
        await self._upkeep.reconcile(exists)

    async def stop_idle(self) -> None:
        """Stop what nobody has used for as long as it may idle, and bring rows up to what the world shows."""
        await self._upkeep.look()

    async def overfull(self, environment: str, said: str) -> None:
        """Stop an environment that takes more of the disk than it may, whoever works in it; its status says why."""
        log.warning("an environment is over its limit of disk", environment=environment)

        why = {"failure": said, "overfull": said}

        async def stop(one: str) -> None:
            await self._ledger.change(one, status=why, quiet=True)
            await self._lives.stop(one, said, why)

        await self._lives.quietly(environment, stop)

    async def settled(self) -> None:
        """Return when no work is in progress."""
        await self._lives.work.settled()

    async def close(self) -> None:
        """Let go of work in progress; the next boot goes on with it."""
        await self._lives.work.close()


async def _instructions(machine: Machine) -> str:
    """Return the repository's AGENTS.md, cut; empty when there is none."""
    try:
        return (await machine.read("AGENTS.md", limit=INSTRUCTIONS)).data.decode(errors="replace")
    except FileProblem:
        return ""
