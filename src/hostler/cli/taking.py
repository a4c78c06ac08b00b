"""Taking a conversation along: its transcript, its export, and the support bundle of an execution."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.options import DataDir, Execution
from hostler.cli.problems import Problem
from hostler.cli.screen import clean, say

LOUD_AFTER = 1.0
"""Seconds after which a download says how far it is."""
PATIENCE = 300.0
"""Seconds that the server may take for the next piece."""
MIB = 1 << 20

Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - is standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
Tree = Annotated[bool, typer.Option("--tree", help="With the sub-agents that worked for it.")]


def transcript(
    execution: Execution,
    md: Annotated[bool, typer.Option("--md", help="Markdown for people, not JSON Lines.")] = False,
    tree: Tree = False,
    output: Output = "-",
    force: Force = False,
    data_dir: DataDir = None,
) -> None:
    """Write every model call: what the model was told, what it said, its tokens.

    One call a line, as JSON.

    Examples:

        hostler transcript 0198c2 | jq -c '[.number, .model, .usage.output]'

        hostler transcript 0198c2 --md -o transcript.md
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    asked = f"?format={'md' if md else 'jsonl'}{'&tree=1' if tree else ''}"
    save(client, f"/api/executions/{found}/transcript{asked}", output, force=force)


def export(
    execution: Execution,
    format_: Annotated[
        Literal["html", "md", "json"], typer.Option("--format", help="A page, Markdown, or JSON for programs.")
    ] = "html",
    tree: Tree = False,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it [conversation-ID.FORMAT]; - is standard output.",
            show_default=False,
        ),
    ] = "",
    force: Force = False,
    data_dir: DataDir = None,
) -> None:
    """Write a whole conversation as one file that needs nothing else.

    Examples:

        hostler export 0198c2

        hostler export 0198c2 --format md -o - | less
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    asked = f"?format={format_}{'&tree=1' if tree else ''}"
    target = output or f"conversation-{found[:8]}.{format_}"
    save(client, f"/api/executions/{found}/export{asked}", target, force=force)


def bundle(client: Client, execution: str, output: str, *, force: bool) -> None:
    """Save the support bundle of an execution; it is private to the user, for there is much in it."""
    target = output or f"support-{execution[:8]}.zip"
    if target == "-" and sys.stdout.isatty():
        raise Problem("a zip archive is nothing for a terminal; name a file with --output")
    save(client, f"/api/executions/{execution}/bundle", target, force=force, mode=0o600)


def save(client: Client, url: str, target: str, *, force: bool, mode: int = 0o666) -> None:
    """Write an answer to a file, whole or not at all, or to standard output as it comes."""
    if target == "-":
        _to_stdout(client, url)
        return
    file = Path(target)
    if file.is_dir():
        raise Problem(f"{target} is a folder; name a file in it")
    if file.exists() and not force:
        raise Problem(f"{target} is there already; overwrite it with --force, or choose another with --output")
    part = file.with_name(f".{file.name}.part")
    try:
        with client.open("GET", url, timeout=PATIENCE) as reply:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as handle:
                size = sum(handle.write(piece) for piece in _told(reply.pieces()))
        part.replace(file)
    except OSError as problem:
        raise Problem(f"{target} cannot be written: {problem.strerror or problem}") from None
    finally:
        with suppress(OSError):
            part.unlink()
    say(f"wrote {target} ({_size(size)})")


def _to_stdout(client: Client, url: str) -> None:
    with client.open("GET", url, timeout=PATIENCE) as reply:
        if not sys.stdout.isatty():
            for piece in reply.pieces():
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        for line in reply.lines():
            say(clean(line.decode(errors="replace")))


def _told(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass pieces on; on a terminal a long download says how far it is."""
    began, size, told = time.monotonic(), 0, False
    for piece in pieces:
        yield piece
        size += len(piece)
        if sys.stderr.isatty() and time.monotonic() - began > LOUD_AFTER:
            told = True
            sys.stderr.write(f"\r{_size(size)} …\x1b[K")
            sys.stderr.flush()
    if told:
        sys.stderr.write("\r\x1b[K")


def _size(size: int) -> str:
    return f"{size / MIB:,.1f} MiB" if size >= MIB else f"{size / 1024:,.1f} KiB"
