"""The ports as a caller sees them: every one that leads to executions, environments or projects, behind `Sight`.

Handlers and pages are given these, so that none of them can forget to ask. What works for several callers at once,
such as a shared channel, takes the ports behind them with `unbound`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hostler.api.parts import ApiParts
from hostler.api.sight import EVERYBODY, Sight, creator_of
from hostler.core.commands import Command
from hostler.core.desk import Desk, EnvironmentChange, EnvironmentDesk, Liveness, NewEnvironment, NewExecution, Seen
from hostler.core.egress import Allowed, HostDesk, Until
from hostler.core.environment_log import LogEntry
from hostler.core.errors import NotFound
from hostler.core.events import Recorded
from hostler.core.machines import Machine, Patch
from hostler.core.ports import (
    Blobs,
    EnvironmentRow,
    EnvironmentRows,
    ExecutionQuery,
    Executions,
    OpenBlock,
    Principal,
    Row,
    Watch,
)
from hostler.core.projects import Project, ProjectQuery, Projects, ProjectUse, Usage, User
from hostler.core.spending import DaySum, Dimension, ExecutionSum, SpendingBook
from hostler.core.state import State
from hostler.core.work import WorkDesk, WorkKept


def sighted(parts: ApiParts, sight: Sight) -> ApiParts:
    """Return the parts as the caller of the call that is being answered sees them."""
    return replace(
        parts,
        desk=SightedDesk(parts.desk, sight),
        executions=SightedExecutions(parts.executions, sight),
        environments=SightedEnvironments(parts.environments, sight),
        environment_rows=SightedRows(parts.environment_rows, parts.executions, sight),
        blobs=SightedBlobs(parts.blobs, sight),
        projects=SightedProjects(parts.projects, sight),
        project_use=SightedUse(parts.project_use, parts.projects, sight),
        spending=SightedSpending(parts.spending, sight),
        work=SightedWork(parts.work, sight),
        hosts=SightedHosts(parts.hosts, sight),
    )


def unbound(parts: ApiParts) -> ApiParts:
    """Return parts whose desk and executions are those behind the sight, for what several callers share."""
    desk, executions = parts.desk, parts.executions
    return replace(
        parts,
        desk=desk.behind if isinstance(desk, SightedDesk) else desk,
        executions=executions.behind if isinstance(executions, SightedExecutions) else executions,
    )


@dataclass(frozen=True, slots=True)
class SightedDesk:
    """The engine's front."""

    behind: Desk
    sight: Sight

    async def start(self, new: NewExecution) -> str:
        """Start in an environment that is seen, or in a new one."""
        if isinstance(new.environment, str):
            await self.sight.check_environment(new.environment, field="code_context.environment_id")
        return await self.behind.start(new)

    async def command(self, execution: str, command: Command) -> State:
        """Give a command."""
        await self.sight.check_execution(execution)
        return await self.behind.command(execution, command)

    async def seen(self, execution: str) -> Seen:
        """Return an execution as it is now."""
        seen = await self.behind.seen(execution)
        if not await self.sight.sees(creator_of(seen.row)):
            raise NotFound("there is no such agent execution", field="agent_execution_id")
        return seen

    def liveness(self, row: Row) -> Liveness:
        """Return the truth about a row's owner."""
        return self.behind.liveness(row)

    async def log(self, execution: str, after: int = 0) -> tuple[Recorded, ...]:
        """Return the log."""
        await self.sight.check_execution(execution)
        return await self.behind.log(execution, after)

    def open_blocks(self, execution: str) -> tuple[OpenBlock, ...]:
        """Return what is being said; asked for only after `seen` or `log`."""
        return self.behind.open_blocks(execution)

    def pieces(self, execution: str) -> AsyncIterator[None]:
        """Yield whenever what is being said has grown."""
        return self.behind.pieces(execution)


class SightedExecutions:
    """The log and the rows, to be read; the API writes them through the desk only."""

    def __init__(self, behind: Executions, sight: Sight) -> None:
        self.behind = behind
        self._sight = sight
        self.create, self.append, self.claim = behind.create, behind.append, behind.claim
        self.busy, self.purge = behind.busy, behind.purge

    async def read(self, execution: str, after: int = 0, limit: int = 0) -> tuple[Recorded, ...]:
        """Return events; none of what is not seen."""
        if await self._sight.bound() != EVERYBODY and await self.row(execution) is None:
            return ()
        return await self.behind.read(execution, after, limit)

    def head(self, execution: str) -> int | None:
        """Return nothing: whether somebody may know it is not known at once."""
        return None

    async def row(self, execution: str) -> Row | None:
        """Return a row."""
        row = await self.behind.row(execution)
        return row if row is None or await self._sight.sees(creator_of(row)) else None

    async def find(self, query: ExecutionQuery, before: str = "", limit: int = 25) -> tuple[Row, ...]:
        """Return rows, newest first."""
        mine = _own(query, await self._sight.bound())
        return () if mine is None else await self.behind.find(mine, before, limit)

    async def count(self, query: ExecutionQuery, most: int) -> int:
        """Return how many rows `find` would find."""
        mine = _own(query, await self._sight.bound())
        return 0 if mine is None else await self.behind.count(mine, most)

    async def with_prefix(self, prefix: str, limit: int = 2, creator: str = "") -> tuple[Row, ...]:
        """Return rows by the beginning of their id."""
        return await self.behind.with_prefix(prefix, limit, await self._sight.bound() or creator)

    def watch(self, execution: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """Watch; signals name ids, whose rows are read through here."""
        return self.behind.watch(execution)


def _own(query: ExecutionQuery, bound: str) -> ExecutionQuery | None:
    """Return a query for what one person started; None when it asks for others'."""
    if bound == EVERYBODY:
        return query
    if query.creator_ids and bound not in query.creator_ids:
        return None
    return replace(query, creator_ids=(bound,))


@dataclass(frozen=True, slots=True)
class SightedEnvironments:
    """The engine's front for environments."""

    behind: EnvironmentDesk
    sight: Sight

    async def create(self, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Make one."""
        return await self.behind.create(new, creator)

    async def get(self, environment: str) -> EnvironmentRow:
        """Return one."""
        await self.sight.check_environment(environment)
        return await self.behind.get(environment)

    async def start(self, environment: str) -> EnvironmentRow:
        """Start one."""
        await self.sight.check_environment(environment)
        return await self.behind.start(environment)

    async def stop(self, environment: str) -> EnvironmentRow:
        """Stop one."""
        await self.sight.check_environment(environment)
        return await self.behind.stop(environment)

    async def delete(self, environment: str, *, force: bool) -> None:
        """Remove one."""
        await self.sight.check_environment(environment)
        await self.behind.delete(environment, force=force)

    async def update(self, environment: str, change: EnvironmentChange) -> EnvironmentRow:
        """Change one."""
        await self.sight.check_environment(environment)
        return await self.behind.update(environment, change)

    async def archive(self, environment: str, *, archived: bool) -> EnvironmentRow:
        """Put one into the archive or take it out."""
        await self.sight.check_environment(environment)
        return await self.behind.archive(environment, archived=archived)

    async def active(self, environment: str, source: str) -> None:
        """Note that somebody is at work in one."""
        await self.sight.check_environment(environment)
        await self.behind.active(environment, source)

    async def machine(self, environment: str) -> Machine:
        """Return the inside of one."""
        await self.sight.check_environment(environment)
        return await self.behind.machine(environment)

    async def diff(self, environment: str) -> Patch:
        """Return what has changed in one."""
        await self.sight.check_environment(environment)
        return await self.behind.diff(environment)

    async def log(self, environment: str, after: int = 0, limit: int = 1000) -> Sequence[LogEntry]:
        """Return what happened in one."""
        await self.sight.check_environment(environment)
        return await self.behind.log(environment, after, limit)

    def protections(self, row: EnvironmentRow) -> Sequence[Mapping[str, Any]]:
        """Return which limits hold in one."""
        return self.behind.protections(row)


class SightedRows:
    """The rows of environments, to be read."""

    def __init__(self, behind: EnvironmentRows, executions: Executions, sight: Sight) -> None:
        self.behind = behind
        self._executions = executions
        self._sight = sight
        self.save, self.remove, self.use, self.release = behind.save, behind.remove, behind.use, behind.release

    async def get(self, environment: str) -> EnvironmentRow | None:
        """Return a row."""
        row = await self.behind.get(environment)
        return row if row is None or await self._sight.sees(row.creator_id) else None

    async def find(
        self, *, runner: str = "", phases: Sequence[str] = (), before: str = "", limit: int = 0, creator: str = ""
    ) -> tuple[EnvironmentRow, ...]:
        """Return rows, newest first."""
        mine = await self._sight.bound() or creator
        return await self.behind.find(runner=runner, phases=phases, before=before, limit=limit, creator=mine)

    async def users(self, environment: str) -> tuple[str, ...]:
        """Return those executions that use an environment and are seen."""
        users = await self.behind.users(environment)
        if (bound := await self._sight.bound()) == EVERYBODY:
            return users
        rows = [await self._executions.row(one) for one in users]
        return tuple(row.id for row in rows if row is not None and creator_of(row) == bound)


@dataclass(frozen=True, slots=True)
class SightedBlobs:
    """Large bytes of executions that are seen."""

    behind: Blobs
    sight: Sight

    async def put(self, execution: str, data: bytes) -> str:
        """Keep bytes."""
        return await self.behind.put(execution, data)

    async def get(self, sha256: str, execution: str = "") -> bytes | None:
        """Return the bytes; those that belong to no one execution are for those who see everything."""
        bound = await self.sight.bound()
        if bound != EVERYBODY:
            if not execution:
                return None
            await self.sight.check_execution(execution)
        return await self.behind.get(sha256, execution)

    async def purge(self, execution: str) -> None:
        """Remove what only this execution names."""
        await self.behind.purge(execution)


@dataclass(frozen=True, slots=True)
class SightedProjects:
    """The projects."""

    behind: Projects
    sight: Sight

    async def save(self, project: Project, *, new: bool) -> None:
        """Write a project."""
        if not new and await self.get(project.id) is None:
            raise NotFound("there is no such project", field="project_id")
        await self.behind.save(project, new=new)

    async def get(self, project: str) -> Project | None:
        """Return a project."""
        found = await self.behind.get(project)
        return found if found is None or await self.sight.sees(found.creator_id) else None

    async def find(self, query: ProjectQuery, before: str = "", limit: int = 0) -> tuple[Project, ...]:
        """Return projects, newest first."""
        mine = self._own(query, await self.sight.bound())
        return () if mine is None else await self.behind.find(mine, before, limit)

    async def count(self, query: ProjectQuery) -> int:
        """Return how many projects there are."""
        mine = self._own(query, await self.sight.bound())
        return 0 if mine is None else await self.behind.count(mine)

    async def delete(self, project: str) -> bool:
        """Remove a project."""
        return await self.get(project) is not None and await self.behind.delete(project)

    def _own(self, query: ProjectQuery, bound: str) -> ProjectQuery | None:
        if bound == EVERYBODY:
            return query
        if query.creator_ids and bound not in query.creator_ids:
            return None
        return replace(query, creator_ids=(bound,))


@dataclass(frozen=True, slots=True)
class SightedUse:
    """When environments of projects ran; of others' projects nothing is told."""

    behind: ProjectUse
    projects: Projects
    sight: Sight

    async def began(self, environment: str, project: str, user: User, at: datetime) -> None:
        """Note a beginning."""
        await self.behind.began(environment, project, user, at)

    async def ended(self, environment: str, at: datetime) -> None:
        """Note an end."""
        await self.behind.ended(environment, at)

    async def top(self, since: datetime, until: datetime, now: datetime) -> tuple[Usage, ...]:
        """Return the projects that ran longest."""
        ran = await self.behind.top(since, until, now)
        return tuple([one for one in ran if await self._seen(one.project)])

    async def users(self, projects: Sequence[str], since: datetime) -> Mapping[str, tuple[User, ...]]:
        """Return who used projects."""
        return await self.behind.users([one for one in projects if await self._seen(one)], since)

    async def _seen(self, project: str) -> bool:
        if await self.sight.bound() == EVERYBODY:
            return True
        found = await self.projects.get(project)
        return found is not None and await self.sight.sees(found.creator_id)


@dataclass(frozen=True, slots=True)
class SightedSpending:
    """What model calls took."""

    behind: SpendingBook
    sight: Sight

    async def daily(self, since: str, by: Dimension, of: str = "") -> Sequence[DaySum]:
        """Return the sums from a day on."""
        return await self.behind.daily(since, by, await self.sight.bound() or of)

    async def top(self, since: str, limit: int, of: str = "") -> Sequence[ExecutionSum]:
        """Return the executions that took most."""
        return await self.behind.top(since, limit, await self.sight.bound() or of)

    async def by_person(self, day: str) -> Mapping[str, int]:
        """Return the tokens of a day by person."""
        bound = await self.sight.bound()
        sums = await self.behind.by_person(day)
        return {who: tokens for who, tokens in sums.items() if bound in (EVERYBODY, who)}


@dataclass(frozen=True, slots=True)
class SightedWork:
    """Kept work."""

    behind: WorkDesk
    sight: Sight

    async def work(self, execution: str, turn: int = 0) -> WorkKept:
        """Return what is kept."""
        await self.sight.check_execution(execution)
        return await self.behind.work(execution, turn)

    async def diff(self, execution: str, turn: int = 0) -> tuple[WorkKept, Patch]:
        """Return what is kept, as a patch."""
        await self.sight.check_execution(execution)
        return await self.behind.diff(execution, turn)

    async def applied(self, execution: str, commit: str) -> None:
        """Note that it was applied."""
        await self.sight.check_execution(execution)
        await self.behind.applied(execution, commit)

    async def new_environment(self, execution: str, turn: int = 0, class_id: str = "") -> NewEnvironment:
        """Return an environment that begins with it."""
        await self.sight.check_execution(execution)
        return await self.behind.new_environment(execution, turn, class_id)

    async def restore(self, execution: str, turn: int, caller: Principal) -> EnvironmentRow:
        """Make its environment again."""
        await self.sight.check_execution(execution)
        return await self.behind.restore(execution, turn, caller)


@dataclass(frozen=True, slots=True)
class SightedHosts:
    """Which hosts environments reach."""

    behind: HostDesk
    sight: Sight

    async def of_environment(self, environment: str) -> tuple[Allowed, ...]:
        """Return what one environment may reach."""
        await self.sight.check_environment(environment)
        return await self.behind.of_environment(environment)

    async def of_class(self, class_id: str) -> tuple[Allowed, ...]:
        """Return what was allowed for a class."""
        return await self.behind.of_class(class_id)

    async def allow(self, environment: str, host: str, until: Until, by: Principal) -> bool:
        """Allow a host for one environment."""
        await self.sight.check_environment(environment)
        return await self.behind.allow(environment, host, until, by)

    async def allow_class(self, class_id: str, host: str, by: Principal) -> bool:
        """Allow a host for a class."""
        return await self.behind.allow_class(class_id, host, by)

    async def forbid(self, environment: str, host: str) -> bool:
        """Allow a host for one environment no more."""
        await self.sight.check_environment(environment)
        return await self.behind.forbid(environment, host)

    async def forbid_class(self, class_id: str, host: str) -> bool:
        """Allow a host for a class no more."""
        return await self.behind.forbid_class(class_id, host)
