"""The life cycle's table, the wire's enum and the documentation say the same."""

import re
from pathlib import Path

import pytest

from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.core.events import KINDS
from hostler.core.phases import ANYTIME, TABLE, UNCHANGED, IllegalEvent, check, table
from hostler.projections.status import PHASES

ROOT = Path(__file__).resolve().parents[2]


def test_every_phase_is_one_of_the_contract_and_none_is_missing():
    wire = {value.name for value in AgentExecution.Phase.desc().values} - {"PHASE_UNSPECIFIED"}
    assert set(PHASES.values()) == wire
    assert {phase for here, _, to in TABLE for phase in (*here, to) if phase} == set(PHASES)


def test_every_kind_of_event_has_a_place_in_the_life_cycle():
    placed = ANYTIME | {kind for _, kind, _ in TABLE} | {kind for kinds in UNCHANGED.values() for kind in kinds}
    assert placed == set(KINDS)


def test_what_the_table_does_not_have_is_refused():
    with pytest.raises(IllegalEvent, match="TurnEnded cannot happen in phase STOPPED"):
        check("STOPPED", "TurnEnded")
    with pytest.raises(IllegalEvent):
        check("", "InputQueued")


def test_the_architecture_shows_the_table_as_it_is():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert table() in text, re.sub(r"^", "> ", table(), flags=re.M)
