"""hostler show --usage: a cost that is not known is said to be so, and is no zero."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, OWN, Scripted, execution

ZERO = {"input": 0, "cachedInput": 0, "cacheCreation": 0, "output": 0}
COUNTED = {**ZERO, "input": 900, "output": 40}
CALL = {
    "id": "c1",
    "turn": 1,
    "model": "a:b",
    "outcome": "finished",
    "tries": 1,
    "estimated": False,
    "reason": "",
    **COUNTED,
}


@pytest.mark.parametrize(
    ("hostler", "said"),
    [
        ({"cost": 0.0125, "treeCost": 0.0125, "unpricedCalls": 0}, "; $0.0125"),
        ({"cost": 0.0, "treeCost": 0.0, "unpricedCalls": 1}, "; an unknown cost of 1 call without a price"),
        (
            {"cost": 0.5, "treeCost": 0.5, "unpricedCalls": 2},
            "; $0.5000 and an unknown cost of 2 calls without a price",
        ),
        ({}, "; an unknown cost of 1 call without a price"),
    ],
)
def test_a_cost_that_is_not_known_is_no_zero(cli: Cli, server: Scripted, hostler: dict[str, Any], said: str) -> None:
    server.executions = [execution(ID, "WAITING_FOR_INPUT", "one", inputTokensUsed="900", outputTokensUsed="40")]
    server.answers["ListAgentExecutions"] = {"agentExecutions": []}
    server.answers[f"{OWN}/executions/{ID}"] = {"id": ID, "hostler": hostler}
    server.answers[f"{OWN}/executions/{ID}/calls"] = {"calls": [CALL], "total": COUNTED, "estimated": ZERO}
    lines = cli("show", ID, "--usage").lines
    assert [line.endswith(said) for line in lines[-2:]] == [True, True]
    assert "as its status says" in lines[-2]
    assert json.loads(cli("show", ID, "--usage", "--json").out)["reconciled"]
