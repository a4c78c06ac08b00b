"""Environments: env list, exec, stop, rm."""

import shlex
import sys
import time
import uuid
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.client import ENVIRONMENTS, OPS, Client
from hostler.cli.executions import ago
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, Unreachable, usage
from hostler.cli.screen import emit, line, note, say, table
from hostler.cli.stream import PAUSES, TRIES

Json = dict[str, Any]
app = typer.Typer(help="Environments, the sandboxes that agents work in.", no_args_is_help=True)
Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="An environment's id, or an execution's (its environment); prefixes do.")
]
LONGEST = 24 * 3600
GRACE = 30.0
"""Seconds beyond a command's own limit after which the server counts as silent."""


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List environments, the newest first.

    Example:

        hostler env list
    """
    found = list(Client(places.find(data_dir)).pages(ENVIRONMENTS, "ListEnvironments", "environments"))
    if json:
        emit(found)
        return
    if not found:
        note("no environments")
    short = ids.shortened([entry["id"] for entry in found])
    table([_row(entry, short[entry["id"]]) for entry in found])


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_(
    environment: Environment,
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="The program and its arguments.")],
    workdir: Annotated[str, typer.Option("--workdir", "-w", help="Where it runs; the workspace otherwise.")] = "",
    timeout: Annotated[int, typer.Option(min=1, max=LONGEST, help="Seconds after which it is killed.")] = 120,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run a command inside an environment; its output and exit code are passed through. Options go before ENV.

    Examples:

        hostler env exec 0198c2 -- pytest -q

        hostler env exec --timeout 600 0198c2 -- sh -c 'make && make test'
    """
    client = Client(places.find(data_dir))
    words = command[1:] if command and command[0] == "--" else command
    if not words:
        raise usage("there is no command after --")
    found = find(client, environment)
    ended = run(client, found, shlex.join(words), workdir, timeout)
    if json:
        emit({"exitCode": 0, "stdout": "", "stderr": "", **ended})
    else:
        sys.stdout.write(ended.get("stdout", ""))
        sys.stdout.flush()
        sys.stderr.write(ended.get("stderr", ""))
        sys.stderr.flush()
    raise typer.Exit(int(ended.get("exitCode", 0)) & 0xFF)


@app.command()
def stop(environment: Environment, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Stop an environment: its processes end, its files stay.

    Example:

        hostler env stop 0198c2
    """
    client = Client(places.find(data_dir))
    found = find(client, environment)
    client.call(ENVIRONMENTS, "StopEnvironment", {"environmentId": found})
    emit({"stopped": found}) if json else say(f"stopped {found}")


@app.command()
def rm(
    environment: Environment,
    force: Annotated[bool, typer.Option("--force", help="Even while an execution uses it.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove an environment with its files.

    Example:

        hostler env rm 0198c2
    """
    client = Client(places.find(data_dir))
    found = find(client, environment)
    client.call(ENVIRONMENTS, "DeleteEnvironment", {"environmentId": found, "force": force})
    emit({"removed": found}) if json else say(f"removed {found}")


def find(client: Client, given: str) -> str:
    """Return the id of the environment that is meant, by its own id or by that of an execution that works in it."""
    prefix = given.strip().lower()
    try:
        meant = ids.whole(client, "environment", prefix)
        if not ids.WHOLE.fullmatch(prefix):
            return meant
        client.call(ENVIRONMENTS, "GetEnvironment", {"environmentId": meant})
        return meant
    except Problem as problem:
        if problem.code != "not_found":
            raise
    try:
        status: Json = client.execution(ids.execution(client, prefix)).get("status", {})
    except Problem as problem:
        if problem.code != "not_found":
            raise
        status = {}
    used: list[str] = [entry["environmentId"] for entry in status.get("usedEnvironments", [])]
    if not used:
        raise Problem(f"there is no environment {given}, nor an execution that has one", code="not_found")
    return used[0]


def run(client: Client, environment: str, command: str, workdir: str, timeout: int) -> Json:
    """Run a shell command; a connection that breaks is taken up by the operation's id, so it never runs twice."""
    operation = str(uuid.uuid4())
    body = {"operationId": operation, "command": command, "workingDirectory": workdir, "timeoutSeconds": timeout}
    for attempt in range(TRIES):
        try:
            url, token = _ops(client, environment)
            path = f"{url.rstrip('/')}/{OPS}/Exec"
            return client.json("POST", path, body, token=token, timeout=timeout + GRACE)
        except Unreachable as problem:
            note(f"{problem.message}; reconnecting", "yellow")
            time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            client.find_again()
    raise Unreachable("the server stays away; the command may have run")


def _ops(client: Client, environment: str) -> tuple[str, str]:
    """Return where the environment's operations are served, and a token for them."""
    named = {"environmentId": environment}
    status = client.call(ENVIRONMENTS, "GetEnvironment", named)["environment"].get("status", {})
    url = status.get("environmentUrls", {}).get("ops", "")
    if not url:
        raise Problem(f"nothing can be run in the environment: it is {_phase(status)}")
    return url, client.call(ENVIRONMENTS, "CreateEnvironmentAccessToken", named)["accessToken"]


def _row(entry: Json, short: str) -> tuple[str, ...]:
    metadata, status = entry.get("metadata", {}), entry.get("status", {})
    said = "; ".join(status.get("failureMessage", []))
    name = line(metadata.get("name", "") or metadata.get("originalContextUrl", ""))
    return short, _phase(status), ago(metadata.get("createdAt", "")), f"{name}{' — ' + line(said) if said else ''}"


def _phase(status: Json) -> str:
    return str(status.get("phase", "")).removeprefix("ENVIRONMENT_PHASE_").lower() or "unknown"
