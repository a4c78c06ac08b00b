"""Webhooks: webhook add, list, rm, test, enable, deliveries."""

from typing import Annotated, Any

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import emit, line, note, say, table

app = typer.Typer(help="Webhooks: who is told when an execution changes its phase.", no_args_is_help=True)
AT = f"{PREFIX}/webhooks"
Given = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id or a prefix of it, from the list.")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where messages are posted to; https, or http.")],
    phase: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this phase: PENDING, RUNNING, WAITING_FOR_INPUT or STOPPED; repeat for more.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for; shown in the list.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Tell an address when an execution changes its phase, and print the secret that messages are signed with.

    The secret is shown only this once. Messages are signed as Standard Webhooks has it.

    Examples:

        hostler webhook add https://example.org/hostler --phase WAITING_FOR_INPUT --phase STOPPED
    """
    asked = {"url": url, "phases": [one.upper() for one in phase or []], "name": name}
    made = Client(places.find(data_dir)).json("POST", AT, asked)
    if json:
        emit(made)
        return
    note(f"webhook {made['id']}")
    say(made["secret"])


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the webhooks: id, state, phases, address, and what is wrong.

    Example:

        hostler webhook list
    """
    found = _all(Client(places.find(data_dir)))
    if json:
        emit(found)
        return
    if not found:
        note("no webhooks")
    rows = [
        (
            one["id"],
            one["state"],
            ",".join(one["phases"]) or "all",
            line(one["name"]),
            line(f"{one['url']} {one['problem']}"),
        )
        for one in found
    ]
    table(rows, ("ID", "STATE", "PHASES", "NAME", "URL"))


@app.command()
def rm(webhook: Given, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove a webhook, and what it was not told yet.

    Example:

        hostler webhook rm 0198c2
    """
    client = Client(places.find(data_dir))
    meant = _meant(client, webhook)
    client.json("DELETE", f"{AT}/{meant}")
    emit({"removed": meant}) if json else say(f"removed {meant}")


@app.command("test")
def try_(webhook: Given, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Send a webhook a message that means nothing; what became of it is among its deliveries.

    Example:

        hostler webhook test 0198c2
    """
    client = Client(places.find(data_dir))
    made = client.json("POST", f"{AT}/{_meant(client, webhook)}/test", {})
    emit(made) if json else say(f"sent {made['deliveryId']}; see hostler webhook deliveries {webhook}")


@app.command()
def enable(webhook: Given, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Tell a webhook again that was disabled because it failed for days.

    Example:

        hostler webhook enable 0198c2
    """
    client = Client(places.find(data_dir))
    meant = _meant(client, webhook)
    client.json("POST", f"{AT}/{meant}/enable", {})
    emit({"enabled": meant}) if json else say(f"enabled {meant}")


@app.command()
def deliveries(webhook: Given, json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what a webhook was told and is to be told, newest first.

    Example:

        hostler webhook deliveries 0198c2
    """
    client = Client(places.find(data_dir))
    found = client.json("GET", f"{AT}/{_meant(client, webhook)}/deliveries").get("deliveries", [])
    if json:
        emit(found)
        return
    if not found:
        note("nothing yet")
    rows = [
        (
            str(one["at"])[:19],
            one["state"],
            str(one["tries"]),
            str(one["phase"]) or "test",
            one["agentExecutionId"],
            line(one["problem"]),
        )
        for one in found
    ]
    table(rows, ("AT", "STATE", "TRIES", "PHASE", "EXECUTION", "PROBLEM"))


def _all(client: Client) -> list[dict[str, Any]]:
    return client.json("GET", AT).get("webhooks", [])


def _meant(client: Client, prefix: str) -> str:
    """Return the one webhook whose id begins so."""
    found = [one["id"] for one in _all(client) if one["id"].startswith(prefix.lower())]
    if len(found) != 1:
        raise usage(f"{len(found) or 'no'} webhooks have an id that begins with {prefix!r}")
    return found[0]
