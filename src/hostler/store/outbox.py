"""What webhooks are to be told: written in the commit that changes the phase, one row for each webhook.

So a phase that is in the log is in here too, whatever dies afterwards. Without webhooks it is one statement that finds
nothing, at the begin and end of turns only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from hostler.core.phases import TABLE
from hostler.store.statements import Statement

PHASE_AFTER: Mapping[str, str] = {kind: phase for _, kind, phase in TABLE}
NOTE = Statement("""
    INSERT INTO webhook_delivery (id, webhook_id, execution_id, seq, phase, turn, at, state, tries, due_at,
        taken_until, status, problem)
    SELECT id || '_' || CAST(:execution_id AS TEXT) || '_' || CAST(:seq AS TEXT), id, CAST(:execution_id AS TEXT),
        CAST(:seq AS BIGINT), CAST(:phase AS TEXT), CAST(:turn AS INTEGER), CAST(:at AS BIGINT), 'due', 0,
        CAST(:at AS BIGINT), 0, 0, ''
    FROM webhook WHERE disabled_at IS NULL AND (phases = '' OR phases LIKE CAST(:like AS TEXT))""")


def note_phases(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what is to be delivered of rows of the log that were just written."""
    for row in rows:
        if phase := PHASE_AFTER.get(row["kind"]):
            told = {name: row[name] for name in ("execution_id", "seq", "turn", "at")}
            NOTE.run(connection, {**told, "phase": phase, "like": f"%,{phase},%"})
