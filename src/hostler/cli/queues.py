"""`hostler queue`: what waits for an agent that works, and how to change it."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.paper import fitting
from hostler.cli.problems import usage
from hostler.cli.screen import emit, line, note, say, table


class EitherWay(TyperGroup):
    """Takes the execution before the subcommand too; `alone` is what the execution by itself means."""

    alone = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the subcommand first."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            named = args[1] if len(args) > 1 else ""
            rest = args[2:] if named in self.commands else args[1:]
            args = [named if named in self.commands else self.alone, args[0], *rest]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=EitherWay,
    help="Messages that wait for an agent at work: `hostler queue ID list`, `edit`, `rm`, `move` and `steer`.",
    no_args_is_help=True,
)
Json = dict[str, Any]
SHOWN = 100
"""Cells of a message in a list."""
Message = Annotated[str, typer.Argument(metavar="MESSAGE", help="Its number in the list, or its id or a prefix.")]


@app.command(name="list")
def list_(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what waits, in the order in which the agent will read it.

    Example:

        hostler queue 0198c2 list
    """
    _, _, queue = _found(execution, data_dir)
    if json:
        emit(queue)
        return
    if not queue:
        note("nothing waits")
    rows = [
        (str(n), str(one["id"])[:13], "joins now" if one.get("steer") else "", _said(one)) for n, one in _all(queue)
    ]
    table(rows)


@app.command()
def edit(
    execution: Execution,
    message: Message,
    text: Annotated[str, typer.Argument(help="What to say instead; - reads it from standard input.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say something else instead; it keeps its place. Refused once the agent has read it.

    Example:

        hostler queue 0198c2 edit 1 "Add two tests, not one"
    """
    client, id_, queue = _found(execution, data_dir)
    said = sys.stdin.read() if text == "-" else text
    path = f"{PREFIX}/executions/{id_}/queue/{_meant(queue, message)}/edit"
    made = client.json("POST", path, {"text": said})
    emit(made) if json else say(f"changed; its id is {made['id']}")


@app.command()
def rm(execution: Execution, message: Message, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Take a message back unread.

    Example:

        hostler queue 0198c2 rm 2
    """
    client, id_, queue = _found(execution, data_dir)
    one = _meant(queue, message)
    _control(client, id_, {"deleteQueuedMessage": {"userInputId": one}})
    emit({"id": one}) if json else say("taken back")


@app.command()
def move(
    execution: Execution,
    message: Message,
    before: Annotated[str, typer.Option(metavar="MESSAGE", help="Before which one; to the end without it.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let a message be read before another one, or last.

    Example:

        hostler queue 0198c2 move 3 --before 1
    """
    client, id_, queue = _found(execution, data_dir)
    one, other = _meant(queue, message), _meant(queue, before) if before else ""
    _control(client, id_, {"moveQueuedMessage": {"userInputId": one, "beforeUserInputId": other}})
    emit({"id": one}) if json else say("moved")


@app.command()
def steer(execution: Execution, message: Message, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let the agent read a message at its next step, instead of after the turn.

    Example:

        hostler queue 0198c2 steer 1
    """
    client, id_, queue = _found(execution, data_dir)
    one = _meant(queue, message)
    _control(client, id_, {"steerQueuedMessage": {"userInputId": one}})
    emit({"id": one}) if json else say("it joins at the next step")


def _found(execution: str, data_dir: Any) -> tuple[Client, str, list[Json]]:
    client = Client(places.find(data_dir))
    id_ = ids.execution(client, execution)
    return client, id_, client.json("GET", f"{PREFIX}/executions/{id_}/queue").get("queue", [])


def _all(queue: Sequence[Json]) -> Sequence[tuple[int, Json]]:
    return list(enumerate(queue, 1))


def _said(one: Json) -> str:
    images = int(one.get("images", 0))
    return fitting(line(str(one.get("text", ""))) or "(no text)", SHOWN) + (f" [{images} images]" if images else "")


def _meant(queue: Sequence[Json], given: str) -> str:
    """Return the id of the message that is meant; raises a usage problem when none or several are."""
    if given.isdecimal() and 1 <= int(given) <= len(queue):
        return str(queue[int(given) - 1]["id"])
    found = [str(one["id"]) for one in queue if str(one["id"]).startswith(given.lower()) and given]
    if len(found) == 1:
        return found[0]
    waits = f"{len(queue)} wait" if queue else "nothing waits"
    raise usage(f"{given!r} is {'several messages' if found else 'no message'} in the queue; {waits}")


def _control(client: Client, execution: str, control: Json) -> None:
    client.agents("SendToAgentExecution", {"agentExecutionId": execution, "controlInput": control})
