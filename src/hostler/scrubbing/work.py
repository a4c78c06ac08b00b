"""One scrub from its beginning to its end; cut off anywhere, the same again does the rest.

The secret is kept for the redactor first, so that it cannot come in again; files that hold it go after the rows that
named them, so that no row ever names what is not there.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Text, text

from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition, InvalidArgument
from hostler.core.redaction import SHORTEST
from hostler.home import Home
from hostler.learned import learn
from hostler.scrubbing.files import Folder, Left
from hostler.scrubbing.masking import Masking
from hostler.scrubbing.rows import (
    Moved,
    blob_rows_with,
    drop_blob_row,
    drop_bundle,
    forget_pages,
    masked_columns,
    rename_blob,
    rewriting,
    scrub_blob_rows,
    scrub_log,
    scrub_tables,
    texts_of,
)
from hostler.store.audit import WRITE
from hostler.store.columns import to_json, to_ticks
from hostler.store.copying import reading
from hostler.store.migrations import STEPS

ACTION = "Scrubbed"
Say = Callable[[str], None]


@dataclass(slots=True)
class Found:
    """What was found: places by where they are, and what stays."""

    places: dict[str, int] = field(default_factory=dict[str, int])
    left: list[Left] = field(default_factory=list[Left])

    def note(self, where: str, number: int) -> None:
        """Count places."""
        if number:
            self.places[where] = self.places.get(where, 0) + number

    @property
    def total(self) -> int:
        """Return how many places there are in all."""
        return sum(self.places.values())


def check(secrets: Sequence[str]) -> None:
    """Raise InvalidArgument for what cannot be looked for."""
    if not secrets or any(len(secret) < SHORTEST for secret in secrets):
        raise InvalidArgument(f"a secret has at least {SHORTEST} characters; fewer would blot out words")


def look(settings: Settings, secrets: Sequence[str]) -> Found:
    """Count where secrets stand, and change nothing; a server may run meanwhile."""
    check(secrets)
    masking, found = Masking(secrets), Found()
    folder = Folder(settings.home, masking, change=False)
    with reading(settings.database) as copied:
        for table in copied.tables:
            rows = copied.connection.execution_options(yield_per=500).execute(texts_of(table)).mappings()
            for row in rows if any(isinstance(column.type, Text) for column in table.columns) else ():
                found.note(f"table {table.name}", len(masked_columns(table, dict(row), masking)))
        found.note("large outputs", blob_rows_with(copied.connection, masking))
    found.note("large outputs", sum(1 for _ in folder.blobs()))
    _beside(folder, found)
    for one in folder.kept():
        found.left.append(Left(str(one.relative_to(settings.home)), KEPT))
    found.left.extend(folder.left())
    return found


KEPT = "kept work, whose objects cannot be rewritten; --remove-kept removes all that is kept of this execution"


def scrub(
    settings: Settings, secrets: Sequence[str], ambient: Ambient, who: str, *, remove_kept: bool, say: Say
) -> Found:
    """Mask secrets wherever they stand, and note it; FailedPrecondition or HomeInUse while a server runs."""
    check(secrets)
    _must_be_ours(settings)
    masking, found = Masking(secrets), Found()
    with Home.locked(settings.home, ambient) as home:
        folder = Folder(home.folder, masking, change=True)
        with rewriting(settings.database, ambient.now(), home.runner) as connection:
            learn(home.folder, home.secret_key, secrets)
            note = _Note(ambient.new_id(), to_ticks(ambient.now()), who)
            with connection.begin():
                connection.execute(WRITE, note.values("asked", {}))
            _scrub_database(connection, folder, masking, found, say)
            _beside(folder, found)
            _kept(connection, folder, found, remove=remove_kept)
            found.left.extend(folder.left())
            with connection.begin():
                told = {where: str(number) for where, number in found.places.items()}
                connection.execute(WRITE, note.values("done", {**told, "left": str(len(found.left))}))
            say("the database is written anew")
            forget_pages(connection)
    return found


def _must_be_ours(settings: Settings) -> None:
    """Raise FailedPrecondition where there is nothing that this release could rewrite."""
    if not (settings.home / "runner").is_file():
        raise FailedPrecondition(f"{settings.home} is no data folder of Hostler")
    with reading(settings.database) as copied:
        if copied.step != len(STEPS):
            raise FailedPrecondition(
                f"the database has schema {copied.step} and this release {len(STEPS)}: start this release's server once"
            )


@dataclass(frozen=True, slots=True)
class _Note:
    """The entry in the audit log."""

    id: str
    at: int
    who: str

    def values(self, outcome: str, details: Mapping[str, str]) -> dict[str, Any]:
        """Return its row."""
        actor = {"actor_id": "", "actor_kind": "operator", "actor_name": self.who}
        subject = {"subject_kind": "", "subject_id": ""}
        end = {"outcome": outcome, "details": to_json(details)}
        return {"id": self.id, "at": self.at, "action": ACTION, **actor, **subject, **end}


def _scrub_database(connection: Connection, folder: Folder, masking: Masking, found: Found, say: Say) -> None:
    blobs = list(folder.blobs())
    with connection.begin():
        rows = scrub_blob_rows(connection, masking)
    moved: dict[str, Moved] = {path.name: new for path, new in blobs} | rows
    executions = _executions(connection)
    say(f"{len(executions)} executions are gone through")
    for execution in executions:
        with connection.begin():
            found.note("log", scrub_log(connection, execution, masking, moved))
    with connection.begin():
        for old, new in moved.items():
            rename_blob(connection, old, new)
        for old in rows:
            drop_blob_row(connection, old)
    for path, _ in blobs:
        path.unlink()
    found.note("large outputs", len(moved))
    with connection.begin():
        for table, number in scrub_tables(connection, masking).items():
            found.note(f"table {table}", number)


def _executions(connection: Connection) -> list[str]:
    with connection.begin():
        return list(connection.execute(text("SELECT id FROM execution ORDER BY id")).scalars())


def _beside(folder: Folder, found: Found) -> None:
    found.note("text being said", folder.said())
    found.note("server logs", folder.logs())
    found.note("setup caches", folder.setups())


def _kept(connection: Connection, folder: Folder, found: Found, *, remove: bool) -> None:
    for one in folder.kept():
        if remove:
            with connection.begin():
                drop_bundle(connection, one.stem)
            shutil.rmtree(one)
            found.note("kept work removed", 1)
        else:
            found.left.append(Left(str(one.relative_to(folder.home)), KEPT))
