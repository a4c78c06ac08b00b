"""Editing what waits in the queue: one step, all or nothing."""

import base64
from typing import Any

from hostler.core import events as ev
from hostler.core.commands import EditInput
from tests.api.conftest import SECRET, Api

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
A, B, C = (f"0190aaaa-0000-7000-8000-00000000000{n}" for n in "abc")
NEW = "0190aaaa-0000-7000-8000-0000000000ff"


async def queued(api: Api, *ids: str) -> str:
    """Return an execution that works, with inputs waiting behind the one it has taken."""
    execution = await api.prepared()
    await api.send(execution, "go", id="0190aaaa-0000-7000-8000-000000000001")
    await api.desk.append(execution, ev.InputTaken(("0190aaaa-0000-7000-8000-000000000001",)))
    for id_ in ids:
        await api.send(execution, f"say {id_[-1]}", id=id_)
    return execution


async def edit(api: Api, execution: str, input_id: str, **body: Any) -> tuple[int, dict[str, Any]]:
    path = f"/api/hostler/v1/executions/{execution}/queue/{input_id}/edit"
    answer = await api.http.post(f"{api.url}{path}", headers=api.headers(), json=body)
    return answer.status_code, answer.json()


async def kinds(api: Api, execution: str, after: int) -> list[str]:
    return [type(one.event).__name__ for one in await api.desk.log(execution, after)]


async def end(api: Api, execution: str) -> int:
    return (await api.desk.log(execution))[-1].seq


async def test_an_edited_input_stands_where_the_old_one_stood(api: Api) -> None:
    execution = await queued(api, A, B, C)
    seq = await end(api, execution)
    assert await edit(api, execution, B, text="say it better", id=NEW) == (200, {"id": NEW, "queue": [A, NEW, C]})
    assert await kinds(api, execution, seq) == ["InputDeleted", "InputQueued", "InputMoved"]
    status, told = await edit(api, execution, C, text="and this")
    assert (status, told["queue"]) == (200, [A, NEW, told["id"]])
    command = api.desk.commands[-1]
    assert isinstance(command, EditInput)
    assert command.new.block["inputs"] == [{"text": {"content": "and this"}}]


async def test_an_edit_told_twice_is_done_once(api: Api) -> None:
    execution = await queued(api, A, B)
    first = await edit(api, execution, A, text="better", id=NEW)
    seq = await end(api, execution)
    assert await edit(api, execution, A, text="better", id=NEW) == first
    assert await kinds(api, execution, seq) == []
    status, told = await edit(api, execution, B, text="otherwise", id=NEW)
    assert (status, told["code"]) == (409, "already_exists")


async def test_what_the_agent_has_already_is_refused_and_nothing_changes(api: Api) -> None:
    execution = await queued(api, A, B)
    await api.desk.append(execution, ev.InputTaken((A,)))
    seq = await end(api, execution)
    status, told = await edit(api, execution, A, text="too late")
    assert (status, told["code"]) == (400, "failed_precondition")
    assert "already sent" in told["message"]
    for input_id, body, code in (
        (NEW, {"text": "x"}, "not_found"),
        (B, {"text": " \n"}, "invalid_argument"),
        (B, {}, "invalid_argument"),
        (B, {"text": 7}, "invalid_argument"),
        (B, {"text": "x", "id": "i" * 200}, "invalid_argument"),
        (B, {"text": "x", "id": B}, "already_exists"),
    ):
        assert (await edit(api, execution, input_id, **body))[1]["code"] == code
    assert await kinds(api, execution, seq) == []


async def test_images_settings_and_the_wish_to_join_are_kept_and_secrets_are_not(api: Api) -> None:
    execution = await queued(api)
    parts = [{"text": {"content": "see"}}, {"image": {"data": PNG, "mimeType": "image/png"}}]
    await api.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": {"id": A, "inputs": parts}})
    steer = {"controlInput": {"steerQueuedMessage": {"userInputId": A}}}
    await api.call("SendToAgentExecution", {"agentExecutionId": execution, **steer})
    seq = await end(api, execution)
    assert (await edit(api, execution, A, text=f"look: {SECRET}", id=NEW))[0] == 200
    log = await api.desk.log(execution, seq)
    queued_now = log[1].event
    assert isinstance(queued_now, ev.InputQueued)
    assert queued_now.block["inputs"][1] == parts[1]
    assert SECRET not in str(queued_now.block)
    assert log[2].event == ev.SteerRequested(NEW)
    assert (await edit(api, execution, NEW, text=""))[0] == 200


async def test_a_reader_may_not_edit(api: Api) -> None:
    execution = await queued(api, A)
    answer = await api.http.post(
        f"{api.url}/api/hostler/v1/executions/{execution}/queue/{A}/edit",
        headers=api.headers(token="read-token"),
        json={"text": "x"},
    )
    assert answer.json()["code"] == "permission_denied"


async def test_what_waits_is_listed_in_its_order(api: Api) -> None:
    execution = await queued(api, A, B)
    steer = {"controlInput": {"steerQueuedMessage": {"userInputId": B}}}
    await api.call("SendToAgentExecution", {"agentExecutionId": execution, **steer})
    move = {"controlInput": {"moveQueuedMessage": {"userInputId": B, "beforeUserInputId": A}}}
    await api.call("SendToAgentExecution", {"agentExecutionId": execution, **move})
    answer = await api.http.get(f"{api.url}/api/hostler/v1/executions/{execution}/queue", headers=api.headers())
    first, second = answer.json()["queue"]
    told = {"images": 0, "origin": "user", "at": "2026-01-01T00:00:00Z"}
    assert first == {"id": B, "text": "say b", "steer": True, **told}
    assert second == {"id": A, "text": "say a", "steer": False, **told}
