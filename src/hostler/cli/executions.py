"""Looking at executions and steering them: ps, show, send, stop, rm."""

import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from hostler.cli import codex, endings, ids, modes, places, taking
from hostler.cli.client import Client
from hostler.cli.extras import noted, seen, verdict
from hostler.cli.glance import PAGE, STANDINGS, Entry, glance, lasted
from hostler.cli.kept import ask_before_executions, kept_of
from hostler.cli.openness import Choice, asked_of
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.paper import fact, fitting
from hostler.cli.problems import usage
from hostler.cli.screen import clean, emit, line, note, paint, say, table
from hostler.cli.usage import show_tree

OWN = "hostler"
"""The name of Hostler's own agent, which is not worth a word."""
NAME = 40
"""Cells of a name in a list."""
RECENT = 10
"""Entries of the group "done" that `ps` shows unless asked for all."""
Json = dict[str, Any]


def ps(
    all_: Annotated[
        bool, typer.Option("--all", "-a", help=f"Show all that are done, not only the last {RECENT}.")
    ] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List executions: who needs you and what for, who works, what is done.

    Examples:

        hostler ps

        hostler ps --json | jq -r '.[].id'
    """
    client = Client(places.find(data_dir))
    if json:
        emit(list(client.pages("gitpod.v1.AgentService", "ListAgentExecutions", "agentExecutions")))
        return
    now = time.time()
    found = glance(client, now, 0 if all_ else PAGE)
    if not found.entries:
        note("no executions yet: start one with `hostler run TASK --repo .`")
    short = ids.shortened([one.id for one in found.entries])
    for standing, (title, style) in STANDINGS.items():
        group = [one for one in found.entries if one.standing == standing]
        shown = group if all_ or standing != "done" else group[:RECENT]
        if shown:
            say(paint(title, style, "bold"))
            table([_row(one, short[one.id], now + found.ahead) for one in shown])
        if len(shown) < len(group):
            more = f"more than {len(group) - RECENT}" if found.more else f"{len(group) - RECENT}"
            say(paint(f"  … {more} more: hostler ps --all".replace(" more more", " more"), "dim"))


def show(
    execution: Execution,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Save all that helps to find out what went wrong, as one zip archive.")
    ] = False,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write the bundle [support-ID.zip].", show_default=False
        ),
    ] = "",
    force: taking.Force = False,
    calls: Annotated[bool, typer.Option("--usage", help="Every model call instead, with those of sub-agents.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one execution: its state, what it asks, whether "done" is backed by checks, usage, outputs, environment.

    Examples:

        hostler show 0198c2

        hostler show 0198c2 --json | jq .status.phase

        hostler show 0198c2 --usage

        hostler show 0198c2 --bundle
    """
    client = Client(places.find(data_dir))
    if calls:
        show_tree(client, ids.execution(client, execution), json=json)
        return
    if bundle:
        taking.bundle(client, ids.execution(client, execution), output, force=force)
        return
    if output:
        raise usage("--output is where --bundle writes to")
    found = seen(client, ids.execution(client, execution))
    if json:
        emit(found)
        return
    for name, value in _facts(found, endings.judged(*verdict(client, found["id"]))):
        fact(name, value, 12)
    for text in noted(found):
        fact("note", paint(text, "yellow"), 12)


def send(
    execution: Execution,
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    input_id: Annotated[
        str, typer.Option("--id", help="Your id of this message: sent again with the same id, it counts once.")
    ] = "",
    mode: modes.Mode = "",
    budget: modes.Budget = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say something to an execution.

    While it works, the message waits in its queue. /NAME is a command of the prompt library, ! begins a command that
    runs in the environment at once; /clear empties the model's memory.

    Examples:

        hostler send 0198c2 "Add a test for the empty list too"

        git diff | hostler send 0198c2 -

        hostler send 0198c2 '/review src/parser.py'

        hostler send 0198c2 '!make test'

        hostler send 0198c2 "How would you split this module?" --mode planning
    """
    modes.checked(mode, budget)
    content = sys.stdin.read() if text == "-" else text
    if not content.strip():
        raise usage("there is nothing to send: the text is empty")
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    said, options = modes.request(content, mode, budget)
    sent = say_to(client, found, said, input_id, options)
    if json:
        emit({"id": found, "inputId": sent})
    else:
        say(f"sent; watch with: hostler watch {execution}")


def stop(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Stop what an execution is doing now.

    It can go on later with `hostler send`.

    Example:

        hostler stop 0198c2
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    client.agents("StopAgentExecution", {"agentExecutionId": found})
    if json:
        emit(client.execution(found))
    else:
        say(f"stopped {found}")


def rm(
    executions: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or prefixes that only one has.")],
    force: Annotated[bool, typer.Option("--force", help="Even changes that were neither pushed nor applied.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Stop executions and remove all that is kept of them.

    Their log, their files, what was kept of their work, and the environments made for them. Asks first when changes
    would go that were neither pushed nor applied.

    Example:

        hostler rm 0198c2 0198c3
    """
    client = Client(places.find(data_dir))
    found = [ids.execution(client, given) for given in executions]
    if not force:
        ask_before_executions(client, found)
    for id_ in found:
        client.agents("DeleteAgentExecution", {"agentExecutionId": id_})
        if not json:
            say(f"removed {id_}")
    if json:
        emit({"removed": found})


def say_to(client: Client, execution: str, text: str, input_id: str = "", options: Json | None = None) -> str:
    """Send text to an execution and return the input's id, which makes a repeat harmless."""
    sent = input_id or str(uuid.uuid4())
    body = {"id": sent, "inputs": [{"text": {"content": text}}]}
    client.agents("SendToAgentExecution", {"agentExecutionId": execution, "userInput": body, **(options or {})})
    return sent


def ago(stamp: str, now: float | None = None) -> str:
    """Return how long ago an RFC 3339 time was, in one unit."""
    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return ""
    seconds = max(0, int((now or time.time()) - then.replace(tzinfo=then.tzinfo or UTC).timestamp()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _row(one: Entry, short: str, now: float) -> tuple[str, ...]:
    who = f" ({one.agent})" if one.agent not in ("", OWN) else ""
    place = f"{'  ' * (one.depth - 1)}↳ " if one.depth else ""
    name = f"{place}{fitting(one.name, NAME)}{who}"
    return f"  {one.mark[0]} {short}", lasted(now - one.since) if one.since else "", name, one.doing


def _facts(found: Json, checks: str = "") -> list[tuple[str, str]]:
    metadata, spec, status = (found.get(part, {}) for part in ("metadata", "spec", "status"))
    extra = found.get("hostler", {})
    questions, steps = asked_of(extra)
    context = spec.get("codeContext", {})
    code = (
        context.get("contextUrl", {}).get("url")
        or context.get("environmentId")
        or context.get("projectId")
        or "(empty)"
    )
    facts = [
        ("id", found["id"]),
        ("name", clean(str(metadata.get("name", "")))),
        ("state", endings.state(found, asked="an answer" if questions else "")),
        ("checks", checks),
        *(("asks", _offer(one.text, one.choices)) for one in questions),
        *(("proposes", f"{number} {one.title}") for number, one in enumerate(steps, 1)),
        *(("waits for", f"{endings.waited(one)} [{one.get('id', '')}]") for one in extra.get("waits", [])),
        ("activity", line(status.get("currentActivity", ""))),
        ("code", line(code)),
        ("agent", codex.described(extra) or line(spec.get("agentId", ""))),
        ("model", line(extra.get("model", ""))),
        ("started", f"{metadata.get('createdAt', '')} ({ago(metadata.get('createdAt', ''))} ago)"),
        ("goal", codex.goal(found)),
        ("usage", endings.usage(found)),
        ("context", _context(status)),
        ("environment", ", ".join(used.get("environmentId", "") for used in status.get("usedEnvironments", []))),
        ("changes", kept_of(extra)),
        ("queue", ", ".join(extra.get("queue", []))),
        *(("sub-agent", row) for row in endings.subagents(found)),
        *(("MCP server", row) for row in endings.mcp_servers(found)),
        *(("output", f"{key} = {value}") for key, value in endings.outputs(found)),
        *(("annotation", f"{line(k)} = {line(v)}") for k, v in sorted(metadata.get("annotations", {}).items())),
    ]
    return [(name, value) for name, value in facts if value]


def _offer(text: str, choices: Sequence[Choice]) -> str:
    offered = ", ".join(f"{number} {one.label}" for number, one in enumerate(choices, 1))
    return paint(f"{line(text)}{f' ({offered})' if offered else ''}", "yellow")


def _context(status: Json) -> str:
    length, limit = int(status.get("contextWindowLength", 0)), int(status.get("contextWindowLimit", 0))
    return f"{length:,} of {limit:,} tokens" if limit else ""
