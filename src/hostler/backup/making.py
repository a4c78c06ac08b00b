"""Makes a backup, whether or not a server runs on the folder: it takes no lock and keeps nobody waiting.

The database is read first, in one transaction. Files that it names were there before their rows, so they are found
afterwards, unless what they belong to was deleted meanwhile; those are told.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import text

from hostler import __version__
from hostler.backup import archive as form
from hostler.backup.archive import FILES, Archive, Header
from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition
from hostler.store.copying import Copied, reading

KEYS = ("key", "secret-key", "token", "learned", "hostler.toml")
"""Files of the data folder that are secret, or may hold secrets."""
SECRET_ROWS = {"installation": ("signing_key",)}
"""Rows of the database, by table and key, that are left out with the keys."""
REFS_FIRST = ("refs", "hostler", "HEAD", "config")
"""Parts of a kept repository that are read before its objects: what they name is there by then."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    header: Header
    rows: int
    blobs: int
    kept: int
    """Executions whose kept work is in it."""
    bytes: int
    """What it holds, unpacked."""
    missing: tuple[str, ...]


def make(settings: Settings, file: Path | None, out: IO[bytes], ambient: Ambient, *, keys: bool, say: Say) -> Made:
    """Write a backup to a stream; FailedPrecondition where there is nothing to back up.

    `file` is where the settings were read from, if they have a file.
    """
    home = settings.home
    if not (home / "runner").is_file():
        raise FailedPrecondition(f"{home} is no data folder of Hostler")
    if settings.database.startswith("sqlite") and not (home / "hostler.db").is_file():
        raise FailedPrecondition(f"there is no database in {home}; with Postgres, name it with --database-url")
    with reading(settings.database) as copied, form.writing(out) as archive:
        runner = (home / "runner").read_text().strip()
        made_at = ambient.now().isoformat()
        header = Header(form.FORMAT, __version__, copied.step, made_at, runner, copied.kind, keys)
        archive.add(form.HEADER, form.header_data(header))
        for table in copied.tables:
            hidden = () if keys else SECRET_ROWS.get(table.name, ())
            archive.lines(table.name, copied.lines(table, hidden), home)
        rows = sum(archive.rows.values())
        say(f"database: {len(copied.tables)} tables, {rows} rows")
        blobs = _blobs(archive, copied, home, say)
        kept = _kept(archive, home, say)
        _folder(archive, home, "said")
        if keys:
            _keys(archive, home, file)
    return Made(header, rows, blobs, kept, archive.bytes, tuple(archive.missing))


def _blobs(archive: Archive, copied: Copied, home: Path, say: Say) -> int:
    named = list(copied.connection.execute(text("SELECT DISTINCT sha256 FROM blob ORDER BY sha256")).scalars())
    number = 0
    for name in named:
        if archive.file(f"{FILES}blobs/{name[:2]}/{name}", home / "blobs" / name[:2] / name):
            number += 1
        elif copied.kind == "sqlite":
            archive.missing.append(f"blobs/{name[:2]}/{name}")
    say(f"large outputs: {number}")
    return number


def _kept(archive: Archive, home: Path, say: Say) -> int:
    repositories = sorted((home / "kept").glob("*.git"))
    for repository in repositories:
        for path in _in_order(repository):
            name = str(path.relative_to(home))
            if not archive.file(f"{FILES}{name}", path):
                archive.missing.append(name)
    say(f"kept work: {len(repositories)} executions")
    return len(repositories)


def _in_order(repository: Path) -> Iterator[Path]:
    """Yield a repository's files, its refs before its objects; what is only half written, and links, not."""
    first = [path for part in REFS_FIRST for path in _files(repository / part)]
    yield from first
    yield from (path for path in _files(repository) if path not in first)


def _files(top: Path) -> Iterator[Path]:
    if top.is_file() and not top.is_symlink():
        yield top
    for folder, _, names in os.walk(top):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and not name.startswith((".", "tmp_")):
                yield path


def _folder(archive: Archive, home: Path, name: str) -> None:
    for path in _files(home / name):
        archive.file(f"{FILES}{path.relative_to(home)}", path)


def _keys(archive: Archive, home: Path, settings: Path | None) -> None:
    for name in KEYS:
        archive.file(f"{FILES}{name}", settings if name == "hostler.toml" and settings else home / name)
    _folder(archive, home, "secrets")
