"""`hostler allow`: lets environments reach more hosts.

By a running server at once, for one environment or for a class; or in hostler.toml, leaving the rest of the file as it
is.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hostler.cli import chosen, places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, note, say
from hostler.cli.serving import settings_file

HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:[0-9]{1,5})?")
_LIST = re.compile(r'^allow[ \t]*=[ \t]*\[(?:[^\]"]|"(?:[^"\\\n]|\\.)*")*\][ \t]*(?:#[^\n]*)?\n?', re.MULTILINE)

_SHOWN = re.compile(r"^#allow = [^\n]*\n", re.MULTILINE)
"""The default as `hostler init` writes it; the changed list goes below it."""


def allow(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST...", help="example.org, *.example.org, or HOST:PORT.")],
    environment: Annotated[
        str, typer.Option("--environment", "-e", metavar="ENV", help="Only there, at once, until it stops.")
    ] = "",
    class_: Annotated[
        str, typer.Option("--class", metavar="NAME|ID", help="In all environments of this class, at once.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="The settings to change [as `serve` finds them].", show_default=False)
    ] = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let environments reach more hosts.

    With --environment or --class the running server takes it up at once; an execution's id stands for its environment.
    Without, the allow list in hostler.toml grows, which the server reads when it starts.

    Examples:

        hostler allow example.org --environment 0198c2

        hostler allow '*.example.org' --class Regular

        hostler allow example.org '*.example.net'
    """
    for host in hosts:
        if not HOST.fullmatch(host.lower()):
            raise usage(f"{host!r} is not a host such as example.org, *.example.org or example.org:8443")
    if environment and class_:
        raise usage("either --environment or --class")
    if environment or class_:
        if config:
            raise usage("--config is for the settings; with --environment or --class the server keeps it")
        by_server(hosts, environment, class_, data_dir, json=json)
        return
    if config is None and data_dir is None and (url := places.named_url()):
        raise Problem(f"the settings are on the machine of {url}: run this there, without HOSTLER_URL")
    folder = places.data_dir(data_dir)
    file = settings_file(config, data_dir) or folder / "hostler.toml"
    now = extended(file, [host.lower() for host in hosts])
    if json:
        emit({"file": str(file), "allow": now})
        return
    say(f"allowed in {file}")
    if pid := places.server_file(folder).get("pid"):
        note(f"the running server takes it up when it starts again: kill {pid}, then hostler serve (or run)")
        note("at once: hostler allow HOST --environment ENV, or --class NAME")


def by_server(hosts: list[str], environment: str, class_: str, data_dir: Path | None, *, json: bool) -> None:
    """Have the running server allow hosts, for one environment or for a class."""
    client = Client(places.find(data_dir))
    if environment:
        found = chosen.find(client, environment)
        path, where = f"{PREFIX}/environments/{found}/hosts", f"in {found} until it stops"
    else:
        path, where = f"{PREFIX}/environment-classes/{quote(class_, safe='')}/hosts", f"in all of class {class_}"
    for host in hosts:
        answer = client.json("POST", path, {"host": host, "for": "once"})
        if json:
            emit(answer)
        else:
            say(f"{host.lower()} is allowed {where}")


def extended(file: Path, hosts: list[str]) -> list[str]:
    """Add hosts to the list in a file, beginning with the defaults where there is none; return the list."""
    from hostler.cli.settings_file import text, toml
    from hostler.config import BadConfiguration, Settings, load

    old = file.read_text(encoding="utf-8") if file.exists() else text()
    try:
        given: Any = tomllib.loads(old).get("allow")
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{file}: {error}") from None
    known = list(Settings.model_fields["allow"].get_default()) if given is None else list(map(str, given))
    now = list(dict.fromkeys([*known, *hosts]))
    row = f"allow = {toml(now)}\n"
    top, table, rest = _split(old)
    if given is not None:
        top = _LIST.sub(lambda _: row, top, count=1)
    elif shown := _SHOWN.search(top):
        top = f"{top[: shown.end()]}{row}{top[shown.end() :]}"
    else:
        top = f"{top}{row}"
    new = top + table + rest
    if tomllib.loads(new).get("allow") != now:
        raise Problem(
            f"{file}: add the hosts to `allow` by hand, for it is written in a way this command cannot change"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.touch(0o600)
    fresh.chmod(file.stat().st_mode if file.exists() else 0o600)
    fresh.write_text(new, encoding="utf-8")
    try:
        load(fresh)
    except BadConfiguration as fault:
        fresh.unlink()
        raise Problem(str(fault)) from None
    fresh.replace(file)
    return now


def _split(content: str) -> tuple[str, str, str]:
    """Return what comes before the first table, where top-level settings belong, that table's head, and the rest."""
    head = re.search(r"^\[", content, re.MULTILINE)
    if head is None:
        return content if content.endswith("\n") or not content else content + "\n", "", ""
    return content[: head.start()], "[", content[head.end() :]
