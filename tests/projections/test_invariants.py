"""What must hold of every log: true ones pass, and each rule can fail."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core.conversation import Usage
from hostler.core.events import Event, Recorded, decode
from hostler.core.state import fold
from hostler.projections.invariants import RULES, check
from hostler.projections.row import project

CORPUS = Path(__file__).parents[1] / "corpus"
TRUE = ("approvals", "codex", "failed", "judged", "memory", "modes", "servers", "waits")
"""The others show every kind of event rather than a course of events."""


def recorded(name: str) -> list[Recorded]:
    found = []
    for line in (CORPUS / f"{name}.jsonl").read_text().splitlines():
        one = json.loads(line)
        event = decode(one["kind"], one.get("version", 1), one["body"])
        found.append(Recorded(one["seq"], datetime.fromisoformat(one["at"]), event))
    return found


LOG = recorded("approvals")


def renumbered(events: Sequence[Recorded]) -> list[Recorded]:
    return [replace(one, seq=seq) for seq, one in enumerate(events, start=1)]


def first(kind: type[Event], log: Sequence[Recorded] = LOG) -> int:
    """Return the place of the first event of a kind."""
    return next(place for place, one in enumerate(log) if isinstance(one.event, kind))


def without(kind: type[Event], log: Sequence[Recorded] = LOG) -> list[Recorded]:
    place = first(kind, log)
    return renumbered([*log[:place], *log[place + 1 :]])


def doubled(kind: type[Event], log: Sequence[Recorded] = LOG) -> list[Recorded]:
    place = first(kind, log)
    return renumbered([*log[: place + 1], *log[place:]])


def with_event(place: int, event: Event, log: Sequence[Recorded] = LOG) -> list[Recorded]:
    return renumbered([*log[:place], replace(log[place - 1], event=event), *log[place:]])


def rules(log: Sequence[Recorded], view: Any = None) -> set[str]:
    return {one.rule for one in check(log, view)}


@pytest.mark.parametrize("name", TRUE)
def test_a_true_log_has_nothing_wrong_and_answers_follow_from_it(name: str):
    log = recorded(name)
    assert check(log, project(fold(log)).view) == ()
    assert all(check(log[:length]) == () for length in range(1, len(log), 3))


BROKEN: dict[str, Callable[[], Sequence[Recorded]]] = {
    "sequence": lambda: [*LOG[:5], *LOG[6:]],
    "beginning": lambda: renumbered(LOG[1:]),
    "phases": lambda: doubled(ev.TurnEnded),
    "turns": lambda: with_event(first(ev.TurnEnded), ev.StopRequested(7)),
    "results": lambda: without(ev.ToolFinished),
    "intents": lambda: without(ev.ModelCallStarted),
    "calls": lambda: doubled(ev.ModelReplied),
    "inputs": lambda: doubled(ev.InputTaken),
    "blocks": lambda: with_event(
        first(ev.ModelReplied) + 1,
        ev.ModelCallCut("c1", (ev.CutText(blocks_of(LOG)[0], "again"),)),
    ),
    "deletion": lambda: [
        *LOG,
        *(Recorded(len(LOG) + n, LOG[-1].at, event) for n, event in enumerate((ev.Deleted(), started_after(LOG)), 1)),
    ],
}


def blocks_of(log: Sequence[Recorded]) -> Sequence[str]:
    return next(one.event.blocks for one in log if isinstance(one.event, ev.ModelReplied) and one.event.blocks)


def started_after(log: Sequence[Recorded]) -> ev.TurnStarted:
    return ev.TurnStarted(fold(log).turn + 1, "another")


@pytest.mark.parametrize("rule", sorted(BROKEN))
def test_a_broken_log_is_found_out_by_its_rule(rule: str):
    assert rule in rules(BROKEN[rule]())


def test_a_tool_that_ended_well_without_having_been_started_is_found_out():
    assert "intents" in rules(without(ev.ToolStarted))


def test_an_input_that_was_deleted_and_taken_is_found_out():
    queued = next(one.event for one in LOG if isinstance(one.event, ev.InputQueued))
    assert "inputs" in rules(with_event(first(ev.InputTaken), ev.InputDeleted(queued.input_id)))


def test_an_answer_that_does_not_follow_from_the_log_is_found_out():
    view = json.loads(json.dumps(project(fold(LOG)).view, default=str))
    view["status"]["phase"] = "PHASE_RUNNING"
    [found] = check(LOG, view)
    assert (found.rule, found.seq) == ("answer", 0)
    assert "status.phase is 'PHASE_RUNNING'" in found.text


def test_usage_that_is_no_sum_of_the_calls_is_found_out():
    view = json.loads(json.dumps(project(fold(LOG)).view, default=str))
    view["status"]["outputTokensUsed"] = "123456"
    assert {"answer", "usage"} <= rules(LOG, view)
    place = first(ev.ModelReplied)
    reply = LOG[place].event
    assert isinstance(reply, ev.ModelReplied)
    more = [*LOG[:place], replace(LOG[place], event=replace(reply, usage=Usage(9, 9, 9, 9))), *LOG[place + 1 :]]
    assert "usage" in rules(more, project(fold(LOG)).view)


def test_an_empty_log_is_found_out():
    assert rules([]) == {"beginning"}


def test_every_rule_is_shown_to_fail_here():
    assert set(RULES) == {*BROKEN, "usage", "answer"}
