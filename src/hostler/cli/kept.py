"""Work that is kept outside its environment: restore, and the questions before something is removed for good."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.backup import Database, restore_file
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import clean, emit, note, say

Json = dict[str, Any]
Turn = Annotated[int, typer.Option(min=0, help="What was kept of this turn, not of the last one.", show_default=False)]


def restore(
    what: Annotated[str, typer.Argument(metavar="ID|FILE", help="An execution's id, or a file that is a backup.")],
    turn: Turn = 0,
    database_url: Database = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let an execution whose environment is gone go on in a new one; or make a new data folder from a backup.

    With an ID, the new environment is made from the execution's kept work, or like the first one where nothing was
    changed, and the conversation goes on with the next `hostler send`. With a FILE that `hostler backup` wrote,
    everything is checked before anything is written, and the data folder must be empty.

    Examples:

        hostler restore 0198c2

        hostler restore /backup/hostler.tar.gz --data-dir /srv/hostler
    """
    if Path(what).is_file() or "/" in what or what.endswith((".tar", ".gz", ".tgz")):
        restore_file(Path(what), database_url=database_url, json=json, data_dir=data_dir)
        return
    execution = what
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    made = client.json("POST", f"{PREFIX}/executions/{found}/restore", {"turn": turn})
    if json:
        emit({"id": found, **made})
        return
    say(f"restored in the environment {made['environmentId']}; go on with: hostler send {execution} TEXT")


def environment_from(client: Client, given: str, class_: str) -> str:
    """Make an environment from EXECUTION or EXECUTION:TURN; return its id."""
    execution, _, turn = given.partition(":")
    if turn and not turn.isdigit():
        raise usage("--from wants EXECUTION or EXECUTION:TURN")
    asked = {"execution": ids.execution(client, execution), "turn": int(turn or 0), "class": class_}
    return str(client.json("POST", f"{PREFIX}/environments", asked)["environmentId"])


def kept_of(extra: Json) -> str:
    """Return in words what is kept of an execution's changes; empty when there are none."""
    if extra.get("notKept"):
        return f"not kept: {clean(extra['notKept'])}"
    kept: Json | None = extra.get("kept")
    if not kept:
        return ""
    home = "pushed" if kept.get("pushed") else "applied" if kept.get("applied") else "neither pushed nor applied"
    left = clean("; ".join(map(str, kept.get("leftOut", ()))))
    words = f"{_files(int(kept.get('files', 0)))}, {home}; kept at {kept.get('at', '')}"
    return f"{words}, without what is {left}" if left else words


def lost_with(found: Json) -> str:
    """Return what goes for good with an execution, in words; empty when nothing does."""
    extra: Json = found.get("hostler", {})
    kept: Json = extra.get("kept") or {}
    if extra.get("notKept"):
        return f"its last changes could not be kept ({clean(extra['notKept'])}) and may be in its environment only"
    if kept and not (kept.get("pushed") or kept.get("applied")):
        return f"its changes in {_files(int(kept.get('files', 0)))} were neither pushed nor applied"
    return ""


def ask_before_executions(client: Client, executions: Sequence[str]) -> None:
    """Ask, or refuse where nobody can be asked, before work goes that is nowhere else."""
    told = [(one, lost_with(_seen(client, one))) for one in executions]
    _ask([f"{one}: {said}; bring them home with: hostler apply {one}" for one, said in told if said])


def ask_before_environment(client: Client, environment: str) -> None:
    """Say where the work of an environment is kept, and ask before what is not kept goes."""
    found = client.json("GET", f"{PREFIX}/environments/{environment}/work")
    loose: list[str] = []
    for one in found.get("executions", []):
        if one.get("notKept"):
            loose.append(f"{one['id']}: {lost_with({'hostler': one})}")
        elif said := lost_with({"hostler": one}):
            note(f"{one['id']}: {said}; they are kept outside the environment: hostler diff {one['id']}", "yellow")
    if changes := int(found.get("changes", 0)):
        loose.append(f"changes in {_files(changes)} of it belong to no execution and are kept nowhere")
    _ask(loose)


def _seen(client: Client, execution: str) -> Json:
    """Return what is kept of an execution; of one that is not there, nothing, for its removal will say so."""
    try:
        return client.json("GET", f"{PREFIX}/executions/{execution}")
    except Problem as problem:
        if problem.code != "not_found":
            raise
        return {}


def _ask(losses: Sequence[str]) -> None:
    if not losses:
        return
    for said in losses:
        note(said, "yellow")
    if not sys.stdin.isatty():
        raise Problem("nothing was removed; --force removes it all the same")
    if not typer.confirm("Remove it all the same?", err=True):
        raise Problem("nothing was removed")


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"
