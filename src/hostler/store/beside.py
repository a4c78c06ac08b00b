"""The projection beside the log: the row's columns, annotations and environments, in the append's own commit."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from hostler.core.ports import Projection
from hostler.store.columns import check_text, digest, to_json, to_ticks

DROP_ANNOTATIONS = text("DELETE FROM annotation WHERE execution_id = :id")
INSERT_ANNOTATION = text("""
    INSERT INTO annotation (execution_id, key, value, digest) VALUES (:id, :key, :value, :digest)""")
DROP_ENVIRONMENTS = text("DELETE FROM execution_environment WHERE execution_id = :id")
INSERT_ENVIRONMENT = text("""
    INSERT INTO execution_environment (environment_id, execution_id) VALUES (:environment, :id)""")


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
    }


def write_beside(
    connection: Connection,
    execution: str,
    projection: Projection,
    annotations: Mapping[str, str] | None,
    environment_ids: tuple[str, ...] | None,
) -> None:
    """Write annotations and environments that differ from what the tables hold, or all when that is not known."""
    if annotations != projection.annotations:
        connection.execute(DROP_ANNOTATIONS, {"id": execution})
        if rows := [_annotation(execution, key, value) for key, value in projection.annotations.items()]:
            connection.execute(INSERT_ANNOTATION, rows)
    if environment_ids != projection.environment_ids:
        connection.execute(DROP_ENVIRONMENTS, {"id": execution})
        if uses := [{"environment": it, "id": execution} for it in dict.fromkeys(projection.environment_ids)]:
            connection.execute(INSERT_ENVIRONMENT, uses)


def _annotation(execution: str, key: str, value: str) -> dict[str, str]:
    check_text(key, "annotations")
    check_text(value, f"annotations[{key}]")
    return {"id": execution, "key": key, "value": value, "digest": digest(key, value)}
