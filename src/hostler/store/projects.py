"""Projects."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from hostler.core.errors import AlreadyExists, NotFound
from hostler.core.projects import Project, ProjectQuery
from hostler.store.columns import check_text, check_texts, digest
from hostler.store.reading import Readers
from hostler.store.schema import project as table
from hostler.store.writer import Writer, Writing

COLUMNS = [table.c[field.name] for field in fields(Project)]


class StoredProjects:
    """The projects of the organization; case is folded here, because the databases disagree about it."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def save(self, project: Project, *, new: bool) -> None:
        """Write a project; NotFound when it should be there and is not."""
        values = _values(project)
        await self._writer.do(lambda writing: _save(writing, values, new=new))

    async def get(self, project: str) -> Project | None:
        """Return a project."""
        found = await self.find(ProjectQuery(ids=(project,)))
        return found[0] if found else None

    async def find(self, query: ProjectQuery, before: str = "", limit: int = 0) -> tuple[Project, ...]:
        """Return projects, newest first."""
        statement = select(*COLUMNS).where(*_conditions(query)).order_by(table.c.id.desc())
        statement = statement.where(table.c.id < before) if before else statement
        statement = statement.limit(limit) if limit else statement

        def read(connection: Connection) -> tuple[Project, ...]:
            return tuple(_project(found) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)

    async def count(self, query: ProjectQuery) -> int:
        """Return how many projects there are."""
        statement = select(func.count()).select_from(table).where(*_conditions(query))
        return await self._readers.do(lambda connection: int(connection.execute(statement).scalar_one()))

    async def delete(self, project: str) -> bool:
        """Remove a project; return whether it was there."""
        statement = delete(table).where(table.c.id == project)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))


def _conditions(query: ProjectQuery) -> list[ColumnElement[bool]]:
    check_texts((*query.ids, query.search, *query.repositories, *query.creator_ids), "filter")
    conditions: list[ColumnElement[bool]] = []
    if query.ids:
        conditions.append(table.c.id.in_(query.ids))
    if query.search:
        text = query.search.casefold()
        columns = (table.c.name_folded, table.c.repository)
        conditions.append(or_(*(column.contains(text, autoescape=True) for column in columns)))
    if query.repositories:
        conditions.append(table.c.repository_digest.in_([digest(one) for one in query.repositories]))
    if query.creator_ids:
        conditions.append(table.c.creator_id.in_(query.creator_ids))
    return conditions


def _values(project: Project) -> dict[str, Any]:
    """Return the row; the text fields are checked and folded."""
    values = {field.name: getattr(project, field.name) for field in fields(project)}
    for name, value in values.items():
        if isinstance(value, str):
            check_text(value, name)
    return {**values, "name_folded": project.name.casefold(), "repository_digest": digest(project.repository)}


def _project(found: Mapping[Any, Any]) -> Project:
    lists: dict[str, Any] = {name: tuple(found[name]) for name in ("class_ids", "setup")}
    return Project(**{**found, **lists})


def _save(writing: Writing, values: Mapping[str, Any], *, new: bool) -> None:
    connection = writing.connection
    this = select(table.c.id).where(table.c.id == values["id"]).with_for_update()
    there = connection.execute(this).first() is not None
    if there and new:
        raise AlreadyExists("there is a project with this id")
    if not there and not new:
        raise NotFound("there is no such project", field="project_id")
    connection.execute(insert(table) if new else update(table).where(table.c.id == values["id"]), values)
