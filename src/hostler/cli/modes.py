"""How an agent is to work, as `hostler run --mode` says it, and `hostler goal`: what it pursues turn after turn."""

import re
import sys
from typing import Annotated, Any

import typer

from hostler.cli import codex, ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import usage
from hostler.cli.queues import EitherWay
from hostler.cli.screen import emit, say

MODES = ("execution", "planning", "spec", "ralph", "goal")


class ShowsAlone(EitherWay):
    """The execution by itself shows its goal."""

    alone = "show"


app = typer.Typer(
    cls=ShowsAlone,
    help="What an agent pursues, turn after turn: `hostler goal ID set`, `pause`, `resume`, `complete` and `clear`.",
    no_args_is_help=True,
)
Mode = Annotated[
    str, typer.Option("--mode", metavar="MODE", help="How to work: planning, spec, ralph or goal; execution otherwise.")
]
Budget = Annotated[str, typer.Option(metavar="TOKENS", help="Tokens that may be used for the goal: 200000, 200k, 2m.")]
Json = dict[str, Any]
_BUDGET = re.compile(r"\d{1,15}[kKmM]?")


def checked(mode: str, budget: str) -> None:
    """Raise a usage problem for a mode that there is not, and for a budget of anything but a goal."""
    if mode and mode not in MODES:
        raise usage(f"--mode: {mode!r} is none of {', '.join(MODES)}")
    if budget and mode != "goal":
        raise usage("--budget needs --mode goal")
    if budget and not _BUDGET.fullmatch(budget):
        raise usage(f"--budget: {budget!r} is no number of tokens such as 200000, 200k or 2m")


def request(text: str, mode: str, budget: str) -> tuple[str, Json]:
    """Return what is said, and what a request says beside it, for a turn in a mode; a goal is begun by its text."""
    if mode == "goal":
        return f"/ona:goal {f'--budget {budget} ' if budget else ''}{text}", {}
    return text, {"turnOptions": {"modes": [f"AGENT_MODE_{mode.upper()}"]}} if mode else {}


@app.command(name="set")
def set_(
    execution: Execution,
    objective: Annotated[str, typer.Argument(help="What is to be reached, and how that is seen; - reads it.")],
    budget: Budget = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give it a goal, in place of one that it has; it begins at once.

    Examples:

        hostler goal 0198c2 set "All tests pass, and ruff finds nothing"

        hostler goal 0198c2 set "Port the parser; its tests pass" --budget 500k
    """
    checked("goal", budget)
    said = (sys.stdin.read() if objective == "-" else objective).strip()
    if not said:
        raise usage("there is no objective: the text is empty")
    _change(execution, {"set": {"objective": f"--budget {budget} {said}" if budget else said}}, json, data_dir)


@app.command()
def pause(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let it finish its turn and then wait; the goal stays.

    Example:

        hostler goal 0198c2 pause
    """
    _change(execution, {"pause": {}}, json, data_dir)


@app.command()
def resume(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let it go on towards a goal that is paused, blocked or stopped by a limit.

    Example:

        hostler goal 0198c2 resume
    """
    _change(execution, {"resume": {}}, json, data_dir)


@app.command()
def complete(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say yourself that it is reached.

    Example:

        hostler goal 0198c2 complete
    """
    _change(execution, {"complete": {}}, json, data_dir)


@app.command()
def clear(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Take it back, and forget it; a goal that is completed is shown until then.

    Example:

        hostler goal 0198c2 clear
    """
    _change(execution, {"clear": {}}, json, data_dir)


@app.command()
def show(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the goal, its state, and what was used for it.

    Example:

        hostler goal 0198c2
    """
    client, found = _found(execution, data_dir)
    _shown(client, found, json=json)


def _found(execution: str, data_dir: Any) -> tuple[Client, str]:
    client = Client(places.find(data_dir))
    return client, ids.execution(client, execution)


def _change(execution: str, action: Json, json: bool, data_dir: Any) -> None:
    client, found = _found(execution, data_dir)
    client.agents("SendToAgentExecution", {"agentExecutionId": found, "controlInput": {"goal": action}})
    _shown(client, found, json=json)


def _shown(client: Client, found: str, *, json: bool) -> None:
    now = client.execution(found)
    emit({"id": found, "goal": now.get("status", {}).get("goal")}) if json else say(codex.goal(now) or "no goal")
