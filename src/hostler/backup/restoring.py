"""Makes a new data folder from a backup: everything is checked before anything is written.

The folder becomes another runner's: it gets an id of its own, so that a server on it never takes itself for the one
that the backup was made of, whose environments stay where they are. Executions that ran are this runner's from now on.
"""

import io
import os
import re
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hostler.backup import archive as form
from hostler.backup.archive import FILES, TABLES, Checked, Damaged
from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition, NewerRelease
from hostler.core.events import KINDS
from hostler.store.copying import Filling, writing
from hostler.store.migrations import STEPS, check_kinds

ASIDE = ".restoring"
"""Where files lie until the last of them is written; a restore that was cut off leaves it behind and nothing else."""
LAST = ("runner", "hostler.db")
"""What makes a folder a data folder is moved into it last."""
FREE = 64 << 20
"""Bytes that the disk must have beyond what the backup holds."""
PLACES = re.compile(r"^(?=\s*(?:database_url|data_dir)\s*=)", re.MULTILINE)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """A data folder that was made from a backup."""

    checked: Checked
    folder: Path
    runner: str
    rows: int
    settings: bool
    """Whether the settings' file was in the backup."""


def restore(file: Path, folder: Path, database: str, ambient: Ambient, *, say: Say) -> Restored:
    """Make a data folder, and its database, from a backup.

    Raises Damaged, NewerRelease, or FailedPrecondition when folder or database are not empty; then nothing was written.
    """
    checked = form.check(file)
    say(f"{checked.members} members, as they were put in")
    if checked.header.schema > len(STEPS):
        raise NewerRelease(
            f"the backup has schema {checked.header.schema} and this release of Hostler knows {len(STEPS)}: it was "
            f"made by Hostler {checked.header.hostler}; upgrade Hostler"
        )
    _must_be_empty(folder)
    with _aside(folder, checked) as aside:
        inside = database == f"sqlite:///{folder / 'hostler.db'}"
        url = f"sqlite:///{aside / 'hostler.db'}" if inside else database
        runner = ambient.new_id()
        with writing(url, checked.header.schema) as filling:
            rows = _unpack(file, aside, filling, runner, checked.header.runner)
            check_kinds(filling.connection, KINDS)
            if "blob_data" in filling.tables:
                (filling.blobs_to_files if _is_sqlite(database) else filling.blobs_to_rows)(aside / "blobs")
        _put(aside / "runner", runner.encode())
        if inside:
            (aside / "hostler.db").chmod(0o600)
        settings = (aside / "hostler.toml").is_file()
        _move(aside, folder)
    say(f"{rows} rows of {len(checked.rows)} tables")
    return Restored(checked, folder, runner, rows, settings)


def _is_sqlite(database: str) -> bool:
    return database.startswith("sqlite")


def _must_be_empty(folder: Path) -> None:
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if others := [name for name in found if name not in (ASIDE, "lost+found")]:
        raise FailedPrecondition(f"{folder} is not empty: it holds {others[0]}; restore into a new folder")


@contextmanager
def _aside(folder: Path, checked: Checked) -> Generator[Path]:
    """Yield an empty folder inside the new data folder; it is gone afterwards."""
    aside = folder / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        aside.mkdir(mode=0o700)
    except OSError as problem:
        raise FailedPrecondition(f"{folder} cannot be used: {problem.strerror}") from None
    try:
        if shutil.disk_usage(folder).free < checked.bytes + FREE:
            raise FailedPrecondition(f"there is no room for {checked.bytes >> 20} MiB in {folder}")
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unpack(file: Path, aside: Path, filling: Filling, runner: str, own: str) -> int:
    """Write every member; tables wait in files until all are there, for one may refer to another."""
    tables: dict[str, Path] = {}
    for name, content in form.members(file):
        if name.startswith(TABLES):
            tables[name[len(TABLES) : -len(".jsonl")]] = waiting = aside / name.replace("/", "-")
            _stream(waiting, content)
        elif name == f"{FILES}hostler.toml":
            _put(aside / "hostler.toml", _elsewhere(content.read()))
        elif name.startswith(FILES):
            _stream(aside / name[len(FILES) :], content)
    rows = 0
    for table in filling.order(tables):
        with tables[table].open("rb") as lines:
            rows += filling.fill(table, lines, runner, own)
        tables[table].unlink()
    return rows


def _elsewhere(settings: bytes) -> bytes:
    """Return settings without what names the old machine's database and folder."""
    return PLACES.sub("# as it was before the restore: ", settings.decode(errors="surrogateescape")).encode(
        errors="surrogateescape"
    )


def _put(path: Path, data: bytes) -> None:
    _stream(path, io.BytesIO(data))


def _stream(path: Path, content: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        form.copy(content, out.write)
        out.flush()
        os.fsync(out.fileno())


def _move(aside: Path, folder: Path) -> None:
    names = sorted(path.name for path in aside.iterdir())
    for name in sorted(names, key=lambda name: LAST.index(name) + 1 if name in LAST else 0):
        (aside / name).rename(folder / name)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["Damaged", "Restored", "restore"]
