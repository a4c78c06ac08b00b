"""What Hostler itself says to an agent is not shown as if a person had said it."""

from datetime import UTC, datetime

from hostler.core import events as ev
from hostler.core.events import Agent, Recorded
from hostler.projections.items import Note, UserInput
from hostler.projections.timeline import timeline

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_it_is_a_note_and_no_message_of_a_person():
    block = {"inputs": [{"text": {"content": "Go on towards the goal: green\nNow."}}]}
    events = (
        ev.Started({}, Agent("a", "a", "builtin", "m:m"), "env", True, "me", "s"),
        ev.EnvironmentReady("env", "supervisor-1"),
        ev.TurnStarted(1, "life"),
        ev.InputQueued("h-1", block, "h-1", "harness"),
        ev.InputTaken(("h-1",)),
    )
    told = timeline("e", [Recorded(seq, AT, event) for seq, event in enumerate(events, 1)]).items
    assert not [one for one in told if isinstance(one, UserInput)]
    [note] = [one for one in told if isinstance(one, Note) and one.kind == "harness"]
    assert note.text == "Hostler to the agent: Go on towards the goal: green"
    assert "Now." in note.detail
