"""The pages from the command line: links that open one signed in, and shares of a conversation."""

import os
import sys
import webbrowser
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, line, note, say, table

Json = dict[str, Any]
MOST_HOURS = 720


def open(
    id: Annotated[str, typer.Argument(metavar="[ID]", help="An execution; without one, the list of all.")] = "",
    only_print: Annotated[bool, typer.Option("--print", help="Only print the link.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print a link that opens a page already signed in, and open it where there is a desktop.

    The link can be opened once, within ten minutes. Whoever opens it is signed in as you are.

    Examples:

        hostler open

        hostler open 0198c2aa

        ssh server hostler open 0198c2aa --print
    """
    client = Client(places.find(data_dir))
    made = link(client, path_of(ids.execution(client, id)) if id else "/")
    if json:
        emit(made)
        return
    say(made["url"])
    if not only_print and has_desktop() and webbrowser.open(made["url"]):
        note("opened in your browser; the link is used up by that")


def share(
    execution: Execution,
    send: Annotated[bool, typer.Option("--send", help="Visitors may also say something to the agent.")] = False,
    hours: Annotated[int, typer.Option(min=1, max=MOST_HOURS, help="After how many hours it ends.")] = 72,
    name: Annotated[str, typer.Option(help="For whom or what it is; shown in the list and the log.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the shares that hold.")] = False,
    revoke: Annotated[str, typer.Option(metavar="SHARE", help="Take a share back, by its id or a prefix.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Share one conversation by a link: to read it or, with --send, also to say something to its agent.

    The link is printed this once. Nothing else is shown to visitors: no other execution, no files, no log.

    Examples:

        hostler share 0198c2aa

        hostler share 0198c2aa --send --hours 8 --name "review with Ann"

        hostler share 0198c2aa --list

        hostler share 0198c2aa --revoke 0198c2bb
    """
    if list_ and revoke:
        raise usage("--list and --revoke exclude each other")
    client = Client(places.find(data_dir))
    meant = ids.execution(client, execution)
    where = f"{PREFIX}/executions/{meant}/shares"
    if list_:
        _list(client.json("GET", where).get("shares", []), json=json)
    elif revoke:
        _revoke(client, where, revoke, json=json)
    else:
        made = client.json("POST", where, {"may": "send" if send else "view", "hours": hours, "name": name})
        if json:
            emit(made)
            return
        say(made["url"])
        note(f"{_allowed(made)}, until {_until(made)}; take it back with: hostler share {meant} --revoke {made['id']}")


def link(client: Client, path: str) -> Json:
    """Return a link that opens a path once, signed in: {url, expiresAt}."""
    return client.json("POST", f"{PREFIX}/links", {"path": path})


def link_or_nothing(client: Client, execution: str) -> str:
    """Return such a link to the page of an execution; nothing where the server makes none."""
    try:
        return str(link(client, path_of(execution))["url"])
    except (Problem, KeyError):
        return ""


def path_of(execution: str) -> str:
    """Return where the page of an execution is."""
    return f"/executions/{execution}"


def has_desktop() -> bool:
    """Return whether a person sits before this machine's screen."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _list(found: list[Json], *, json: bool) -> None:
    if json:
        emit(found)
        return
    if not found:
        note("no shares")
    rows = [(one["id"], _allowed(one), _until(one), line(str(one.get("name", "")))) for one in found]
    table(rows, ("ID", "MAY", "UNTIL", "NAME"))


def _revoke(client: Client, where: str, given: str, *, json: bool) -> None:
    known = [str(one["id"]) for one in client.json("GET", where).get("shares", [])]
    fitting = [one for one in known if one.startswith(given.lower())]
    if not fitting:
        raise Problem(f"no share of this execution has an id that begins with {given!r}", code="not_found")
    if len(fitting) > 1:
        raise usage(f"{given!r} fits more than one share: {', '.join(fitting)}")
    client.json("DELETE", f"{where}/{fitting[0]}")
    emit({"revoked": fitting[0]}) if json else say(f"revoked {fitting[0]}")


def _allowed(share: Json) -> str:
    return "read and send" if share.get("may") == "send" else "read"


def _until(share: Json) -> str:
    return str(share.get("expiresAt", ""))[:16].replace("T", " ")
