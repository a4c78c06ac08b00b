"""API tokens: token create, list, revoke."""

import re
from typing import Annotated

import typer

from hostler.cli import extras, ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import emit, line, note, say, table

app = typer.Typer(help="API tokens, for clients elsewhere.", no_args_is_help=True)
SCOPES = ("read", "run", "admin")
DAYS = {"m": 1 / 1440, "h": 1 / 24, "d": 1, "w": 7}
_LENGTH = re.compile(r"([1-9]\d{0,5})([mhdw])")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; shown in the list.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="It may look, but change nothing.")] = False,
    scope: Annotated[str, typer.Option(help="read, run or admin: no more than that; else as far as you.")] = "",
    account: Annotated[str, typer.Option("--for", help="A service account's name, or an id; else yourself.")] = "",
    expires: Annotated[str, typer.Option(help="How long it holds, such as 12h, 30d or 8w; for ever otherwise.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it; it is shown only this once.

    Examples:

        hostler token create laptop --expires 30d

        hostler token create deploy --scope run --for ci

        export HOSTLER_TOKEN=$(hostler token create ci --read-only)
    """
    if scope not in ("", *SCOPES):
        raise usage(f"--scope: {scope!r} is none of {', '.join(SCOPES)}")
    days = duration(expires) if expires else 0
    reach = "read" if read_only else scope or "all"
    made = extras.new_token(Client(places.find(data_dir)), name, reach, days, account)
    emit(made) if json else say(made["token"])


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the tokens: id, scope, until when, last used, whose, name.

    Example:

        hostler token list
    """
    found = extras.tokens(Client(places.find(data_dir)))
    if json:
        emit(found)
        return
    if not found:
        note("no tokens")
    short = ids.shortened([token["id"] for token in found])
    rows = [
        (
            short[token["id"]],
            str(token.get("scope", "")),
            str(token.get("expiresAt") or "never")[:16],
            str(token.get("lastUsedAt") or "never")[:16],
            line(str(token.get("principal", {}).get("name", ""))),
            line(str(token.get("name", ""))),
        )
        for token in found
    ]
    table(rows, ("ID", "SCOPE", "EXPIRES", "LAST USED", "WHOSE", "NAME"))


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="The token's id or a prefix of it, from the list.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take a token back; it is refused from now on.

    Example:

        hostler token revoke 0198c2
    """
    client = Client(places.find(data_dir))
    meant = ids.whole(client, "token", token)
    extras.revoke(client, meant)
    emit({"revoked": meant}) if json else say(f"revoked {meant}")


def duration(given: str) -> float:
    """Return the days of a length such as 12h or 30d."""
    length = _LENGTH.fullmatch(given)
    if not length:
        raise usage(f"--expires: {given!r} is not a length such as 30m, 12h, 30d or 8w")
    return int(length[1]) * DAYS[length[2]]
