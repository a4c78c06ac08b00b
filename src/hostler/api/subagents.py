"""Executions with their sub-agents as they are now: what a parent's log knows of them, joined with their own rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hostler.api.execution_view import ACTIVITIES, UNDER_WAY, execution_of, urls
from hostler.api.family import DEEPEST, MOST
from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.core.desk import Seen
from hostler.core.ports import ExecutionQuery, Row

Entry = dict[str, Any]


async def shown(parts: ApiParts, seen: Sequence[Seen]) -> list[AgentExecution]:
    """Return executions as clients see them, each with the tree of its sub-agents."""
    below = await _below(parts, [one.row for one in seen])
    return [execution_of(_joined(parts, one, below)) for one in seen]


async def _below(parts: ApiParts, rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows of all sub-agents below, by id; one look in the store for each level."""
    found: dict[str, Row] = {}
    level = {child for row in rows for child in children(row)}
    for _ in range(DEEPEST):
        wanted = sorted(level - found.keys())[: MOST - len(found)]
        if not wanted:
            break
        fresh = await parts.executions.find(ExecutionQuery(execution_ids=wanted), limit=len(wanted))
        found |= {row.id: row for row in fresh}
        level = {child for row in fresh for child in children(row)}
    return found


def children(row: Row) -> Sequence[str]:
    """Return the ids of an execution's own sub-agents."""
    return row.view.get("hostler", {}).get("tree", {}).get("children", ())


def _joined(parts: ApiParts, seen: Seen, below: Mapping[str, Row]) -> Seen:
    """Return an execution whose sub-agents, and theirs in turn, are as their own rows say."""
    view = seen.row.view
    if not children(seen.row):
        return seen
    entries = _entries(parts, seen.row, below, {seen.row.id})
    joined = {**view, "status": {**view.get("status", {}), "subagents": entries}}
    return Seen(replace(seen.row, view=joined), seen.liveness)


def _entries(parts: ApiParts, row: Row, below: Mapping[str, Row], known: set[str], parent: str = "") -> list[Entry]:
    """Return those below an execution, each before its own; nobody appears twice."""
    entries: list[Entry] = []
    for entry in row.view.get("status", {}).get("subagents", ()):
        above: Entry = {"parentId": parent} if parent else {}
        child = below.get(str(entry.get("id", "")))
        if child is None or child.id in known:
            entries.append({**entry, **above})
            continue
        known.add(child.id)
        entries.append({**entry, **above, **_now(parts, child)})
        entries.extend(_entries(parts, child, below, known, child.id))
    return entries


def _now(parts: ApiParts, child: Row) -> Entry:
    """Return what a sub-agent's own row says of it."""
    status: Mapping[str, Any] = child.view.get("status", {})
    away = ACTIVITIES.get(parts.desk.liveness(child), "") if child.phase in UNDER_WAY else ""
    entry: Entry = {
        "phase": f"PHASE_{child.phase}",
        "conversationUrls": urls(child.id)["conversationUrls"],
        "updatedAt": child.updated_at.isoformat().replace("+00:00", "Z"),
        "currentActivity": away or str(status.get("currentActivity", "")),
    }
    if child.phase in UNDER_WAY:
        entry["statusMessage"] = ""
    elif failure := status.get("failureMessage"):
        entry["statusMessage"] = str(failure)
    return entry
