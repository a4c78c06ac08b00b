"""`hostler top`: all executions on a full screen. What draws it is imported only when it is wanted."""

import sys
from typing import Annotated

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.endings import SHORT
from hostler.cli.options import DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import note, paint, say
from hostler.cli.story import Story
from hostler.cli.watching import Follower


def top(
    words: Annotated[str, typer.Option("--filter", help="Show only those with these words.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Show all executions on a full screen: who needs you, who works, what it costs.

    Peek into one, answer it, say something, stop it, watch it. ? lists the keys.

    Example:

        hostler top
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise usage("top needs a terminal; `hostler ps` lists executions anywhere")
    client = Client(places.find(data_dir))
    client.json("GET", "/api/hostler/v1/info")
    chosen = ""
    while True:
        from hostler.cli.top_app import Top

        app = Top(client, words=words, chosen=chosen)
        chosen = app.run() or ""
        words = app.words
        if not chosen:
            return
        attach(client, chosen)


def attach(client: Client, execution: str) -> None:
    """Show one conversation below the shell's own lines until Ctrl-C, then go back."""
    say(paint(f"watching {execution}; Ctrl-C goes back to top", "dim"))
    Follower(client, execution, json=False, story=Story(execution=execution[:SHORT]), back="to top").follow(stay=True)
    note("")
