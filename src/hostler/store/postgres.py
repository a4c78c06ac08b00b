"""Postgres: the one process is held to by an advisory lock in the writer's own session.

Whoever lost that session lost the lock with it, so a process that was replaced cannot write any more.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from hostler.core.errors import FailedPrecondition

READERS = 4
CONNECT_SECONDS = 10
HOLD = "SELECT pg_advisory_lock(hashtextextended('hostler:' || current_schema(), 0))"


class Postgres:
    """A Postgres database, or the schema of one that the URL's search_path names."""

    row_lock = " FOR UPDATE"
    text_type = 'TEXT COLLATE "C"'

    def __init__(self, url: URL, patience: timedelta) -> None:
        self._patience = patience
        plain = url.set(drivername="postgresql+psycopg")
        arguments = {"connect_timeout": CONNECT_SECONDS, "application_name": "hostler", "client_encoding": "utf8"}
        self._writing = create_engine(plain, poolclass=NullPool, connect_args=arguments)
        self.readers = create_engine(
            plain, isolation_level="AUTOCOMMIT", pool_size=READERS, max_overflow=0, connect_args=arguments
        )
        event.listen(self._writing, "connect", self._prepare_writer)

    def writer(self) -> Connection:
        """Return the writer's connection, which holds the lock; a session that just ended is waited for."""
        connection = self._writing.connect()
        try:
            if connection.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
                raise FailedPrecondition("the Postgres database must be made with ENCODING 'UTF8'")
            connection.exec_driver_sql(HOLD)
            connection.commit()
        except OperationalError as error:
            connection.close()
            if getattr(error.orig, "sqlstate", "") != "55P03":
                raise
            raise FailedPrecondition("another Hostler process uses this Postgres database; stop it first") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close every connection."""
        self._writing.dispose()
        self.readers.dispose()

    def _prepare_writer(self, connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = {self._patience // timedelta(milliseconds=1)}")
        connection.commit()
