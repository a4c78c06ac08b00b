"""Credentials for code hosts: secret set, list, rm. A secret is read from a prompt or a pipe, never an argument."""

import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from hostler.cli import extras, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, line, note, say, table
from hostler.cli.tokens import duration

Json = dict[str, Any]
SERVICE = "gitpod.v1.RunnerConfigurationService"
app = typer.Typer(help="Credentials for code hosts; environments use them and never see them.", no_args_is_help=True)
Host = Annotated[str, typer.Argument(metavar="HOST", help="The code host, such as github.com or git.example:8443.")]


@app.command("set")
def set_(
    host: Host,
    user: Annotated[str, typer.Option(help="The user name that goes with it; the host's usual one otherwise.")] = "",
    expires: Annotated[str, typer.Option(help="How long it holds, such as 12h, 30d or 8w.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Store a credential for a host, or replace the one that is there. It is asked for, or read from standard input.

    Git in your environments clones, fetches and pushes over https with it. It is kept encrypted, shown to nobody, and
    never enters an environment.

    Examples:

        hostler secret set github.com

        pass show github-token | hostler secret set github.com --expires 30d

        hostler secret set git.example:8443 --user ann
    """
    days = duration(expires) if expires else 0
    if ":" in user:
        raise usage("--user: a user name has no colon")
    client = Client(places.find(data_dir))
    secret = _read(host)
    body: Json = {"token": f"{user}:{secret}" if user else secret}
    if days:
        ends = datetime.now(UTC) + timedelta(days=days)
        body["expiresAt"] = ends.isoformat(timespec="seconds").replace("+00:00", "Z")
    info = extras.info(client)
    known = next((one for one in _mine(client, info) if one["host"] == _key(host)), None)
    if known:
        client.call(SERVICE, "UpdateHostAuthenticationToken", {"id": known["id"], **body})
    else:
        body |= {"runnerId": info["runnerId"], "host": host, "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT"}
        known = client.call(SERVICE, "CreateHostAuthenticationToken", body)["token"]
    emit({"id": known["id"], "host": known["host"]}) if json else say(f"stored for {known['host']}")


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List your credentials: host, until when, id; never the secrets.

    Example:

        hostler secret list
    """
    client = Client(places.find(data_dir))
    found = _mine(client, extras.info(client))
    if json:
        emit(found)
        return
    if not found:
        note("no credentials: store one with `hostler secret set HOST`")
    rows = [(line(one["host"]), str(one.get("expiresAt") or "never")[:16], one["id"]) for one in found]
    table(rows, ("HOST", "EXPIRES", "ID") if rows else ())


@app.command()
def rm(host: Host, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove the credential for a host; environments are without it at once.

    Example:

        hostler secret rm github.com
    """
    client = Client(places.find(data_dir))
    mine = _mine(client, extras.info(client))
    known = next((one for one in mine if _key(host) in (one["host"], one["id"])), None)
    if known is None:
        raise Problem(f"there is no credential for {host}; `hostler secret list` shows all", code="not_found")
    client.call(SERVICE, "DeleteHostAuthenticationToken", {"id": known["id"]})
    emit({"removed": known["id"], "host": known["host"]}) if json else say(
        f"removed the credential for {known['host']}"
    )


def _mine(client: Client, info: Json) -> list[Json]:
    wanted = {"filter": {"subjectId": info["principal"]["id"]}}
    return list(client.pages(SERVICE, "ListHostAuthenticationTokens", "tokens", wanted))


def _key(host: str) -> str:
    """Return a host as the server writes it."""
    return host.strip().lower().removesuffix(".").removesuffix(":443")


def _read(host: str) -> str:
    """Return the secret, from a prompt that does not show it or from standard input."""
    try:
        secret = getpass.getpass(f"Token for {host}: ") if sys.stdin.isatty() else sys.stdin.read()
    except (EOFError, KeyboardInterrupt):
        raise usage("no token was given") from None
    if not secret.strip():
        raise usage("no token was given: type it, or pipe it into standard input")
    return secret.strip()
