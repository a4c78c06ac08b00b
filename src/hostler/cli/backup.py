"""`hostler backup`, and `hostler restore` of a file: both work on the data folder itself, with a server or without."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, note, say

if TYPE_CHECKING:
    from hostler.backup.archive import Checked
    from hostler.config import Settings

STANDARD_OUTPUT = "-"
Database = Annotated[
    str | None,
    typer.Option("--database-url", help="The database, if it is not DIR/hostler.db.", show_default=False),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="The settings [as `serve` finds them].", show_default=False)
]


def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")],
    exclude_keys: Annotated[
        bool, typer.Option("--exclude-keys", help="Leave out keys, tokens, secrets and settings.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Make none; check the one that FILE is.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    database_url: Database = None,
    config: Config = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Back up the database, large outputs, kept work, keys and settings, also while the server runs.

    It is run on the server's machine, by who may read the data folder. Environments are not in it: what must not be
    lost of them is their kept work, which is. `hostler restore FILE` makes a new data folder from it.

    Examples:

        hostler backup /backup/hostler.tar.gz

        hostler backup --exclude-keys --force /backup/hostler.tar.gz

        hostler backup - | ssh elsewhere 'cat > hostler.tar.gz'

        hostler backup --verify /backup/hostler.tar.gz
    """
    if verify:
        _verify(Path(file), json=json)
        return
    if file == STANDARD_OUTPUT and (json or sys.stdout.isatty()):
        raise usage("a backup is not written to a terminal, and not together with --json; name a file")
    if file != STANDARD_OUTPUT and Path(file).exists() and not force:
        raise Problem(f"{file} is there already; overwrite it with --force")
    told = _made(file, settings_of(config, data_dir, database_url), keys=not exclude_keys)
    if json:
        emit(told)
    elif file != STANDARD_OUTPUT:
        holds = "no keys" if exclude_keys else "keys: guard it"
        what = f"{told['rows']} rows, {told['blobs']} large outputs, kept work of {told['kept']} executions"
        say(f"wrote {file}, {told['size'] / (1 << 20):.1f} MiB: {what}; it holds {holds}")


def restore_file(file: Path, *, database_url: str | None, json: bool, data_dir: Path | None) -> None:
    """Make a new data folder from a backup, and say what its server will be like."""
    from hostler.backup.restoring import restore
    from hostler.core.ambient import SystemAmbient
    from hostler.core.errors import HostlerError

    settings, _ = settings_of(None, data_dir, database_url, file=False)
    try:
        done = restore(file, settings.home, settings.database, SystemAmbient(), say=note)
    except HostlerError as problem:
        raise Problem(problem.message) from None
    header = done.checked.header
    if json:
        told = {"folder": str(done.folder), "runner": done.runner, "rows": done.rows, "backup": asdict(header)}
        emit(told | {"missing": list(done.checked.missing)})
        return
    say(f"restored into {done.folder}, as it was at {header.made_at}")
    for said in _consequences(done.settings, keys=header.keys):
        note(said, "yellow")
    say(f"start it with: hostler serve --data-dir {done.folder}")


def _consequences(settings: bool, *, keys: bool) -> list[str]:
    said = [
        "environments are not in a backup: what ran goes on with `hostler restore ID`, from its kept work",
        "start it only when the server that it was made of has stopped for good, or work may be done twice",
    ]
    if not keys:
        said.append("it holds no keys: there is a new owner's token, and credentials of code hosts are to be set again")
    if settings:
        said.append("its settings are in hostler.toml; database_url and data_dir are commented out there")
    return said


def _made(file: str, found: "tuple[Settings, Path | None]", *, keys: bool) -> dict[str, Any]:
    """Write the backup under another name and put it in its place when it is whole."""
    from hostler.backup.making import make
    from hostler.core.ambient import SystemAmbient
    from hostler.core.errors import HostlerError

    settings, source = found
    try:
        if file == STANDARD_OUTPUT:
            done = make(settings, source, sys.stdout.buffer, SystemAmbient(), keys=keys, say=note)
            return {"file": file, **asdict(done)}
        target = Path(file)
        part = target.with_name(f".{target.name}.part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                done = make(settings, source, out, SystemAmbient(), keys=keys, say=note)
                out.flush()
                os.fsync(out.fileno())
            size = part.stat().st_size
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except HostlerError as problem:
        raise Problem(problem.message) from None
    except OSError as problem:
        raise Problem(f"the backup cannot be written: {problem}") from None
    if done.missing:
        note(f"{len(done.missing)} files went meanwhile, with what was deleted", "yellow")
    return {"file": str(target.absolute()), "size": size, **asdict(done)}


def _verify(file: Path, *, json: bool) -> None:
    from hostler.backup.archive import check
    from hostler.core.errors import HostlerError

    try:
        checked = check(file)
    except HostlerError as problem:
        raise Problem(problem.message) from None
    except OSError as problem:
        raise Problem(f"{file} cannot be read: {problem.strerror}") from None
    emit(asdict(checked)) if json else say(_whole(file, checked))


def _whole(file: Path, checked: "Checked") -> str:
    header = checked.header
    keys = "with keys" if header.keys else "without keys"
    return (
        f"{file} is whole: made at {header.made_at} by Hostler {header.hostler}, schema {header.schema}, {keys}, "
        f"{checked.members} members, {sum(checked.rows.values())} rows, {checked.bytes / (1 << 20):.1f} MiB unpacked"
    )


def settings_of(
    config: Path | None, data_dir: Path | None, database_url: str | None, *, file: bool = True
) -> "tuple[Settings, Path | None]":
    """Return the settings as `serve` would have them, and the file that they stand in."""
    from hostler.cli.serving import settings_file
    from hostler.config import BadConfiguration, load

    source = settings_file(config, data_dir) if file else None
    try:
        return load(source, overrides={"data_dir": data_dir, "database_url": database_url}), source
    except BadConfiguration as fault:
        raise usage(str(fault)) from None
