"""`hostler env shell`: a real terminal inside an environment, which goes on when one leaves and is joined again."""

import shutil
import sys
from typing import Annotated, Any

import typer

from hostler.cli import places
from hostler.cli.chosen import Environment, Way, find
from hostler.cli.client import Client
from hostler.cli.options import DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import note

Json = dict[str, Any]
STARTING = 300.0
"""Seconds that opening a terminal may take: the environment may have to be started first."""


def shell(
    environment: Environment,
    terminal: Annotated[str, typer.Option("--terminal", "-t", metavar="ID", help="Join this one again.")] = "",
    program: Annotated[str, typer.Option("--shell", metavar="PATH", help="What runs in it; bash otherwise.")] = "",
    workdir: Annotated[str, typer.Option("--workdir", "-w", help="Where it begins; the workspace otherwise.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Open a terminal inside an environment. Ctrl-] leaves it running; its id joins it again.

    The exit code is that of the shell; 0 after leaving.

    Examples:

        hostler env shell 0198c2

        hostler env shell 0198c2 --terminal 0198c3
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise usage("this is no terminal; for scripts there is: hostler env exec ENV -- CMD")
    client = Client(places.find(data_dir))
    way = Way(client, find(client, environment))
    if terminal:
        if program or workdir:
            raise usage("--terminal joins a terminal that runs; --shell and --workdir are for a new one")
        joined = meant(way, terminal)
    else:
        joined = opened(way, program, workdir)
    note(f"terminal {joined} — Ctrl-] leaves it running")
    from hostler.cli.terminal import LEFT, Session  # Only now: not every system that has clients has such terminals.

    code = Session(way, joined).run()
    if code == LEFT:
        note(f"\nleft; it goes on, and is joined again by: hostler env shell {way.environment} --terminal {joined}")
    raise typer.Exit(max(code, 0) & 0xFF)


def opened(way: Way, program: str, workdir: str) -> str:
    """Open a terminal as large as ours and return its id."""
    size = shutil.get_terminal_size()
    asked = {
        "shell": program,
        "workingDirectory": workdir,
        "initialCols": min(max(size.columns, 1), 1000),
        "initialRows": min(max(size.lines, 1), 1000),
    }
    return str(way.call("CreateTerminal", asked, timeout=STARTING)["terminalId"])


def meant(way: Way, given: str) -> str:
    """Return the id of the open terminal that begins so."""
    ids = [str(one["terminalId"]) for one in way.call("ListTerminals", {}, timeout=STARTING).get("terminals", [])]
    fitting = [one for one in ids if one.startswith(given.lower())]
    if len(fitting) != 1:
        open_ = f"open are: {', '.join(ids)}" if ids else "none is open"
        raise Problem(
            f"{'no' if not fitting else 'more than one'} terminal has an id that begins with {given}; {open_}"
        )
    return fitting[0]
