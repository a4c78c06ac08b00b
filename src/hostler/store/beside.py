"""The projection beside the log: the row's columns, annotations and environments, in the append's own commit."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, text

from hostler.core.conversation import Usage
from hostler.core.ports import Projection
from hostler.core.spending import Key, Spent
from hostler.store.columns import check_text, digest, to_json, to_ticks
from hostler.store.folding import Fold, Remembered
from hostler.store.reading import read_log
from hostler.store.statements import Statement

USAGE = tuple(field.name for field in fields(Usage))
DROP_ANNOTATIONS = Statement("DELETE FROM annotation WHERE execution_id = :id")
INSERT_ANNOTATION = Statement("""
    INSERT INTO annotation (execution_id, key, value, digest) VALUES (:id, :key, :value, :digest)""")
DROP_ENVIRONMENTS = Statement("DELETE FROM execution_environment WHERE execution_id = :id")
INSERT_ENVIRONMENT = Statement("""
    INSERT INTO execution_environment (environment_id, execution_id) VALUES (:environment, :id)""")
SAVE_SPENT = Statement("""
    INSERT INTO spent (execution_id, day, model, calls, input, cached_input, cache_creation, output, guessed_calls,
        guessed_input, guessed_cached_input, guessed_cache_creation, guessed_output)
    VALUES (:id, :day, :model, :calls, :input, :cached_input, :cache_creation, :output, :guessed_calls,
        :guessed_input, :guessed_cached_input, :guessed_cache_creation, :guessed_output)
    ON CONFLICT (execution_id, day, model) DO UPDATE SET calls = excluded.calls, input = excluded.input,
        cached_input = excluded.cached_input, cache_creation = excluded.cache_creation, output = excluded.output,
        guessed_calls = excluded.guessed_calls, guessed_input = excluded.guessed_input,
        guessed_cached_input = excluded.guessed_cached_input,
        guessed_cache_creation = excluded.guessed_cache_creation, guessed_output = excluded.guessed_output""")
FILL = text("UPDATE execution SET standing = :standing, words = :words, view = :view WHERE id = :id")


def columns_of(projection: Projection) -> dict[str, Any]:
    """Return the row's columns that are a function of the log."""
    return {
        "phase": projection.phase,
        "turn": projection.turn,
        "busy": projection.busy,
        "due_at": None if projection.due_at is None else to_ticks(projection.due_at),
        "agent_id": check_text(projection.agent_id, "agent_id"),
        "project_id": check_text(projection.project_id, "project_id"),
        "creator_id": check_text(projection.creator_id, "creator_id"),
        "session_id": check_text(projection.session_id, "session_id"),
        "role": check_text(projection.role, "role"),
        "view": to_json(projection.view),
        "standing": projection.standing,
        "words": projection.words,
    }


def write_beside(connection: Connection, execution: str, projection: Projection, before: Remembered[Any]) -> None:
    """Write what differs from what the tables hold, or all of it when that is not known."""
    if before.annotations != projection.annotations:
        DROP_ANNOTATIONS.run(connection, {"id": execution})
        if rows := [_annotation(execution, key, value) for key, value in projection.annotations.items()]:
            INSERT_ANNOTATION.run_each(connection, rows)
    if before.environment_ids != projection.environment_ids:
        DROP_ENVIRONMENTS.run(connection, {"id": execution})
        if uses := [{"environment": it, "id": execution} for it in dict.fromkeys(projection.environment_ids)]:
            INSERT_ENVIRONMENT.run_each(connection, uses)
    known = before.spent or {}
    if rows := [_cost(execution, key, cost) for key, cost in projection.spent.items() if known.get(key) != cost]:
        SAVE_SPENT.run_each(connection, rows)


def fill(connection: Connection, fold: Fold[Any]) -> None:
    """Write what lists, views and sums need of every execution that an older release wrote, from its log."""
    for execution in connection.execute(text("SELECT id FROM execution ORDER BY id")).scalars().all():
        projection = fold.project(fold.state(read_log(connection, execution)))
        connection.execute(FILL, {**columns_of(projection), "id": execution})
        known = Remembered(0, None, projection.annotations, projection.environment_ids)
        write_beside(connection, execution, projection, known)


def _cost(execution: str, key: Key, spent: Spent) -> dict[str, Any]:
    usage = {name: getattr(spent.usage, name) for name in USAGE}
    guessed = {f"guessed_{name}": getattr(spent.guess, name) for name in USAGE}
    calls = {"calls": spent.calls, "guessed_calls": spent.guessed_calls}
    return {"id": execution, "day": key[0], "model": key[1], **calls, **usage, **guessed}


def _annotation(execution: str, key: str, value: str) -> dict[str, str]:
    check_text(key, "annotations")
    check_text(value, f"annotations[{key}]")
    return {"id": execution, "key": key, "value": value, "digest": digest(key, value)}
