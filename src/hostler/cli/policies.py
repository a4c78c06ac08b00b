"""The organization's policy: policy show, set, unset, cap, caps, versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import emit, line, note, say, table

Json = dict[str, Any]
OWN = "/api/hostler/v1/policy"
LISTS = {
    "agents": "agents that may be started, by name or id",
    "models": "models that may be used, PROVIDER:NAME; * stands for any text",
    "repositories": "repositories, HOST/OWNER/NAME; * stands for any text",
    "hosts": "hosts that people may open for environments beyond the settings",
    "denied-hosts": "hosts that no environment reaches",
    "denied-commands": "shell commands that no agent runs",
}
ONE = {"sharing": "off, view or send: what links to a conversation may allow", "sight": "organization or own"}
CAPS = {"running": "turns at once", "tokens_a_day": "tokens a day", "disk_gib": "GiB of disk"}
Part = Annotated[str, typer.Argument(help=f"One of {', '.join((*LISTS, *ONE))}.")]

app = typer.Typer(help="What the organization allows, and how much of it.", no_args_is_help=True)


@app.command()
def show(json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the policy that holds.

    Example:

        hostler policy show
    """
    found = Client(places.find(data_dir)).json("GET", OWN)
    if json:
        emit(found)
        return
    policy = found["policy"]
    rows = [(part, _listed(policy[_field(part)])) for part in LISTS]
    rows += [(part, str(policy[part])) for part in ONE]
    rows += [("caps of everybody", _caps(policy["caps"]))]
    rows += [(f"caps of {who}", _caps(caps)) for who, caps in policy["caps_of"].items()]
    table(rows)
    by = line(str(found["by"]["name"]))
    note(f"version {found['version']}, by {by} at {found['at']}" if found["version"] else "nobody has set anything yet")


@app.command("set")
def set_(
    part: Part,
    values: Annotated[list[str], typer.Argument(help="Its value, or all that a list is to hold.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Change one part of the policy; administrators only. It holds for what begins from then on.

    Examples:

        hostler policy set agents codex hostler

        hostler policy set repositories 'github.com/acme/*'

        hostler policy set denied-commands 'git push *' 'npm publish'

        hostler policy set sight own
    """
    if part in ONE and len(values) != 1:
        raise usage(f"{part} takes one value: {ONE[part]}")
    _change({_known(part): values[0] if part in ONE else values}, json, data_dir)


@app.command()
def unset(part: Part, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let one part of the policy allow everything again.

    Example:

        hostler policy unset models
    """
    whole = {"sharing": "send", "sight": "organization"}
    _change({_known(part): whole.get(part, [])}, json, data_dir)


@app.command()
def cap(
    person: Annotated[
        str, typer.Argument(help="The id of a person or service account; everybody else's caps otherwise.")
    ] = "",
    running: Annotated[int | None, typer.Option(min=0, help="Turns at once; 0 is no cap.", show_default=False)] = None,
    tokens_a_day: Annotated[
        int | None, typer.Option(min=0, help="Tokens of all kinds since midnight, UTC.", show_default=False)
    ] = None,
    disk_gib: Annotated[
        int | None, typer.Option(min=0, help="GiB that environments take of the disk.", show_default=False)
    ] = None,
    like_everybody: Annotated[bool, typer.Option("--like-everybody", help="No caps of a person's own.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Set what one person may use, or with no person named everybody who has no caps of his own.

    What is not named stays as it is. Turns above a cap wait for a slot; tokens above it stop what runs.

    Examples:

        hostler policy cap --running 5 --tokens-a-day 20000000

        hostler policy cap 0198c2aa-0001-7000-8000-000000000001 --running 20
    """
    given = {"running": running, "tokens_a_day": tokens_a_day, "disk_gib": disk_gib}
    named = {name: number for name, number in given.items() if number is not None}
    if not named and not like_everybody:
        raise usage("name at least one of --running, --tokens-a-day and --disk-gib")
    policy = Client(places.find(data_dir)).json("GET", OWN)["policy"]
    if not person:
        _change({"caps": {**policy["caps"], **named}}, json, data_dir)
        return
    others = {who: caps for who, caps in policy["caps_of"].items() if who != person.lower()}
    own = {} if like_everybody else {person.lower(): {**policy["caps_of"].get(person.lower(), policy["caps"]), **named}}
    _change({"caps_of": {**others, **own}}, json, data_dir)


@app.command()
def caps(
    person: Annotated[str, typer.Argument(help="A person's id, for administrators; you otherwise.")] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what you may use, and what you use of it.

    Example:

        hostler policy caps
    """
    found = Client(places.find(data_dir)).json("GET", f"{OWN}/caps{f'?principal={quote(person)}' if person else ''}")
    if json:
        emit(found)
        return
    table([(said, _number(found[name]["used"]), _most(found[name]["most"])) for name, said in CAPS.items()])


@app.command()
def versions(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List who changed the policy when, the newest first; --json has what it said.

    Example:

        hostler policy versions
    """
    found = Client(places.find(data_dir)).json("GET", f"{OWN}/versions")["versions"]
    if json:
        emit(found)
        return
    table([(str(one["version"]), str(one["at"])[:16], line(str(one["by"]["name"]))) for one in found])


def _change(policy: Mapping[str, Any], json: bool, data_dir: Path | None) -> None:
    made = Client(places.find(data_dir)).json("PATCH", OWN, {"policy": policy})
    emit(made) if json else say(f"the policy is now version {made['version']}")


def _known(part: str) -> str:
    if part not in LISTS and part not in ONE:
        raise usage(f"there is no {part!r} in a policy; there are {', '.join((*LISTS, *ONE))}; see also policy cap")
    return _field(part)


def _field(part: str) -> str:
    return part.replace("-", "_")


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(line, values)) or "-"


def _caps(caps: Mapping[str, int]) -> str:
    return ", ".join(f"{said}: {caps[name]}" for name, said in CAPS.items() if caps[name]) or "none"


def _number(value: float) -> str:
    return f"{value:,}"


def _most(value: int) -> str:
    return f"of {value:,}" if value else "no cap"
