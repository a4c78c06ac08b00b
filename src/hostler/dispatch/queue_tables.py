"""The tables of the procrastinate library, in a schema of their own beside Hostler's, brought up to date by us.

The library says what its tables look like now, and in numbered files how they came to; which of those are in the
database is noted in a table of ours.
"""

from pathlib import Path
from typing import Any, LiteralString, cast

from procrastinate.schema import SchemaManager
from psycopg import AsyncConnection, sql

WAIT = "SET LOCAL lock_timeout = '10min'"
MIGRATING = "SELECT pg_advisory_xact_lock(hashtextextended('hostler:migrating:' || current_schema(), 0))"
DONE = "CREATE TABLE hostler_done (file TEXT PRIMARY KEY)"


async def bring_up_to_date(url: str) -> str:
    """Make the tables, or change what an older release of the library made; return the schema they are in."""
    async with await AsyncConnection.connect(url, connect_timeout=10) as connection:
        await connection.execute(WAIT)
        await connection.execute(MIGRATING)
        cursor = await connection.execute("SELECT current_schema() || '_jobs'")
        schema = str((await cursor.fetchone() or ("",))[0])
        named = sql.Identifier(schema)
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(named))
        await connection.execute(sql.SQL("SET LOCAL search_path = {}").format(named))
        await _apply(connection)
    return schema


async def _apply(connection: AsyncConnection[Any]) -> None:
    """Apply what is missing, in the caller's transaction."""
    files = _files()
    cursor = await connection.execute("SELECT to_regclass('hostler_done')")
    if (await cursor.fetchone() or (None,))[0] is None:
        await connection.execute(DONE)
        await connection.execute(SchemaManager.get_schema())
        missing = files
    else:
        cursor = await connection.execute("SELECT file FROM hostler_done")
        done = {row[0] for row in await cursor.fetchall()}
        missing = [file for file in files if file.name not in done]
        for file in missing:
            await connection.execute(cast("LiteralString", file.read_text()))
    for file in missing:
        await connection.execute("INSERT INTO hostler_done (file) VALUES (%s)", [file.name])


def _files() -> list[Path]:
    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
