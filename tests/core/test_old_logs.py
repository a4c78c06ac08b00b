"""Events as earlier releases wrote them are read today, and mean what they meant."""

from typing import Any

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Child
from hostler.core.events import Event, decode, encode

OLD: list[tuple[str, dict[str, Any], Event]] = [
    (
        "ChildReported",
        {"child": {"id": "t", "name": "Newton", "state": "done", "total_tokens": 3}},
        ae.ChildReported(Child("t", "Newton", "done", 3)),
    ),
    ("AgentNoted", {"kind": "warning", "body": "hm", "warning": True}, ae.AgentNoted("warning", "hm", warning=True)),
    ("EgressRefused", {"host": "a.org:443", "reason": "no"}, ev.EgressRefused("a.org:443", "no")),
]


@pytest.mark.parametrize(("kind", "body", "event"), OLD)
def test_an_event_without_newer_fields_is_read(kind: str, body: dict[str, Any], event: Event) -> None:
    assert decode(kind, 1, body) == event
    assert decode(*encode(event)) == event
