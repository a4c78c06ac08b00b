"""WakeEvents from outside: what names a registered interest of the right kind wakes the agent, all else is refused."""

from datetime import timedelta
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core import interests_events as ie
from hostler.core.state import State, fold
from tests.api.conftest import Api

TIMER, PLACE, REBUILD, CHILD = "timer-1", "place-1", "rebuild-1", "child-1"
ENVIRONMENT, OTHER = "0190aaaa-0000-7000-8000-0000000000e1", "0190aaaa-0000-7000-8000-0000000000e2"


async def waiting(api: Api) -> str:
    """An execution whose first turn has ended with four waits."""
    execution = await api.prepared()
    await api.send(execution, "go")
    due = api.clock.now() + timedelta(minutes=5)
    registered = ie.InterestsRegistered(
        "c1.0",
        (
            ie.Interest(TIMER, "timer", duration="5m", fires_at=due),
            ie.Interest(PLACE, "environment", subject=ENVIRONMENT, phase="stopped"),
            ie.Interest(REBUILD, "devcontainer_rebuild", subject=ENVIRONMENT, phases=("running", "failed")),
            ie.Interest(CHILD, "sub_agent", subject=ENVIRONMENT),
        ),
    )
    await api.desk.append(execution, ev.InputTaken(tuple((await state_of(api, execution)).inputs)))
    await api.desk.append(execution, registered)
    await api.desk.append(execution, ev.TurnEnded(1))
    return execution


async def state_of(api: Api, execution: str) -> State:
    return fold(await api.desk.log(execution))


async def status(api: Api, execution: str) -> dict[str, Any]:
    return (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]["status"]


async def test_what_is_waited_for_is_in_waiting_info(api: Api) -> None:
    info = (await status(api, await waiting(api)))["waitingInfo"]
    assert [{key for key in one if key != "id"} for one in info["interests"]] == [
        {"userMessage"},
        {"timer"},
        {"environment"},
        {"devcontainerRebuild"},
        {"subAgent"},
    ]
    assert info["interests"][1]["timer"] == {"duration": "5m", "firesAt": "2026-01-01T00:05:00Z"}


@pytest.mark.parametrize(
    ("wake", "code"),
    [
        ({}, "failed_precondition"),
        ({"interestId": TIMER}, "failed_precondition"),
        ({"timer": {}}, "failed_precondition"),
        ({"interestId": "nobody", "timer": {}}, "failed_precondition"),
        ({"interestId": "user-1", "timer": {}}, "failed_precondition"),
        ({"interestId": PLACE, "timer": {}}, "failed_precondition"),
        ({"interestId": CHILD, "timer": {}}, "failed_precondition"),
        (
            {"interestId": TIMER, "environment": {"environmentId": ENVIRONMENT, "phase": "stopped"}},
            "failed_precondition",
        ),
        (
            {"interestId": PLACE, "environment": {"environmentId": ENVIRONMENT, "phase": "running"}},
            "failed_precondition",
        ),
        ({"interestId": PLACE, "environment": {"environmentId": OTHER, "phase": "stopped"}}, "failed_precondition"),
        ({"interestId": TIMER, "loopRetrigger": {}}, "permission_denied"),
        ({"loopRetrigger": {}}, "permission_denied"),
        ({"interestId": "x" * 200, "timer": {}}, "invalid_argument"),
    ],
)
async def test_what_is_not_waited_for_is_refused_and_changes_nothing(api: Api, wake: dict[str, Any], code: str) -> None:
    execution = await waiting(api)
    before = await status(api, execution)
    answer = await api.refused("SendToAgentExecution", {"agentExecutionId": execution, "wakeEvent": wake})
    assert answer["code"] == code
    assert await status(api, execution) == before


@pytest.mark.parametrize(
    "wake",
    [
        {"interestId": TIMER, "timer": {"firedAt": "2001-01-01T00:00:00Z"}},
        {"interestId": PLACE, "environment": {"environmentId": ENVIRONMENT, "phase": "stopped"}},
        {"interestId": REBUILD, "devcontainerRebuild": {"phase": "failed", "failureMessage": ["postCreate failed"]}},
    ],
)
async def test_a_wake_begins_a_turn_once_and_its_repeat_is_accepted_without_effect(
    api: Api, wake: dict[str, Any]
) -> None:
    execution = await waiting(api)
    for _ in range(2):
        await api.call("SendToAgentExecution", {"agentExecutionId": execution, "wakeEvent": wake})
    state = await state_of(api, execution)
    assert (state.phase, state.turn, len(state.queue), len(state.interests.open)) == ("RUNNING", 2, 1, 3)
    told = [r.event for r in await api.desk.log(execution) if isinstance(r.event, ev.InputQueued)][-1]
    assert told.origin == "wake"
    assert told.block["interestId"] == wake["interestId"]
    assert "a caller of the API told so" in told.expansion
    if "timer" in wake:
        assert told.block["timer"]["firedAt"] == "2026-01-01T00:00:00Z"


async def test_a_wake_of_a_stopped_execution_is_refused(api: Api) -> None:
    execution = await waiting(api)
    await api.call("StopAgentExecution", {"agentExecutionId": execution})
    wake: dict[str, Any] = {"interestId": TIMER, "timer": {}}
    answer = await api.refused("SendToAgentExecution", {"agentExecutionId": execution, "wakeEvent": wake})
    assert answer["code"] == "failed_precondition"
    assert (await state_of(api, execution)).phase == "STOPPED"
