"""When environments of projects ran, and for whom."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from hostler.core.projects import Usage, User
from hostler.store.columns import check_texts
from hostler.store.reading import Readers
from hostler.store.schema import project, project_run
from hostler.store.writer import Writer, Writing


class StoredProjectUse:
    """The runs of environments that were made from projects; at most one run of an environment is open."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def began(self, environment: str, project: str, user: User, at: datetime) -> None:
        """Note that an environment runs; repeating it, or an unknown project, changes nothing."""
        await self._writer.do(lambda writing: _begin(writing, environment, project, user, at))

    async def ended(self, environment: str, at: datetime) -> None:
        """Note that an environment runs no more."""
        here = (project_run.c.environment_id == environment, project_run.c.until.is_(None))
        statement = update(project_run).where(*here).values(until=at)
        await self._writer.do(lambda writing: writing.connection.execute(statement) and None)

    async def top(self, since: datetime, until: datetime, now: datetime) -> tuple[Usage, ...]:
        """Return the projects whose environments ran within a time, the longest first."""
        columns = (project_run.c.project_id, project_run.c.since, project_run.c.until)
        statement = select(*columns).where(
            project_run.c.since < until, project_run.c.until.is_(None) | (project_run.c.until > since)
        )

        def read(connection: Connection) -> Mapping[str, float]:
            seconds: dict[str, float] = {}
            for name, began, ended in connection.execute(statement):
                ran = min(ended or now, until) - max(began, since)
                seconds[name] = seconds.get(name, 0.0) + max(ran.total_seconds(), 0.0)
            return seconds

        found = await self._readers.do(read)
        ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
        return tuple(Usage(name, int(ran)) for name, ran in ordered)

    async def users(self, projects: Sequence[str], since: datetime) -> Mapping[str, tuple[User, ...]]:
        """Return who had environments of the projects running since then."""
        check_texts(projects, "project_ids")
        columns = (project_run.c.project_id, project_run.c.user_id, project_run.c.user_kind)
        recent = project_run.c.until.is_(None) | (project_run.c.until > since)
        statement = select(*columns).where(project_run.c.project_id.in_(projects), recent).distinct()
        statement = statement.order_by(project_run.c.user_id)

        def read(connection: Connection) -> Mapping[str, tuple[User, ...]]:
            users: dict[str, tuple[User, ...]] = {}
            for name, user, kind in connection.execute(statement):
                users[name] = (*users.get(name, ()), User(user, kind))
            return users

        return await self._readers.do(read)


def _begin(writing: Writing, environment: str, name: str, user: User, at: datetime) -> None:
    connection = writing.connection
    there = select(project.c.id).where(project.c.id == name).with_for_update()
    if not connection.execute(there).first():
        return
    still = (project_run.c.environment_id == environment, project_run.c.until.is_(None))
    if connection.execute(select(project_run.c.since).where(*still)).first():
        return
    same = (project_run.c.environment_id == environment, project_run.c.since == at)
    if connection.execute(update(project_run).where(*same).values(until=None)).rowcount:
        return
    values = {"environment_id": environment, "project_id": name, "since": at, "until": None}
    connection.execute(insert(project_run), {**values, "user_id": user.id, "user_kind": user.kind})
