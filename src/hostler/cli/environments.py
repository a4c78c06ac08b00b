"""Environments: env create, list, show, logs, start, stop, rm; exec and shell stand in modules of their own."""

import json as json_text
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from hostler.cli import ids, places, repositories
from hostler.cli.chosen import Environment, Way, find, phase_of
from hostler.cli.client import ENVIRONMENTS, Client
from hostler.cli.executions import ago
from hostler.cli.kept import ask_before_environment, environment_from
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, Unreachable, usage
from hostler.cli.remote import exec_
from hostler.cli.running import server
from hostler.cli.screen import clean, emit, line, note, say, table
from hostler.cli.shell import shell
from hostler.cli.stream import PAUSES, TRIES

Json = dict[str, Any]
PROJECTS = "gitpod.v1.ProjectService"
POLL = 0.2
"""Seconds between two looks at an environment that is being made."""
UNDER_WAY = ("creating", "starting", "updating", "unknown")
QUIET = 45.0
app = typer.Typer(help="Environments, the sandboxes that agents work in.", no_args_is_help=True)


@app.command()
def create(
    repo: Annotated[str, typer.Option(metavar="PATH|URL", help="The code: a folder here, or a repository's URL.")] = "",
    ref: Annotated[str, typer.Option(help="A branch, tag or commit instead of the default.")] = "",
    project: Annotated[str, typer.Option(metavar="NAME|ID", help="A project instead of a repository.")] = "",
    class_: Annotated[str, typer.Option("--class", metavar="NAME|ID", help="How large; the default otherwise.")] = "",
    from_: Annotated[
        str, typer.Option("--from", metavar="EXECUTION[:TURN]", help="The kept work of an execution instead.")
    ] = "",
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait until it runs.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make an environment and wait until it runs; without repository, project or work it is empty. Prints its id.

    Examples:

        hostler env create --repo https://github.com/pallets/click

        id=$(hostler env create --project web) && hostler env shell $id
    """
    if project and repo:
        raise usage("--project has a repository of its own: leave --repo out")
    if ref and not repo:
        raise usage("--ref needs --repo")
    if from_ and (project or repo or name):
        raise usage("--from brings code and name of its own: leave --repo, --project and --name out")
    client = Client(server(data_dir))
    spec: Json = {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}
    if class_:
        spec["machine"] = {"class": class_id(client, class_)}
    named = {"name": name} if name else {}
    if from_:
        made = {"id": environment_from(client, from_, class_)}
    elif project:
        asked = {"projectId": project_id(client, project), "spec": spec, **named}
        made = client.call(ENVIRONMENTS, "CreateEnvironmentFromProject", asked)["environment"]
    else:
        if repo:
            url = repositories.url(repo)
            context = {"contextUrl": {"url": repositories.with_ref(url, ref) if ref else url}}
            spec["content"] = {"initializer": {"specs": [context]}}
        made = client.call(ENVIRONMENTS, "CreateEnvironment", {"spec": spec, **named})["environment"]
    if not json:
        say(made["id"])
    entry = made if detach else running(client, made["id"])
    if json:
        emit(entry)


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


@app.command()
def show(environment: Environment, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show an environment: its phase, its code, what holds it, its open terminals.

    Example:

        hostler env show 0198c2
    """
    client = Client(places.find(data_dir))
    entry = got(client, find(client, environment))
    terminals: list[Json] = []
    if phase_of(entry.get("status", {})) == "running":
        terminals = Way(client, entry["id"]).call("ListTerminals", {}).get("terminals", [])
    if json:
        emit({**entry, "terminals": terminals})
        return
    names = _names(client, entry)
    table([(f"{name}:", clean(text)) for name, text in _facts(entry, names, terminals) if text])


@app.command()
def logs(
    environment: Environment,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as long as something may come.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show how an environment was made: its clone, its setup commands and what they said.

    Example:

        hostler env logs -f 0198c2
    """
    client = Client(places.find(data_dir))
    reading = Logs(client, find(client, environment), follow=follow)
    for text in reading.texts():
        say(clean(text), end="")


@app.command()
def start(environment: Environment, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Start a stopped environment and wait until it runs.

    Example:

        hostler env start 0198c2
    """
    client = Client(places.find(data_dir))
    found = find(client, environment)
    client.call(ENVIRONMENTS, "StartEnvironment", {"environmentId": found})
    entry = running(client, found)
    emit(entry) if json else say(f"started {found}")


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
    force: Annotated[
        bool, typer.Option("--force", help="Even while an execution uses it, and changes that are kept nowhere.")
    ] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove an environment with its files.

    Example:

        hostler env rm 0198c2
    """
    client = Client(places.find(data_dir))
    found = find(client, environment)
    if not force:
        ask_before_environment(client, found)
    client.call(ENVIRONMENTS, "DeleteEnvironment", {"environmentId": found, "force": force})
    emit({"removed": found}) if json else say(f"removed {found}")


@app.command()
def lost(environment: Environment, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Give up an environment whose machine is away for good; its executions may go on with `hostler restore`.

    Example:

        hostler env lost 0198c2
    """
    client = Client(places.find(data_dir))
    given = client.json("POST", f"/api/hostler/v1/environments/{find(client, environment)}/lost", {})
    if json:
        emit(given)
        return
    say(f"given up {given['environmentId']}")
    for one in given["executions"]:
        say(f"its execution {one} can go on from its kept work: hostler restore {one}")


app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(exec_)
app.command()(shell)


def running(client: Client, environment: str) -> Json:
    """Return an environment once it runs; raises Problem when it cannot be made, or stops."""
    while True:
        entry = got(client, environment)
        status: Json = entry.get("status", {})
        if failed := status.get("failureMessage", []):
            raise Problem(f"the environment {environment} could not be made: {clean('; '.join(failed))}")
        phase = phase_of(status)
        if phase == "running":
            return entry
        if phase not in UNDER_WAY and entry.get("spec", {}).get("desiredPhase", "").endswith(("STOPPED", "DELETED")):
            raise Problem(f"the environment {environment} is {phase}")
        time.sleep(POLL)


def got(client: Client, environment: str) -> Json:
    """Return an environment as the API shows it."""
    entry: Json = client.call(ENVIRONMENTS, "GetEnvironment", {"environmentId": environment})["environment"]
    return entry


class Logs:
    """The log of an environment, taken up where it broke off; a followed one goes on until the environment is gone."""

    def __init__(self, client: Client, environment: str, *, follow: bool) -> None:
        self._client = client
        self._environment = environment
        self._follow = follow
        self._seq = 0

    def texts(self) -> Iterator[str]:
        """Yield what was said, in pieces."""
        failures = 0
        while failures < TRIES:
            try:
                for text in self._connected():
                    failures = 0
                    yield text
                if not self._follow:
                    return
                got(self._client, self._environment)  # The server stops: it may come back.
            except Problem as problem:
                if self._follow and self._seq and problem.code == "not_found":
                    return
                if not isinstance(problem, Unreachable) and problem.code != "unavailable":
                    raise
                note(f"{problem.message}; reconnecting", "yellow")
            time.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1
            self._client.find_again()
        raise Unreachable("the server stays away")

    def _connected(self) -> Iterator[str]:
        named = {"environmentId": self._environment}
        url = got(self._client, self._environment).get("status", {}).get("environmentUrls", {}).get("logs", "")
        if not url:
            raise Problem("the server offers no logs of this environment")
        token = self._client.call(ENVIRONMENTS, "CreateEnvironmentLogsToken", named)["accessToken"]
        url += f"?format=json&after={self._seq}" + ("&follow=1" if self._follow else "")
        with self._client.open("GET", url, token=token, timeout=QUIET) as reply:
            for entry in map(json_text.loads, reply.lines()):
                self._seq = int(entry["seq"])
                yield str(entry["text"])


def class_id(client: Client, given: str) -> str:
    """Return the id of the environment class that is meant, by its id or its name."""
    classes = list(client.pages(ENVIRONMENTS, "ListEnvironmentClasses", "environmentClasses"))
    for one in classes:
        if given.lower() in (str(one["id"]), str(one.get("displayName", "")).lower()):
            return str(one["id"])
    names = ", ".join(str(one.get("displayName", "")) for one in classes)
    raise usage(f"--class: there is no environment class {given!r}; there are: {names}")


def project_id(client: Client, given: str) -> str:
    """Return the id of the project that is meant, by its name, its id, or the beginning of it."""
    known = list(client.pages(PROJECTS, "ListProjects", "projects"))
    named = [one["id"] for one in known if one.get("metadata", {}).get("name", "") == given]
    fitting: list[str] = named or [one["id"] for one in known if str(one["id"]).startswith(given.lower())]
    if len(fitting) != 1:
        many = f"{given!r} fits more than one project; take an id: {', '.join(fitting)}"
        none = f"there is no project {given!r}; `hostler project list` shows all"
        raise usage(f"--project: {many if fitting else none}")
    return fitting[0]


def _names(client: Client, entry: Json) -> tuple[str, str]:
    """Return how people call an environment's class and project; the id of what is there no more."""
    class_ = str(entry.get("spec", {}).get("machine", {}).get("class", ""))
    project = str(entry.get("metadata", {}).get("projectId", ""))
    classes = client.pages(ENVIRONMENTS, "ListEnvironmentClasses", "environmentClasses") if class_ else ()
    projects = client.pages(PROJECTS, "ListProjects", "projects") if project else ()
    return (
        next((str(one.get("displayName", "")) for one in classes if one["id"] == class_), class_),
        next((str(one.get("metadata", {}).get("name", "")) for one in projects if one["id"] == project), project),
    )


def _facts(entry: Json, names: tuple[str, str], terminals: list[Json]) -> list[tuple[str, str]]:
    metadata, status = (entry.get(part, {}) for part in ("metadata", "status"))
    content = status.get("content", {})
    git = content.get("git", {})
    return [
        ("id", entry["id"]),
        ("name", metadata.get("name", "")),
        ("phase", phase_of(status)),
        ("failed", "; ".join(status.get("failureMessage", []))),
        ("note", "; ".join(status.get("warningMessage", []))),
        ("created", ago(metadata.get("createdAt", ""))),
        ("class", names[0]),
        ("project", names[1]),
        ("code", metadata.get("originalContextUrl", "") or git.get("cloneUrl", "")),
        ("branch", git.get("branch", "")),
        ("commits as", _author(entry)),
        ("pushes with", f"the credentials of {metadata['creator']['id']}" if metadata.get("creator") else ""),
        ("workspace", content.get("contentLocationInMachine", "")),
        *(("terminal", f"{one['terminalId']}  {one.get('shell', '')}") for one in terminals),
    ]


def _author(entry: Json) -> str:
    """Return as whom git commits inside."""
    content = entry.get("spec", {}).get("content", {})
    name, email = content.get("gitUsername", ""), content.get("gitEmail", "")
    return f"{name or 'Agent'} <{email or 'agent@localhost'}>"


def _row(entry: Json, short: str) -> tuple[str, ...]:
    metadata, status = entry.get("metadata", {}), entry.get("status", {})
    said = "; ".join(status.get("failureMessage", []))
    name = line(metadata.get("name", "") or metadata.get("originalContextUrl", ""))
    return short, phase_of(status), ago(metadata.get("createdAt", "")), f"{name}{' — ' + line(said) if said else ''}"
