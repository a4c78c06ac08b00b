"""SQLite in one file: write-ahead log, every commit on the disk before it is acknowledged, one process."""

import fcntl
import os
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event

from hostler.core.errors import FailedPrecondition, InvalidArgument, Unavailable
from hostler.store.database import Hear

READERS = 4


class Sqlite:
    """A SQLite file and the lock file beside it."""

    shared = False
    row_lock = ""
    row_hold = ""
    text_type = "TEXT"

    def __init__(self, url: URL, patience: timedelta) -> None:
        if not url.database or url.database == ":memory:":
            raise InvalidArgument("SQLite needs a file: sqlite:///PATH", field="database")
        self._path = Path(url.database).absolute()
        self._patience = patience
        self._lock: int | None = None
        plain = URL.create("sqlite", database=str(self._path))
        self._writing = create_engine(plain, poolclass=NullPool)
        self.readers = create_engine(plain, isolation_level="AUTOCOMMIT", pool_size=READERS, max_overflow=0)
        self.near = create_engine(plain, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        event.listen(self._writing, "connect", self._prepare_writer)
        event.listen(self._writing, "begin", _begin)
        event.listen(self.readers, "connect", self._prepare_reader)
        event.listen(self.near, "connect", _prepare_near)

    def writer(self) -> Connection:
        """Return the writer's connection; the lock file is taken first and kept."""
        if self._lock is None:
            self._lock = self._hold()
        return self._writing.connect()

    def hold_schema(self, connection: Connection) -> None:
        """Do nothing: every transaction of the writer is alone from its beginning."""

    def announce(self, connection: Connection, changed: frozenset[str]) -> None:
        """Do nothing: there is no other process."""

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        """Hear nothing."""
        return nullcontext()

    def close(self) -> None:
        """Close every connection and the lock file."""
        self._writing.dispose()
        self.readers.dispose()
        self.near.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> int:
        """Lock the file beside the database; the kernel lets it go when the process ends, however it ends."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._closed_to_us(error) from error
        try:
            self._sign(lock)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _sign(self, lock: int) -> None:
        """Take the lock, and leave our number for whoever comes second."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            holder = os.read(lock, 32).decode(errors="replace").strip()
            raise FailedPrecondition(
                f"another Hostler process{f' (pid {holder})' if holder else ''} uses {self._path}; stop it first, or "
                "use another data folder"
            ) from None
        except OSError as error:
            raise self._closed_to_us(error) from error

    def _closed_to_us(self, error: OSError) -> Unavailable:
        return Unavailable(f"the database {self._path} cannot be opened: {error.strerror}")

    def _prepare_writer(self, connection: Any, _: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {self._patience // timedelta(milliseconds=1)}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    def _prepare_reader(self, connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {self._patience // timedelta(milliseconds=1)}")
        connection.execute("PRAGMA query_only = ON")


def _prepare_near(connection: Any, _: object) -> None:
    """Let nobody wait for a lock here: whoever asks is the event loop."""
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA query_only = ON")


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that only later turns into a writer can fail in the middle."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
