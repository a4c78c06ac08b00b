"""The filters of a list as one SELECT, paged by key: newest first, ids below the last one of the page before."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, func, or_, select

from hostler.core.errors import InvalidArgument
from hostler.core.ports import ExecutionQuery
from hostler.store.columns import check_texts, digest
from hostler.store.reading import Rows, rows
from hostler.store.schema import annotation, execution, execution_environment

MOST_ANNOTATIONS = 32
"""In one filter: each is a join, of which databases take some sixty, and planning many takes for ever."""


def page(query: ExecutionQuery, before: str, limit: int) -> Rows:
    """Return the SELECT of one page; InvalidArgument for text that no column can hold, or too many annotations."""
    if len(query.annotations) > MOST_ANNOTATIONS:
        raise InvalidArgument(f"a filter has at most {MOST_ANNOTATIONS} annotations", field="filter.annotations")
    for values in (query.agent_ids, query.project_ids, query.environment_ids, query.creator_ids, query.phases):
        check_texts(values, "filter")
    check_texts([query.words, *query.standings], "filter")
    for values in (query.roles, query.session_ids, query.execution_ids, query.annotations, query.annotations.values()):
        check_texts(values, "filter")
    statement = rows().where(execution.c.deleted_at.is_(None), *_conditions(query))
    paged = execution.c.id
    for key, value in query.annotations.items():
        pair = annotation.alias()
        statement = statement.join(pair, pair.c.execution_id == execution.c.id).where(
            pair.c.digest == digest(key, value)
        )
        paged = pair.c.execution_id  # the same id, but in the order of the index that finds the annotation
    if before:
        statement = statement.where(paged < before)
    return statement.order_by(paged.desc()).limit(limit)


def counted(query: ExecutionQuery, most: int) -> Select[int]:
    """Return the SELECT that counts what `page` finds, up to a bound at which the database stops looking."""
    found = page(query, "", most).with_only_columns(execution.c.id, maintain_column_froms=True)
    return select(func.count()).select_from(found.subquery())


def _conditions(query: ExecutionQuery) -> list[ColumnElement[bool]]:
    """Return one condition for each filter that is not empty."""
    of_environment = select(execution_environment.c.execution_id).where(
        execution_environment.c.environment_id.in_(query.environment_ids)
    )
    filters: Sequence[tuple[Sequence[str], ColumnElement[bool]]] = (
        (query.agent_ids, execution.c.agent_id.in_(query.agent_ids)),
        (query.project_ids, execution.c.project_id.in_(query.project_ids)),
        (query.environment_ids, execution.c.id.in_(of_environment)),
        (query.creator_ids, execution.c.creator_id.in_(query.creator_ids)),
        (query.phases, execution.c.phase.in_(query.phases)),
        (query.roles, execution.c.role.in_(query.roles)),
        (query.session_ids, execution.c.session_id.in_(query.session_ids)),
        (query.execution_ids, execution.c.id.in_(query.execution_ids)),
        (query.standings, execution.c.standing.in_(query.standings)),
        ([query.words] * bool(query.words), _says(query.words.casefold())),
    )
    return [condition for values, condition in filters if values]


def _says(text: str) -> ColumnElement[bool]:
    """Return whether a row has a text in its words, or begins with it as an id."""
    return or_(execution.c.words.contains(text, autoescape=True), execution.c.id.startswith(text, autoescape=True))
