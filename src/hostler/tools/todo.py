"""The tool that keeps the to-do list."""

from typing import Literal

from pydantic import BaseModel, Field

from hostler.core.events import Todo as Entry
from hostler.core.events import TodosSet
from hostler.tools.tool import Answer, Arguments, Inside


class TodoItem(BaseModel):
    """One entry."""

    title: str = Field(min_length=1, max_length=500)
    state: Literal["pending", "in_progress", "done"] = "pending"


class TodoArguments(Arguments):
    """The whole list."""

    todos: list[TodoItem] = Field(max_length=100, description="The whole list; it replaces the one before.")


class Todo:
    """Replaces the to-do list that people see beside the conversation."""

    name = "todo"
    description = "Show your plan as a to-do list. Send the whole list each time, with one entry in progress."
    arguments = TodoArguments
    inside = False

    async def run(self, arguments: TodoArguments, inside: Inside | None) -> Answer:
        """Set the list."""
        todos = tuple(Entry(item.title, item.state) for item in arguments.todos)
        return Answer("ok", "noted", events=(TodosSet(todos),))
