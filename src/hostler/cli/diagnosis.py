"""`hostler doctor`: whether everything holds on this machine, and how to mend what does not."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from hostler.cli import extras, places, runners
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import DONE, FAILED, Problem, usage
from hostler.cli.screen import clean, emit, paint, say

MARKS = {"ok": ("✓", "green"), "weak": ("!", "yellow"), "wrong": ("✗", "red"), "skipped": ("-", "dim")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `weak` works but could be better, `wrong` has to be mended; `fix` says how."""

    check: str
    state: Literal["ok", "weak", "wrong", "skipped"]
    said: str
    fix: str = ""


def doctor(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="With --check: these only.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the logs of a running server's executions instead.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="The settings to check [as `serve` finds them].", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="PROVIDER:NAME", help="The model to try instead of the configured one.")
    ] = "",
    call: Annotated[bool, typer.Option("--call/--no-call", help="Make one small model call, which may cost.")] = True,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Check whether agents can work here, and how to mend it.

    Looks at sandbox, git, database, clock, disk, proxy, certificates, model and server.

    With --check it reads every execution of the server and says where log, answers and usage are not as they must be:
    lost or doubled events, calls without a result, sums that do not add up. For administrators.

    Exit code: 0 when agents can work, 1 when something is wrong.

    Examples:

        hostler doctor

        hostler doctor --model anthropic:claude-sonnet-4-5

        hostler doctor --check
    """
    if check or ids:
        if not check:
            raise usage("ids are for --check")
        from hostler.cli.truth import checked

        raise typer.Exit(checked(ids or (), json=json, data_dir=data_dir))
    found: list[Finding] = []
    if sys.platform == "linux":
        from hostler.cli.checkups import checkups

        found += checkups(config, data_dir, model, call=call)
    else:
        found.append(Finding("machine", "skipped", f"the server runs on Linux, not on {sys.platform}"))
    found += server(data_dir)
    if json:
        emit([asdict(finding) for finding in found])
    else:
        tell(found)
    raise typer.Exit(FAILED if any(finding.state == "wrong" for finding in found) else DONE)


def tell(found: list[Finding]) -> None:
    """Print findings, each with what mends it."""
    size = max(len(finding.check) for finding in found)
    for finding in found:
        mark, style = MARKS[finding.state]
        say(f"{paint(mark, style)} {finding.check:<{size}}  {clean(finding.said)}")
        if finding.fix:
            say(f"  {'':<{size}}  {paint('mend: ' + clean(finding.fix), 'cyan')}")
    wrong = sum(finding.state == "wrong" for finding in found)
    say(paint(f"{wrong} to mend", "red") if wrong else paint("agents can work", "green"))


def server(data_dir: Path | None) -> list[Finding]:
    """Ask the running server, if there is one, how it is."""
    folder = places.data_dir(data_dir)
    named = data_dir is None and bool(places.named_url())
    if not named and not places.server_file(folder):
        return [Finding("server", "skipped", "none runs here; start one with `hostler serve`")]
    try:
        there = places.find(data_dir)
        client = Client(there)
        client.request("GET", "/healthz", timeout=10)
    except Problem as problem:
        return [Finding("server", "wrong", problem.message, "hostler serve")]
    found = [Finding("server", "ok", f"alive at {there.url}")]
    try:
        client.request("GET", "/readyz", timeout=10)
        found.append(Finding("server takes work", "ok", "yes"))
    except Problem as problem:
        found.append(Finding("server takes work", "wrong", problem.message, "mend what is named, then start it again"))
    try:
        next(client.pages("gitpod.v1.AgentService", "ListAgents", "agents"), None)
        found.append(Finding("token", "ok", "accepted"))
    except Problem as problem:
        fix = f"take the one in {folder / 'token'}, or: hostler token create NAME"
        found.append(Finding("token", "wrong", problem.message, fix))
    return [*found, *_report(client)]


def _report(client: Client) -> list[Finding]:
    """Return what the server says of itself, when it can."""
    try:
        report = extras.report(client)
    except Problem:
        return []
    said = f"{report.get('version', '')}, model {report.get('model', '')}, {report.get('slots', '')} turns at once"
    return [Finding("server runs", "ok", said), *_machines(client)]


def _machines(client: Client) -> list[Finding]:
    """Return how the machines are that share the database, where there are several."""
    try:
        found = runners.listed(client)
    except Problem:
        return []
    if len(found) < 2:
        return []
    bad = [
        f"{name} is {runners.health(one)}"
        for one, name in zip(found, runners.names(found), strict=True)
        if runners.health(one) != "active"
    ]
    if not bad:
        return [Finding("machines", "ok", f"{len(found)}, all active")]
    fix = "start its server again, or, when it is gone for good: hostler runner rm NAME"
    return [Finding("machines", "wrong", "; ".join(bad), fix)]
