"""The prompt library."""

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, or_, select, update

from hostler.core.errors import AlreadyExists, NotFound
from hostler.core.prompts import Prompt, PromptQuery
from hostler.store.columns import check_text, check_texts
from hostler.store.reading import Readers
from hostler.store.schema import prompt as table
from hostler.store.writer import Writer, Writing

COLUMNS = [table.c[field.name] for field in fields(Prompt)]


class StoredPrompts:
    """The prompt library; case is folded here and not by the databases, which disagree about letters beyond a to z."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def save(self, prompt: Prompt, *, new: bool) -> None:
        """Write a prompt; AlreadyExists when its command is taken, NotFound when it should be there and is not."""
        values = _values(prompt)
        await self._writer.do(lambda writing: _save(writing, values, new=new))

    async def get(self, prompt: str) -> Prompt | None:
        """Return a prompt."""
        found = await self._fetch(select(*COLUMNS).where(table.c.id == prompt))
        return found[0] if found else None

    async def find(self, query: PromptQuery, before: str = "", limit: int = 25) -> tuple[Prompt, ...]:
        """Return prompts, newest first; what is searched for is taken letter by letter."""
        check_texts((query.command, query.command_prefix, query.search), "filter")
        statement = select(*COLUMNS).order_by(table.c.id.desc()).limit(limit)
        for wanted, column in (
            (query.is_template, table.c.is_template),
            (query.is_command, table.c.is_command),
            (query.is_skill, table.c.is_skill),
        ):
            statement = statement.where(column) if wanted else statement
        if query.command:
            statement = statement.where(table.c.command_folded == query.command.casefold())
        if query.command_prefix:
            prefix = query.command_prefix.casefold()
            statement = statement.where(table.c.command_folded.startswith(prefix, autoescape=True))
        if query.search:
            text = query.search.casefold()
            columns = (table.c.name_folded, table.c.description_folded, table.c.command_folded)
            statement = statement.where(or_(*(column.contains(text, autoescape=True) for column in columns)))
        if before:
            statement = statement.where(table.c.id < before)
        return await self._fetch(statement)

    async def delete(self, prompt: str) -> bool:
        """Remove a prompt; return whether it was there."""
        statement = delete(table).where(table.c.id == prompt)
        return await self._writer.do(lambda writing: bool(writing.connection.execute(statement).rowcount))

    async def _fetch(self, statement: Select[Any]) -> tuple[Prompt, ...]:
        def read(connection: Connection) -> tuple[Prompt, ...]:
            return tuple(Prompt(**found) for found in connection.execute(statement).mappings())

        return await self._readers.do(read)


def _values(prompt: Prompt) -> dict[str, Any]:
    """Return the row; the text fields are checked and folded."""
    values = asdict(prompt)
    for name, value in values.items():
        if isinstance(value, str):
            check_text(value, name)
    folded = {f"{name}_folded": values[name].casefold() for name in ("name", "description", "command")}
    return {**values, **folded}


def _save(writing: Writing, values: dict[str, Any], *, new: bool) -> None:
    connection = writing.connection
    taken = select(table.c.id).where(
        table.c.command_folded == values["command_folded"], table.c.command_folded != "", table.c.id != values["id"]
    )
    if connection.execute(taken).first():
        raise AlreadyExists(f"another prompt has the command {values['command']}", field="command")
    this = select(table.c.id).where(table.c.id == values["id"]).with_for_update()
    there = connection.execute(this).first() is not None
    if there and new:
        raise AlreadyExists("there is a prompt with this id")
    if not there and not new:
        raise NotFound("there is no such prompt", field="prompt_id")
    connection.execute(insert(table) if new else update(table).where(table.c.id == values["id"]), values)
