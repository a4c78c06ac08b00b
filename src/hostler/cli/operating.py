"""Operating a running server: maintenance, reload, audit."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir
from hostler.cli.screen import emit, line, note, say, table

maintenance = typer.Typer(help="Maintenance mode: nothing new is begun until it is off.", no_args_is_help=True)
RUNNING = {"filter": {"statusPhases": ["PHASE_RUNNING", "PHASE_PENDING"]}, "pagination": {"pageSize": 100}}


@maintenance.command()
def on(
    message: Annotated[str, typer.Option("--message", "-m", help="What people are told.")] = "",
    stop: Annotated[bool, typer.Option("--stop", help="Stop what runs as well.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Begin nothing new from now on: starts and sends are refused with a time to come back.

    What runs goes on. It holds for all processes, and over restarts.

    Examples:

        hostler maintenance on -m "back at ten"

        hostler maintenance on --stop
    """
    client = Client(places.find(data_dir))
    shown = client.json("PUT", f"{PREFIX}/maintenance", {"message": message})
    stopped = _stop_all(client) if stop else 0
    emit({**shown, "stopped": stopped}) if json else say(_told(shown) + (f"; stopped {stopped}" if stop else ""))


@maintenance.command()
def off(json: AsJson = False, data_dir: DataDir = None) -> None:
    """End maintenance mode.

    Example:

        hostler maintenance off
    """
    shown = Client(places.find(data_dir)).json("DELETE", f"{PREFIX}/maintenance")
    emit(shown) if json else say(_told(shown))


@maintenance.command()
def status(json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say whether maintenance mode is on.

    Example:

        hostler maintenance status
    """
    shown = Client(places.find(data_dir)).json("GET", f"{PREFIX}/maintenance")
    emit(shown) if json else say(_told(shown))


def _told(shown: dict[str, Any]) -> str:
    if not shown.get("on"):
        return "maintenance mode is off"
    return f"maintenance mode is on since {str(shown['since'])[:16]}, by {line(shown['by'])}: {line(shown['message'])}"


def _stop_all(client: Client) -> int:
    """Stop everything that runs; return how many executions that were."""
    found = client.agents("ListAgentExecutions", RUNNING).get("agentExecutions", [])
    for one in found:
        client.agents("StopAgentExecution", {"agentExecutionId": one["id"]})
    return len(found)


def reload(json: AsJson = False, data_dir: DataDir = None) -> None:
    """Have the server read hostler.toml again.

    What changed holds for whatever starts afterwards. A file with a fault changes nothing.

    Example:

        hostler reload
    """
    done = Client(places.find(data_dir)).json("POST", f"{PREFIX}/reload", {})
    if json:
        emit(done)
        return
    changed, left = done.get("changed", []), done.get("needsRestart", [])
    say(f"changed: {', '.join(changed)}" if changed else "nothing has changed")
    if left:
        note(f"needs a restart: {', '.join(left)}", "yellow")


def audit(
    actor: Annotated[str, typer.Option(help="Only what this person or service account did, by its id.")] = "",
    subject: Annotated[str, typer.Option(help="Only what was done to this, by its id.")] = "",
    since: Annotated[str, typer.Option(help="From this time on, such as 2026-11-23T08:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Up to this time.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List who did what, newest first: changes that were made, and those refused for want of permission.

    Examples:

        hostler audit --since 2026-11-23T00:00:00Z

        hostler audit --subject 0198c2aa-0000-7000-8000-000000000001 --json
    """
    asked = {"actor": actor, "subject": subject, "since": since, "until": until, "limit": str(limit)}
    query = urlencode({name: value for name, value in asked.items() if value})
    found = Client(places.find(data_dir)).json("GET", f"{PREFIX}/audit?{query}").get("entries", [])
    if json:
        emit(found)
        return
    if not found:
        note("no entries")
    rows = [
        (
            str(one["at"])[:19],
            line(one["actor"]["name"]),
            str(one["outcome"]),
            str(one["action"]).replace("/api/hostler/v1", ""),
            str(one["subject"]["id"]),
        )
        for one in found
    ]
    table(rows, ("AT", "WHO", "OUTCOME", "WHAT", "TO"))
