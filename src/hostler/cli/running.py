"""`hostler run`: starts an agent on a task, with a server of its own where none runs, and follows it."""

import sys
from typing import Annotated, Any

import typer

from hostler.cli import codex, modes, places, repositories
from hostler.cli.client import Client
from hostler.cli.endings import SHORT
from hostler.cli.executions import say_to
from hostler.cli.opening import link_or_nothing
from hostler.cli.options import AsJson, DataDir, Full, Thoughts
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, note, say
from hostler.cli.story import Story
from hostler.cli.watching import Follower

Json = dict[str, Any]


def run(
    task: Annotated[str, typer.Argument(help="What the agent is to do; - reads it from standard input.")],
    repo: Annotated[str, typer.Option(metavar="PATH|URL", help="The code: a folder here, or a repository's URL.")] = "",
    ref: Annotated[str, typer.Option(help="A branch, tag or commit instead of the default.")] = "",
    project: Annotated[str, typer.Option(metavar="NAME|ID", help="A project that was registered, for its code.")] = "",
    agent: Annotated[str, typer.Option(metavar="NAME|ID", help="Which agent; the default one otherwise.")] = "",
    model: Annotated[
        str, typer.Option(metavar="PROVIDER:NAME", help="Which model; for Codex, its name alone will do.")
    ] = "",
    effort: Annotated[str, typer.Option(metavar="LEVEL", help="How hard Codex thinks: low, medium, high, …")] = "",
    mode: modes.Mode = "",
    budget: modes.Budget = "",
    until: Annotated[
        str, typer.Option(metavar="EXPR", help="Go on until this holds over the outputs, such as outputs.green.")
    ] = "",
    name: Annotated[str, typer.Option(help="What to call it; the task's first line otherwise.")] = "",
    annotation: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Note it; may be repeated.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and leave it running.")] = False,
    full: Full = False,
    thoughts: Thoughts = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Start an agent on a task and show what it does. The first line is the execution's id.

    A link to watch it in a browser, good once within ten minutes, goes to standard error; with --json it is in the
    first line.

    Without a running server it starts one that ends by itself after 30 idle minutes. Ctrl-C leaves the agent running.

    Exit code: 0 done, 1 failed, stopped, or --until unmet, 2 wrong usage, 3 when the agent asks for something.

    Examples:

        hostler run "Make the failing test pass" --repo .

        hostler run "Explain the build" --repo https://github.com/pallets/click --ref 8.1.7

        hostler run "Add a test for the parser" --project shop

        hostler run "Add a test for the parser" --repo . --agent codex --effort high

        hostler run "Mend the tests, then report the output green" --repo . --until 'outputs.green == true'

        hostler run "Port the parser" --repo . --mode ralph

        hostler run "All tests pass" --repo . --mode goal --budget 500k

        id=$(hostler run "Tidy up" --repo . --detach) && hostler wait $id && hostler diff $id
    """
    text = sys.stdin.read() if task == "-" else task
    if not text.strip():
        raise usage("there is no task: the text is empty")
    modes.checked(mode, budget)
    if until:
        annotation = [*(annotation or []), f"hostler/until={until}"]
    if repo and project:
        raise usage("--repo and --project exclude each other")
    ours = "" if codex.is_model(model) else model
    name = name or (text.strip().split("\n", 1)[0][:80] if mode == "goal" else "")
    request = requested(repo, ref if repo or not project else "", name, ours, annotation or [])
    request |= codex.chosen(model, effort)
    client = Client(server(data_dir))
    if project:
        request["codeContext"] = of_project(client, project, ref)
    if agent:
        request["agentId"] = agent_id(client, agent)
    execution = client.agents("StartAgent", request)["agentExecutionId"]
    _tell(execution, link_or_nothing(client, execution), json=json)
    try:
        said, options = modes.request(text, mode, budget)
        say_to(client, execution, said, options=options)
    except Problem as problem:
        note(f"the execution {execution} exists, but it did not get its task", "red")
        raise problem from None
    if detach:
        return
    follower = Follower(
        client, execution, json=json, story=Story(full=full, thoughts=thoughts, execution=execution[:SHORT])
    )
    raise typer.Exit(follower.follow())


def _tell(execution: str, link: str, *, json: bool) -> None:
    """Print the id, and where to watch it in a browser."""
    if json:
        emit({"type": "execution", "id": execution, **({"url": link} if link else {})}, lines=True)
        return
    say(execution)
    if link:
        note(f"watch it: {link}")


def requested(repo: str, ref: str, name: str, model: str, annotations: list[str]) -> Json:
    """Return the StartAgent request that the options come to."""
    notes = dict(_pair(given) for given in annotations)
    if model:
        notes["hostler/model"] = model
    if ref and not repo:
        raise usage("--ref needs --repo")
    request: Json = {"name": name, "annotations": notes}
    if repo:
        url = repositories.url(repo)
        request["codeContext"] = {"contextUrl": {"url": repositories.with_ref(url, ref) if ref else url}}
    return {key: value for key, value in request.items() if value}


def of_project(client: Client, given: str, ref: str) -> Json:
    """Return the code of a project, at its own ref or at another one."""
    from hostler.cli.projects import find

    context: Json = {"projectId": find(client, given)["id"]}
    return {**context, "pullRequest": {"fromBranch": ref}} if ref else context


def agent_id(client: Client, given: str) -> str:
    """Return the id of the agent that is called so, or has that id."""
    agents = list(client.pages("gitpod.v1.AgentService", "ListAgents", "agents"))
    named = [one["id"] for one in agents if given in (one["id"], one.get("metadata", {}).get("name", ""))]
    if len(named) == 1:
        return named[0]
    if not named and given == codex.NAME:
        return codex.AGENT
    known = ", ".join(one.get("metadata", {}).get("name", one["id"]) for one in agents)
    raise Problem(
        f"there is no agent {given!r}; there are: {known}" if not named else f"two agents are called {given!r}"
    )


def server(data_dir: Any) -> places.Server:
    """Return the server to run on: the one that is named or runs here, else one started for this."""
    if data_dir is None and places.named_url():
        return places.find()
    from hostler.cli.spawning import running_or_started

    return running_or_started(places.data_dir(data_dir))


def _pair(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals or not key:
        raise usage(f"--annotation: {given!r} is not KEY=VALUE")
    return key, value
