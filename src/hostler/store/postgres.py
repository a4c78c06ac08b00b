"""Postgres: any number of processes, each with one writer; what must not overlap is locked where it happens.

A writer holds a lock that it shares with the writers of other processes, and that a release of Hostler which thought
itself alone took for itself: the two never write to one database at once.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from hostler.core.errors import FailedPrecondition, Unavailable
from hostler.store.database import Hear
from hostler.store.listening import Listening
from hostler.store.statements import Statement

READERS = 4
CONNECT_SECONDS = 10
TOGETHER = "SELECT pg_advisory_lock_shared(hashtextextended('hostler:' || current_schema(), 0))"
MIGRATING = "SELECT pg_advisory_xact_lock(hashtextextended('hostler:migrating:' || current_schema(), 0))"
MIGRATION = timedelta(minutes=10)
"""How long a process waits while another one brings the schema up to date."""
ALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A connection whose other end has vanished is noticed within half a minute."""
PAYLOAD = 7900
"""Bytes of one notification; Postgres refuses 8,000."""
NOTIFY = Statement("SELECT pg_notify(:channel, :payload)")
EVERYTHING = "*"


class Postgres:
    """A Postgres database, or the schema of one that the URL's search_path names."""

    shared = True
    near = None
    row_lock = " FOR UPDATE"
    row_hold = " FOR KEY SHARE"
    text_type = 'TEXT COLLATE "C"'

    def __init__(self, url: URL, patience: timedelta) -> None:
        self._patience = patience
        plain = url.set(drivername="postgresql+psycopg")
        self._arguments = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "hostler",
            "client_encoding": "utf8",
            **ALIVE,
        }
        self._writing = create_engine(plain, poolclass=NullPool, connect_args=self._arguments)
        self.readers = create_engine(
            plain, isolation_level="AUTOCOMMIT", pool_size=READERS, max_overflow=0, connect_args=self._arguments
        )
        self._channel, self._me = "", ""
        event.listen(self._writing, "connect", self._prepare_writer)

    def writer(self) -> Connection:
        """Return the writer's connection; a session of another process that just ended is waited for."""
        connection = self._writing.connect()
        try:
            if connection.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
                raise FailedPrecondition("the Postgres database must be made with ENCODING 'UTF8'")
            connection.exec_driver_sql(TOGETHER)
            if not self._me:
                self._introduce(connection)
            connection.commit()
        except OperationalError as error:
            connection.close()
            if getattr(error.orig, "sqlstate", "") != "55P03":
                raise
            raise FailedPrecondition(
                "a Hostler process of a release that knows no others uses this Postgres database; stop it first"
            ) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def hold_schema(self, connection: Connection) -> None:
        """Wait for a process that changes the schema, and keep others from it until the transaction ends."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {MIGRATION // timedelta(milliseconds=1)}")
        try:
            connection.exec_driver_sql(MIGRATING)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != "55P03":
                raise
            raise Unavailable("another Hostler process brings the database up to date; try again later") from None

    def announce(self, connection: Connection, changed: frozenset[str]) -> None:
        """Notify whoever listens when, and if, the transaction is committed."""
        for payload in _payloads(self._me, changed):
            NOTIFY.run(connection, {"channel": self._channel, "payload": payload})

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        """Listen on a connection of its own, which comes back by itself; our own notifications are left out."""
        parts = self._writing.url.set(drivername="postgresql").render_as_string(hide_password=False)

        def heard(payload: str) -> None:
            sender, *ids = payload.split("\n")
            if sender != self._me:
                hear(None if EVERYTHING in ids else frozenset(ids))

        return Listening(parts, self._arguments, self._channel, heard, lambda: hear(None))

    def close(self) -> None:
        """Close every connection."""
        self._writing.dispose()
        self.readers.dispose()

    def _introduce(self, connection: Connection) -> None:
        """Learn the name of the schema's channel, because those are one for all schemas, and take a name on it."""
        schema, me = connection.exec_driver_sql("SELECT md5(current_schema()), gen_random_uuid()").one()
        self._channel, self._me = f"hostler_{schema}", UUID(str(me)).hex

    def _prepare_writer(self, connection: Any, _: object) -> None:
        """Bound what a statement waits, and how long a process that was stopped in mid-transaction keeps its locks."""
        patience = self._patience // timedelta(milliseconds=1)
        connection.execute(f"SET lock_timeout = {patience}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {max(2 * patience, 10_000)}")
        connection.commit()


def _payloads(sender: str, changed: frozenset[str]) -> Iterator[str]:
    """Yield what is notified: the sender and, a line each, the ids; a sign for all where one cannot be said so."""
    if any("\n" in one or len(one.encode()) > PAYLOAD // 2 for one in changed):
        yield f"{sender}\n{EVERYTHING}"
        return
    payload = sender
    for one in sorted(changed):
        if len(payload.encode()) + 1 + len(one.encode()) > PAYLOAD:
            yield payload
            payload = sender
        payload += f"\n{one}"
    if payload != sender:
        yield payload
