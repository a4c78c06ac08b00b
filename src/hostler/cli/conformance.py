"""conformance: the contract's promises, looked at from outside of any server that makes them."""

import os
from collections import Counter
from typing import Annotated, Any

import typer

from hostler.cli.options import AsJson
from hostler.cli.problems import FAILED, usage
from hostler.cli.screen import emit, note, say

TOKEN = "HOSTLER_TOKEN"
MARKS = {"ok": "ok     ", "failed": "FAILED ", "skipped": "skipped"}


def conformance(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the server is, such as http://127.0.0.1:8080.")] = "",
    token: Annotated[
        str, typer.Option(help=f"An API token that may change things [{TOKEN}].", show_default=False)
    ] = "",
    agent: Annotated[str, typer.Option(help="The id of an agent that answers without a key; else the default.")] = "",
    task: Annotated[str, typer.Option(help="What is sent to the agent; a short answer is enough.")] = "Say hello.",
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these checks: a name, the beginning of one, or * in it; repeat for more."),
    ] = None,
    sdk: Annotated[
        list[str] | None,
        typer.Option(help="Run this official client too: NAME-VERSION, all or none; repeat for more.  [default: all]"),
    ] = None,
    patience: Annotated[float, typer.Option(help="Seconds that are waited for what must come.")] = 60.0,
    list_: Annotated[bool, typer.Option("--list", help="Only list the checks and where their rules stand.")] = False,
    json: AsJson = False,
) -> None:
    """Check from outside that a server keeps the wire contract: any server, not only Hostler.

    It makes executions, prompts and an environment of its own, marked by the annotation `conformance/run`, and
    removes them. Exit code 1 when a check failed.

    Examples:

        hostler conformance http://127.0.0.1:8080 --token "$TOKEN"

        hostler conformance https://hostler.example.org --only rules --only pages --sdk none
    """
    from hostler.conformance.running import Options, chosen, made
    from hostler.conformance.sdks import SDKS

    if list_:
        _listed([{"name": one.name, "says": one.says, "source": one.source} for one in chosen(only or ())], json)
        return
    given = token or os.environ.get(TOKEN, "")
    if not url.startswith(("http://", "https://")) or not given:
        raise usage(f"a URL and a token are needed: hostler conformance URL --token T (or {TOKEN})")
    clients = [str(name) for name in SDKS] if sdk is None or "all" in sdk else [one for one in sdk if one != "none"]
    if unknown := [one for one in clients if one not in SDKS]:
        raise usage(f"{unknown[0]} is no client that is known; known are {', '.join(SDKS)}")
    if not chosen(only or ()):
        raise usage("no check fits; --list names them")
    results: list[dict[str, Any]] = []
    for result in made(url, given, Options(agent, task, patience, only or (), clients), note):
        results.append(result.json())
        if not json:
            _shown(results[-1])
    count = Counter(one["state"] for one in results)
    if json:
        emit({"url": url, "results": results, **{state: count[state] for state in MARKS}})
    else:
        say(f"{count['ok']} ok, {count['failed']} failed, {count['skipped']} skipped")
    if count["failed"]:
        raise typer.Exit(FAILED)


def _shown(result: dict[str, Any]) -> None:
    """Write a line for a check, and below it what was seen where it matters."""
    say(f"{MARKS[result['state']]} {result['name']}: {result['says']}")
    if result["state"] == "failed":
        say(f"        rule: {result['source']}")
        say(f"        seen: {result['seen']}")
    elif result["seen"]:
        say(f"        {result['seen']}")


def _listed(checks: list[dict[str, str]], json: bool) -> None:
    if json:
        emit(checks)
        return
    for one in checks:
        say(f"{one['name']}: {one['says']} [{one['source']}]")
