"""Projects: project list, create, show, edit, rm."""

from typing import Annotated, Any

import typer

from hostler.cli import ids, places, repositories
from hostler.cli.client import ENVIRONMENTS, Client
from hostler.cli.executions import ago
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import clean, emit, line, note, say, table

Json = dict[str, Any]
SERVICE = "gitpod.v1.ProjectService"
app = typer.Typer(help="Projects: repositories with the settings that agents start from.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name, its id, or the beginning of its id.")]
Ref = Annotated[str, typer.Option(help="A branch, tag or commit instead of the default.")]
Classes = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAME|ID", help="Its environment class; again for more, the preferred one first."),
]
Setup = Annotated[
    list[str] | None,
    typer.Option("--setup", metavar="COMMAND", help="A command that prepares new environments; again for more."),
]
Devcontainer = Annotated[
    str | None, typer.Option(metavar="PATH", help="Its devcontainer.json, below the repository.", show_default=False)
]
Description = Annotated[str | None, typer.Option("--description", "-d", help="What it is.", show_default=False)]


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Only those with this in name or repository.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List projects, the newest first: id, age, name, repository.

    Example:

        hostler project list --search shop
    """
    found = _all(Client(places.find(data_dir)), {"search": search} if search else {})
    if json:
        emit(found)
        return
    if not found and search:
        note(f"no project has {search!r} in its name or repository; `hostler project list` shows all")
    elif not found:
        note("no projects: make one with `hostler project create NAME --repo PATH|URL`")
    short = ids.shortened([one["id"] for one in found])
    rows = [
        (short[one["id"]], ago(one.get("metadata", {}).get("createdAt", "")), line(_name(one)), line(_source(one)))
        for one in found
    ]
    table(rows, ("ID", "AGE", "NAME", "REPOSITORY") if rows else ())


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    repo: Annotated[str, typer.Option(metavar="PATH|URL", help="The code: a folder here, or a repository's URL.")],
    ref: Ref = "",
    classes: Classes = None,
    setup: Setup = None,
    devcontainer: Devcontainer = None,
    description: Description = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Register a project and print its id.

    Examples:

        hostler project create shop --repo https://github.com/ann/shop --setup "npm ci"

        hostler project create tool --repo . --class Large --setup "make deps" --setup "make build"
    """
    client = Client(places.find(data_dir))
    wanted = _class_ids(client, classes or [])
    body: Json = {"name": name, "initializer": _initializer(repo, ref)}
    body |= _given(devcontainerFilePath=devcontainer, technicalDescription=description)
    if setup:
        body["setup"] = {"commands": setup}
    made = client.call(SERVICE, "CreateProject", body)["project"]
    if wanted:
        _set_classes(client, made["id"], wanted)
        made = _get(client, made["id"])
    emit(made) if json else say(made["id"])


@app.command()
def show(project: Which, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a project: where its code is, and what its environments start with.

    Example:

        hostler project show shop
    """
    client = Client(places.find(data_dir))
    found = find(client, project)
    if json:
        emit(found)
        return
    names = {one["id"]: one.get("displayName", one["id"]) for one in _classes(client)}
    kinds = [one.get("environmentClassId", "") for one in found.get("environmentClasses", [])]
    rows = [
        ("id", found["id"]),
        ("name", line(_name(found))),
        ("repository", line(_source(found))),
        ("classes", ", ".join(line(names.get(one, one)) for one in kinds)),
        *(("setup", line(one)) for one in found.get("setup", {}).get("commands", [])),
        ("devcontainer", line(found.get("devcontainerFilePath", ""))),
        ("used by", f"{found.get('usedBy', {}).get('totalSubjects', 0)} in the last 30 days"),
    ]
    table([row for row in rows if row[1]])
    if text := found.get("technicalDescription", ""):
        say(f"\n{clean(str(text)).strip()}")


@app.command()
def edit(
    project: Which,
    name: Annotated[str | None, typer.Option(help="A new name.", show_default=False)] = None,
    repo: Annotated[str, typer.Option(metavar="PATH|URL", help="Another repository.")] = "",
    ref: Ref = "",
    classes: Classes = None,
    setup: Setup = None,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Take the setup commands away.")] = False,
    devcontainer: Devcontainer = None,
    description: Description = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Change what the options name; environments that exist already stay as they are.

    Examples:

        hostler project edit shop --setup "npm ci" --setup "npm run build"

        hostler project edit shop --name store --class Large
    """
    if setup and no_setup:
        raise usage("--setup and --no-setup exclude each other")
    if ref and not repo:
        raise usage("--ref needs --repo")
    client = Client(places.find(data_dir))
    changes = _given(name=name, devcontainerFilePath=devcontainer, technicalDescription=description)
    if repo:
        changes["initializer"] = _initializer(repo, ref)
    if setup or no_setup:
        changes["setup"] = {"commands": setup or []}
    if not changes and not classes:
        raise usage("nothing to change: name it with an option")
    wanted = _class_ids(client, classes or [])
    found = find(client, project)
    if changes:
        client.call(SERVICE, "UpdateProject", {"projectId": found["id"], **changes})
    if wanted:
        _set_classes(client, found["id"], wanted)
    changed = _get(client, found["id"])
    emit(changed) if json else say(f"changed {found['id']}")


@app.command()
def rm(project: Which, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove a project; its environments and executions stay.

    Example:

        hostler project rm shop
    """
    client = Client(places.find(data_dir))
    found = find(client, project)
    client.call(SERVICE, "DeleteProject", {"projectId": found["id"]})
    emit({"removed": found["id"]}) if json else say(f"removed {found['id']}")


def find(client: Client, given: str) -> Json:
    """Return the project that is called so, or whose id begins so; raises Problem when it is not clear which."""
    text = given.strip()
    if ids.WHOLE.fullmatch(text.lower()):
        return _get(client, text.lower())
    known = _all(client)
    fits = [one for one in known if _name(one) == text]
    fits = fits or [one for one in known if len(text) > 3 and one["id"].startswith(text.lower())]
    if len(fits) > 1:
        listed = ", ".join(one["id"] for one in fits[:10])
        raise usage(f"{given!r} fits more than one project: {listed}")
    if not fits:
        raise Problem(f"there is no project {given!r}; `hostler project list` shows all", code="not_found")
    return fits[0]


def _all(client: Client, wanted: Json | None = None) -> list[Json]:
    return list(client.pages(SERVICE, "ListProjects", "projects", {"filter": wanted} if wanted else None))


def _get(client: Client, project: str) -> Json:
    return client.call(SERVICE, "GetProject", {"projectId": project})["project"]


def _classes(client: Client) -> list[Json]:
    return list(client.pages(ENVIRONMENTS, "ListEnvironmentClasses", "environmentClasses"))


def _class_ids(client: Client, given: list[str]) -> list[str]:
    """Return the ids of classes by name or id."""
    known = _classes(client) if given else []
    found: list[str] = []
    for one in given:
        fits = [cls["id"] for cls in known if one.casefold() in (cls["id"], cls.get("displayName", "").casefold())]
        if not fits:
            names = ", ".join(str(cls.get("displayName", cls["id"])) for cls in known)
            raise usage(f"--class: there is no environment class {one!r}; there are: {names}")
        found.append(fits[0])
    return found


def _set_classes(client: Client, project: str, wanted: list[str]) -> None:
    numbered = [{"environmentClassId": one, "order": order} for order, one in enumerate(wanted)]
    body = {"projectId": project, "projectEnvironmentClasses": numbered}
    client.call(SERVICE, "UpdateProjectEnvironmentClasses", body)


def _initializer(repo: str, ref: str) -> Json:
    url = repositories.url(repo)
    return {"specs": [{"contextUrl": {"url": repositories.with_ref(url, ref) if ref else url}}]}


def _given(**values: str | None) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _name(project: Json) -> str:
    return str(project.get("metadata", {}).get("name", ""))


def _source(project: Json) -> str:
    """Return where a project's code comes from."""
    for one in project.get("initializer", {}).get("specs", []):
        git: Json = one.get("git", {})
        return str(one.get("contextUrl", {}).get("url", "")) or str(git.get("remoteUri", ""))
    return "(an empty workspace)"
