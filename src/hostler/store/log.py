"""Appends, claims and purges as they happen inside the writer's transaction: check first, then fold, then write.

Plain SQL, because this is the one path whose cost every step of every agent pays. The row of the execution is locked
before anything is decided, so the checks hold until the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, text

from hostler.core import events as ev
from hostler.core.errors import AlreadyExists, Conflict, NotFound, StaleFence
from hostler.core.events import Event, Recorded, decode, encode
from hostler.core.ports import PRESENT, Appended, Idempotency, Position, Projection
from hostler.store.beside import columns_of, write_beside
from hostler.store.columns import check_text, digest, to_json, to_ticks
from hostler.store.database import Database
from hostler.store.folding import Fold, Memory, Remembered
from hostler.store.outbox import note_phases
from hostler.store.reading import read_log
from hostler.store.statements import Statement
from hostler.store.writer import Writing

S = TypeVar("S")

ONCE_FOR = timedelta(hours=24)
"""How long a caller's key for a start is remembered."""

INSERT_EXECUTION = Statement("""
    INSERT INTO execution (id, runner, owner, fence, attempts, last_seq, phase, turn, busy, due_at, agent_id,
        project_id, creator_id, session_id, role, created_at, updated_at, deleted_at, forked_from, forked_seq, view,
        standing, words)
    VALUES (:id, :runner, '', 0, 0, :last_seq, :phase, :turn, :busy, :due_at, :agent_id,
        :project_id, :creator_id, :session_id, :role, :at, :at, :deleted_at, :forked_from, :forked_seq, :view,
        :standing, :words)
    ON CONFLICT (id) DO NOTHING""")
UPDATE_EXECUTION = Statement("""
    UPDATE execution SET owner = :owner, fence = :fence, attempts = :attempts, last_seq = :last_seq, phase = :phase,
        turn = :turn, busy = :busy, due_at = :due_at, agent_id = :agent_id, project_id = :project_id,
        creator_id = :creator_id, session_id = :session_id, role = :role, updated_at = :at,
        deleted_at = :deleted_at, view = :view, standing = :standing, words = :words
    WHERE id = :id""")
INSERT_EVENT = Statement("""
    INSERT INTO event (execution_id, seq, turn, kind, version, body, at, effect)
    VALUES (:execution_id, :seq, :turn, :kind, :version, :body, :at, :effect)""")
INSERT_KIND = Statement("INSERT INTO event_kind (kind, version) VALUES (:kind, :version) ON CONFLICT DO NOTHING")
KNOWN_FACT = Statement("SELECT effect, kind FROM event WHERE execution_id = :id AND effect = :effect")
CLAIM = text("""
    UPDATE execution SET fence = fence + 1, owner = :owner, attempts = attempts + 1 WHERE id = :id AND fence = :seen""")
MOVE = text("""
    UPDATE execution SET fence = fence + 1, runner = :runner, owner = '', attempts = 0
    WHERE id = :id AND fence = :seen""")
TAKE = Statement("UPDATE execution SET owner = :owner, fence = :fence, attempts = :attempts WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Line:
    """An event on its way into the log, in both its forms; `effect` is the key of a fact, None for a decision."""

    event: Event
    kind: str
    version: int
    body: str
    effect: str | None = None


def line(event: Event, effect: str | None = None) -> Line:
    """Encode an event; what is folded is what a reader will decode, so that memory and log never differ."""
    kind, version, body = encode(event)
    return Line(decode(kind, version, body), kind, version, to_json(body), effect)


KEEP_SPENT = """
    INSERT INTO spent_gone (person, day, tokens)
    SELECT execution.creator_id, spent.day, sum(spent.input + spent.cached_input + spent.cache_creation + spent.output
        + spent.guessed_input + spent.guessed_cached_input + spent.guessed_cache_creation + spent.guessed_output)
    FROM spent JOIN execution ON execution.id = spent.execution_id WHERE execution.id = :id
    GROUP BY execution.creator_id, spent.day
    ON CONFLICT (person, day) DO UPDATE SET tokens = spent_gone.tokens + excluded.tokens
"""
"""An INSERT from a SELECT with a WHERE, without which SQLite would take ON for a join's."""


class Held(NamedTuple):
    """What is asked of an execution's row before anything is decided; it stays so until the commit."""

    runner: str
    owner: str
    fence: int
    attempts: int
    last_seq: int
    turn: int
    deleted_at: int | None


@dataclass(frozen=True, slots=True)
class Appending:
    """An append that was asked for; see the port for the promises."""

    execution: str
    position: Position
    at: datetime
    facts: Sequence[Line]
    decisions: Sequence[Line]
    own: str | None
    new_fence: bool
    progress: bool


class Log(Generic[S]):
    """The work that the writer is given."""

    def __init__(self, fold: Fold[S], memory: Memory[S], database: Database) -> None:
        row_lock = database.row_lock
        self._fold = fold
        self._memory = memory
        self._locked_row = Statement(
            "SELECT runner, owner, fence, attempts, last_seq, turn, deleted_at FROM execution WHERE id = :id" + row_lock
        )
        self._locked_incarnation = text("SELECT incarnation FROM runner WHERE id = :runner" + database.row_hold)
        self._locked_id = text("SELECT id FROM execution WHERE id = :id" + row_lock)
        self._locked_key = text(
            "SELECT body_sha256, execution_id FROM idempotency WHERE principal = :principal AND key_sha256 = :key"
            + row_lock
        )

    def create(
        self,
        writing: Writing,
        execution: str,
        runner: str,
        lines: Sequence[Line],
        at: datetime,
        once: Idempotency | None,
    ) -> tuple[str, bool]:
        """Write a new execution, or find the one that the caller's key started."""
        if once and (first := self._first(writing.connection, once, at)):
            return first, False
        recorded, rows = _place(execution, lines, at, 0, 0)
        state = self._fold.state(recorded)
        projection = self._fold.project(state)
        started = next((line.event for line in lines if isinstance(line.event, ev.Started)), None)
        fork = started.forked_from if started else None
        inserted = INSERT_EXECUTION.run(
            writing.connection,
            {
                **columns_of(projection),
                "id": check_text(execution, "id"),
                "runner": check_text(runner, "runner"),
                "last_seq": len(rows),
                "at": to_ticks(at),
                "deleted_at": _deleted_at(lines, at, None),
                "forked_from": fork.execution if fork else None,
                "forked_seq": fork.seq if fork else None,
            },
        )
        if not inserted:
            raise AlreadyExists("there is an execution with this id", field="agent_execution_id")
        self._write(writing.connection, execution, lines, rows)
        write_beside(writing.connection, execution, projection, Remembered(0, None, {}, (), {}))
        if once:
            self._keep_key(writing.connection, once, execution, at)
        self._remember(execution, lines, len(rows), state, projection)
        writing.changed.add(execution)
        return execution, True

    def append(self, writing: Writing, asked: Appending) -> Appended:
        """Append facts by fence and decisions by compare-and-set."""
        connection = writing.connection
        row = self._row(connection, asked.execution)
        if row is None:
            raise NotFound("there is no such execution", field="agent_execution_id")
        if row.fence != asked.position.fence:
            raise StaleFence
        decides = bool(asked.decisions) or asked.own is not None or asked.new_fence
        decided = not decides or row.last_seq == asked.position.seq
        if not decided and not asked.facts:
            raise Conflict
        fresh = _fresh(connection, asked)
        lines = [*fresh, *(asked.decisions if decided else ())]
        if not lines and not (decides and decided):
            return Appended(Position(row.fence, row.last_seq), (), decided)
        if decides and decided and asked.own:
            present = self._check_incarnation(connection, row.runner, asked.own)
            asked = replace(asked, own=present)
        return self._grow(writing, asked, row, lines, decided)

    def _grow(self, writing: Writing, asked: Appending, row: Held, lines: Sequence[Line], decided: bool) -> Appended:
        connection, execution = writing.connection, asked.execution
        recorded, rows = _place(execution, lines, asked.at, row.last_seq, row.turn)
        before = self._remembered(connection, execution, row.last_seq)
        state = self._fold.state(recorded, before.state)
        last_seq = row.last_seq + len(rows)
        fence: int = row.fence + (1 if asked.new_fence and decided else 0)
        owner = asked.own if asked.own is not None and decided else row.owner
        taken = {"id": execution, "owner": owner, "fence": fence, "attempts": 0 if asked.progress else row.attempts}
        writing.changed.add(execution)
        if not lines:
            TAKE.run(connection, taken)
            return Appended(Position(fence, last_seq), (), decided)
        projection = self._fold.project(state)
        deleted_at = _deleted_at(lines, asked.at, row.deleted_at)
        moved = {"last_seq": last_seq, "at": to_ticks(asked.at), "deleted_at": deleted_at}
        self._write(connection, execution, lines, rows)
        UPDATE_EXECUTION.run(connection, {**columns_of(projection), **taken, **moved})
        write_beside(connection, execution, projection, before)
        self._remember(execution, lines, last_seq, state, projection)
        return Appended(Position(fence, last_seq), recorded, decided, state)

    def claim(self, writing: Writing, execution: str, seen_fence: int, owner: str) -> Position | None:
        """Take the execution for an incarnation that is its runner's present one."""
        row = self._row(writing.connection, execution)
        if row is None:
            raise NotFound("there is no such execution", field="agent_execution_id")
        self._check_incarnation(writing.connection, row.runner, owner)
        taken = writing.connection.execute(CLAIM, {"id": execution, "owner": owner, "seen": seen_fence})
        if not taken.rowcount:
            return None
        writing.changed.add(execution)
        return Position(seen_fence + 1, row.last_seq)

    def move(self, writing: Writing, execution: str, seen_fence: int, runner: str) -> Position | None:
        """Give the execution to another runner, whose next look takes it up."""
        row = self._row(writing.connection, execution)
        if row is None:
            raise NotFound("there is no such execution", field="agent_execution_id")
        moved = {"id": execution, "runner": check_text(runner, "runner"), "seen": seen_fence}
        if not writing.connection.execute(MOVE, moved).rowcount:
            return None
        writing.changed.add(execution)
        return Position(seen_fence + 1, row.last_seq)

    def purge(self, writing: Writing, execution: str) -> None:
        """Remove the row; what hangs on it goes with it."""
        if writing.connection.execute(self._locked_id, {"id": execution}).first() is None:
            return
        for statement in (
            KEEP_SPENT,
            "DELETE FROM environment_use WHERE execution_id = :id",
            "DELETE FROM execution WHERE id = :id",
        ):
            writing.connection.execute(text(statement), {"id": execution})
        self._memory.drop(execution)
        writing.changed.add(execution)

    def _row(self, connection: Connection, execution: str) -> Held | None:
        """Return an execution's row, locked."""
        found = self._locked_row.rows(connection, {"id": execution})
        return Held(*found[0]) if found else None

    def _check_incarnation(self, connection: Connection, runner: str, owner: str) -> str:
        """Return the runner's present incarnation, which the owner must be or stand for; it holds until the commit."""
        present: str | None = connection.execute(self._locked_incarnation, {"runner": runner}).scalar_one_or_none()
        if present is None or owner not in (present, PRESENT):
            raise StaleFence("another process has taken over this runner")
        return present

    def _first(self, connection: Connection, once: Idempotency, at: datetime) -> str | None:
        """Return the execution that this key started; keys that are too old are removed on the way."""
        connection.execute(text("DELETE FROM idempotency WHERE at <= :before"), {"before": to_ticks(at - ONCE_FOR)})
        key = {"principal": once.principal, "key": digest(once.key)}
        known = connection.execute(self._locked_key, key).one_or_none()
        if known and known.body_sha256 != once.body_sha256:
            raise AlreadyExists("this idempotency key was used with another body")
        return known.execution_id if known else None

    def _keep_key(self, connection: Connection, once: Idempotency, execution: str, at: datetime) -> None:
        connection.execute(
            text("INSERT INTO idempotency VALUES (:principal, :key, :body, :execution, :at)"),
            {
                "principal": once.principal,
                "key": digest(once.key),
                "body": once.body_sha256,
                "execution": execution,
                "at": to_ticks(at),
            },
        )

    def _remembered(self, connection: Connection, execution: str, last_seq: int) -> Remembered[S]:
        """Return the state at `last_seq`, folding what memory does not have."""
        known = self._memory.get(execution)
        if known is None or known.seq > last_seq:
            known = Remembered(0, self._fold.initial)
        if known.seq == last_seq:
            return known
        return Remembered(last_seq, self._fold.state(read_log(connection, execution, known.seq), known.state))

    def _remember(self, execution: str, lines: Sequence[Line], seq: int, state: S, projection: Projection) -> None:
        self._memory.kinds.update((line.kind, line.version) for line in lines)
        annotations, environments = dict(projection.annotations), projection.environment_ids
        self._memory.keep(execution, Remembered(seq, state, annotations, environments, projection.spent))

    def _write(
        self, connection: Connection, execution: str, lines: Sequence[Line], rows: Sequence[dict[str, Any]]
    ) -> None:
        INSERT_EVENT.run_each(connection, rows)
        note_phases(connection, rows)
        for kind, version in sorted({(line.kind, line.version) for line in lines} - self._memory.kinds):
            INSERT_KIND.run(connection, {"kind": kind, "version": version})


def _place(
    execution: str, lines: Sequence[Line], at: datetime, after: int, turn: int
) -> tuple[tuple[Recorded, ...], list[dict[str, Any]]]:
    """Give each event its seq and its turn; return them as recorded, and as rows."""
    recorded: list[Recorded] = []
    rows: list[dict[str, Any]] = []
    for seq, line in enumerate(lines, start=after + 1):
        turn = line.event.turn if isinstance(line.event, ev.TurnStarted) else turn
        recorded.append(Recorded(seq, at, line.event))
        row = {"execution_id": execution, "seq": seq, "turn": turn, "kind": line.kind, "version": line.version}
        rows.append({**row, "body": line.body, "at": to_ticks(at), "effect": line.effect})
    return tuple(recorded), rows


def _fresh(connection: Connection, asked: Appending) -> list[Line]:
    """Return the facts that are not in the log yet, each once."""
    known = {
        (row[0], row[1])
        for effect in {fact.effect for fact in asked.facts}
        for row in KNOWN_FACT.rows(connection, {"id": asked.execution, "effect": effect})
    }
    fresh: list[Line] = []
    for fact in asked.facts:
        if (fact.effect, fact.kind) not in known:
            known.add((fact.effect, fact.kind))
            fresh.append(fact)
    return fresh


def _deleted_at(lines: Sequence[Line], at: datetime, before: int | None) -> int | None:
    """Return when the execution was deleted: with its first Deleted event."""
    if before is None and any(isinstance(line.event, ev.Deleted) for line in lines):
        return to_ticks(at)
    return before
