"""Accounts, for administrators: user and service-account create, list, show, suspend, resume, role, remove."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import emit, line, note, say, table
from hostler.cli.tokens import duration

Json = dict[str, Any]
OWN = "/api/hostler/v1"
USERS, ACCOUNTS = "users", "service-accounts"
ROLES = ("read", "run", "admin")
Who = Annotated[str, typer.Argument(metavar="NAME", help="A name, an address, an id, or the beginning of an id.")]
Role = Annotated[str, typer.Option(help="read (look), run (start and change too) or admin (everything).")]
Expires = Annotated[str, typer.Option(help="How long the first token holds, such as 30d; for ever otherwise.")]
Stopping = Annotated[bool, typer.Option("--stop", help="End what is running too; otherwise it goes on.")]

users = typer.Typer(help="People, for administrators.", no_args_is_help=True)
accounts = typer.Typer(help="Accounts of programs, for administrators.", no_args_is_help=True)


@users.command("create")
def create_user(
    name: Annotated[str, typer.Argument(help="What the person is called.")],
    role: Role = "run",
    email: Annotated[str, typer.Option(help="The person's address.")] = "",
    link: Annotated[bool, typer.Option("--link", help="Print a link to sign in with, instead of a token.")] = False,
    expires: Expires = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make an account and print its first token, or a link good for one sign-in within three days.

    Either is shown only this once.

    Examples:

        hostler user create Ann --email ann@example.com --link

        hostler user create Ben --role read --expires 30d
    """
    asked = {"name": name, "role": _role(role), "email": email, "give": "link" if link else "token"}
    _created(USERS, {**asked, **_days("days", expires)}, json, places.find(data_dir))


@accounts.command("create")
def create_account(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    role: Role = "run",
    description: Annotated[str, typer.Option("-d", "--description", help="What it is for.")] = "",
    valid_for: Annotated[str, typer.Option("--for", help="How long the account is let in, such as 365d.")] = "",
    expires: Expires = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make an account for a program and print its first token; it is shown only this once.

    Example:

        hostler service-account create ci --for 365d --expires 90d
    """
    asked = {"name": name, "role": _role(role), "description": description}
    asked |= {**_days("days", expires), **_days("account_days", valid_for)}
    _created(ACCOUNTS, asked, json, places.find(data_dir))


def _created(room: str, asked: Json, json: bool, place: Any) -> None:
    made = Client(place).json("POST", f"{OWN}/{room}", asked)
    emit(made) if json else say(made.get("token") or made["url"])


@users.command("list")
def list_users(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List people: id, role, when last seen, name.

    Example:

        hostler user list
    """
    _listed(_found(Client(places.find(data_dir)), USERS), json, "no people")


@accounts.command("list")
def list_accounts(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List service accounts: id, role, when last seen, name.

    Example:

        hostler service-account list
    """
    _listed(_found(Client(places.find(data_dir)), ACCOUNTS), json, "no service accounts")


@users.command("show")
def show_user(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show an account.

    Example:

        hostler user show Ann
    """
    _show(USERS, who, json, Client(places.find(data_dir)))


@accounts.command("show")
def show_account(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show an account.

    Example:

        hostler service-account show ci
    """
    _show(ACCOUNTS, who, json, Client(places.find(data_dir)))


@users.command("suspend")
def suspend_user(who: Who, stop: Stopping = False, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Refuse a person from now on, with all tokens, sign-ins and links; what he has running goes on.

    Examples:

        hostler user suspend Ann

        hostler user suspend ann@example.com --stop
    """
    _change(USERS, who, {"suspended": True, "stop": stop}, "suspended", json, Client(places.find(data_dir)))


@accounts.command("suspend")
def suspend_account(who: Who, stop: Stopping = False, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Refuse a program from now on; what it has running goes on.

    Example:

        hostler service-account suspend ci --stop
    """
    _change(ACCOUNTS, who, {"suspended": True, "stop": stop}, "suspended", json, Client(places.find(data_dir)))


@users.command("resume")
def resume_user(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a suspended person in again.

    Example:

        hostler user resume Ann
    """
    _change(USERS, who, {"suspended": False}, "let in again", json, Client(places.find(data_dir)))


@accounts.command("resume")
def resume_account(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a suspended program in again.

    Example:

        hostler service-account resume ci
    """
    _change(ACCOUNTS, who, {"suspended": False}, "let in again", json, Client(places.find(data_dir)))


@users.command("role")
def role_user(
    who: Who,
    role: Annotated[str, typer.Argument(help="read, run or admin.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give a person another role; it holds from the next request on, and ends what is open.

    Example:

        hostler user role Ann admin
    """
    _change(USERS, who, {"role": _role(role)}, f"has role {role}", json, Client(places.find(data_dir)))


@accounts.command("role")
def role_account(
    who: Who,
    role: Annotated[str, typer.Argument(help="read, run or admin.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give a program another role.

    Example:

        hostler service-account role ci read
    """
    _change(ACCOUNTS, who, {"role": _role(role)}, f"has role {role}", json, Client(places.find(data_dir)))


@users.command("git")
def git_user(
    who: Who,
    name: Annotated[str, typer.Option(help="The name that commits carry.")] = "",
    email: Annotated[str, typer.Option(help="The address that commits carry.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say as whom git commits in the environments that somebody has made; `me` is you.

    Pushes use the credentials that the same person has set with `hostler secret`.

    Example:

        hostler user git me --name Ann --email ann@example.org
    """
    _commits(USERS, who, name, email, json, Client(places.find(data_dir)))


@accounts.command("git")
def git_account(
    who: Who,
    name: Annotated[str, typer.Option(help="The name that commits carry.")] = "",
    email: Annotated[str, typer.Option(help="The address that commits carry.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say as whom git commits in the environments that a program has made.

    Example:

        hostler service-account git ci --name "CI" --email ci@example.org
    """
    _commits(ACCOUNTS, who, name, email, json, Client(places.find(data_dir)))


@users.command("remove")
def remove_user(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove a person with all tokens; what he has started stays.

    Example:

        hostler user remove Ann
    """
    _remove(USERS, who, json, Client(places.find(data_dir)))


@accounts.command("remove")
def remove_account(who: Who, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove a service account with all tokens; what it has started stays.

    Example:

        hostler service-account remove ci
    """
    _remove(ACCOUNTS, who, json, Client(places.find(data_dir)))


def _found(client: Client, room: str) -> list[Json]:
    return client.json("GET", f"{OWN}/{room}")["accounts"]


def _listed(found: Sequence[Json], json: bool, nothing: str) -> None:
    if json:
        emit(list(found))
        return
    if not found:
        note(nothing)
    short = ids.shortened([one["id"] for one in found])
    rows = [
        (
            short[one["id"]],
            "suspended" if one["suspended"] else str(one["role"]),
            str(one.get("lastSeenAt") or "never")[:16],
            line(str(one["name"])),
            line(str(one.get("email", ""))),
        )
        for one in found
    ]
    table(rows, ("ID", "ROLE", "LAST SEEN", "NAME", "EMAIL"))


def meant(client: Client, room: str, given: str) -> Json:
    """Return the one account that has a name, an address or an id, or whose id begins so; raises Problem otherwise."""
    everybody, folded = _found(client, room), given.strip().casefold()
    named = [one for one in everybody if folded in (one["name"].casefold(), one["email"].casefold(), one["id"])]
    found = named or [one for one in everybody if folded and one["id"].startswith(folded)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise usage(f"there is nobody called {given!r}; `list` shows who there is")
    raise usage(f"{given!r} fits {', '.join(one['id'] for one in found[:5])}; give an id")


def _show(room: str, who: str, json: bool, client: Client) -> None:
    one = meant(client, room, who)
    found = client.json("GET", f"{OWN}/{room}/{one['id']}")
    if json:
        emit(found)
        return
    names = ("id", "name", "role", "email", "description", "suspendedAt", "createdAt", "until", "lastSeenAt", "signIn")
    table([(name, line(str(found.get(name) or "-"))) for name in names])


def _change(room: str, who: str, change: Json, said: str, json: bool, client: Client) -> None:
    one = meant(client, room, who)
    changed = client.json("PATCH", f"{OWN}/{room}/{one['id']}", change)
    emit(changed) if json else say(f"{line(str(changed['name']))}: {said}")


def _commits(room: str, who: str, name: str, email: str, json: bool, client: Client) -> None:
    if not name and not email:
        raise usage("name at least one of --name and --email")
    given = {key: value for key, value in (("git_name", name), ("git_email", email)) if value}
    me = client.json("GET", f"{OWN}/info")["principal"] if who == "me" else None
    found = me or meant(client, room, who)
    changed = client.json("PATCH", f"{OWN}/{room}/{found['id']}", given)
    emit(changed) if json else say(f"{line(changed['name'])} commits as {changed['gitName']} <{changed['gitEmail']}>")


def _remove(room: str, who: str, json: bool, client: Client) -> None:
    one = meant(client, room, who)
    client.json("DELETE", f"{OWN}/{room}/{one['id']}")
    emit({"removed": one["id"]}) if json else say(f"removed {one['id']}")


def _role(given: str) -> str:
    if given not in ROLES:
        raise usage(f"{given!r} is no role; there are {', '.join(ROLES)}")
    return given


def _days(name: str, given: str) -> Json:
    return {name: duration(given)} if given else {}
