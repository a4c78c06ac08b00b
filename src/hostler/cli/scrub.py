"""`hostler scrub`: a secret that was learned late is masked in all that the server keeps; the server is stopped."""

import getpass
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.backup import Config, Database, settings_of
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import DONE, FAILED, Problem, usage
from hostler.cli.screen import emit, note, say

if TYPE_CHECKING:
    from hostler.scrubbing.work import Found

OUT_OF_REACH = "out of reach: exports and backups that were made before, what git commits were pushed, disk blocks"


def scrub(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count where it is, and change nothing.")] = False,
    lines: Annotated[
        bool, typer.Option("--lines", help="Each line is a secret of its own, not all of them one.")
    ] = False,
    remove_kept: Annotated[
        bool, typer.Option("--remove-kept", help="Remove the kept work of executions that it is in.")
    ] = False,
    database_url: Database = None,
    config: Config = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Mask a secret that was learned late wherever the server keeps it: logs, rows, large outputs, prompts.

    The secret is read from standard input, never from the command line. Its usual encodings are looked for too. The
    server must be stopped, which interrupts nothing: commands go on, and turns are taken up at the next start. From
    then on it is masked when it comes in. An entry in the audit log says what was done.

    Exit code: 0 when it is nowhere any more, 1 when it stands where it cannot be masked, which is told.

    Examples:

        hostler scrub --dry-run < secret.txt

        systemctl stop hostler; hostler scrub --remove-kept < secret.txt; systemctl start hostler
    """
    from hostler.core.ambient import SystemAmbient
    from hostler.core.errors import HostlerError
    from hostler.scrubbing.work import look
    from hostler.scrubbing.work import scrub as scrubbed

    secrets = _secrets(lines=lines)
    settings, _ = settings_of(config, data_dir, database_url)
    try:
        if dry_run:
            found = look(settings, secrets)
        else:
            found = scrubbed(settings, secrets, SystemAmbient(), _who(), remove_kept=remove_kept, say=note)
    except HostlerError as problem:
        raise Problem(problem.message) from None
    if json:
        emit({"dryRun": dry_run, "places": found.places, "left": [asdict(one) for one in found.left]})
    else:
        _tell(found, dry_run=dry_run)
    raise typer.Exit(FAILED if found.left and not dry_run else DONE)


def _who() -> str:
    """Return who runs the command, for the audit log."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _tell(found: "Found", *, dry_run: bool) -> None:
    for where, number in sorted(found.places.items()):
        say(f"{number:6}  {where}")
    for one in found.left:
        note(f"{one.where}: {one.what}", "yellow")
    note(OUT_OF_REACH)
    if dry_run:
        say(f"{found.total} places would be masked" if found.total else "it was found nowhere that can be masked")
    else:
        say(f"{found.total} places were masked; it is masked from now on" if found.total else "it was found nowhere")


def _secrets(*, lines: bool) -> list[str]:
    """Return what standard input holds, without the end of its last line."""
    if sys.stdin.isatty():
        given = getpass.getpass("Secret: ")
    else:
        given = sys.stdin.buffer.read().decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
    secrets = [line.strip() for line in given.splitlines() if line.strip()] if lines else [given]
    if any(Path(word).is_file() and len(word) < 4096 and "/" in word for word in secrets if "\0" not in word):
        raise usage("that is the name of a file; give what is in it: hostler scrub < FILE")
    try:
        "".join(secrets).encode()
    except UnicodeEncodeError:
        raise usage("the secret must be text in UTF-8") from None
    return secrets
