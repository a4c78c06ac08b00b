"""`hostler gc`: has the server let go of what was kept for long enough."""

from typing import Annotated

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.extras import PREFIX
from hostler.cli.options import AsJson, DataDir
from hostler.cli.screen import emit, line, note, say, table

SECONDS = 3600.0
"""How long it may take."""


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove what was kept for as long as the settings say; the server does so by itself once a day.

    How long is under [retention] in the settings. Executions are kept for ever unless it says otherwise.

    Examples:

        hostler gc --dry-run

        hostler gc --json
    """
    client = Client(places.find(data_dir))
    found = client.json("POST", f"{PREFIX}/gc", {"dryRun": dry_run}, timeout=SECONDS)
    if json:
        emit(found)
        return
    rows = [one for one in found["swept"] if one["number"]]
    if not rows:
        note("nothing would go" if dry_run else "nothing was old enough")
        return
    table([(str(one["number"]), _size(int(one["bytes"])), line(str(one["what"]))) for one in rows], ("", "BYTES", ""))
    total = sum(int(one["bytes"]) for one in rows)
    say(f"{_size(total)} {'would be' if dry_run else 'were'} set free")


def _size(number: int) -> str:
    return f"{number / (1 << 20):.1f} MiB" if number >= 1 << 20 else f"{number} B"
