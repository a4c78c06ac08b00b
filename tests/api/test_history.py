"""What an execution has said, found again later: in pages, and its large outputs."""

import base64
import json

from hostler.api.forms import MESSAGES
from hostler.core import events as ev
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.testing.world import MemoryBlobs
from tests.api.conftest import Api
from tests.api.reading import live

OWNER = {"authorization": "Bearer owner-token"}


async def long_story(api: Api) -> str:
    """An execution of two turns with 30 calls."""
    execution = await api.prepared()
    for turn in (1, 2):
        await api.send(execution, f"question {turn}")
        row = (await api.desk.seen(execution)).row
        await api.desk.append(execution, ev.InputTaken(tuple(row.view["hostler"]["queue"])))
        for number in range(15):
            call = f"c{turn}-{number}"
            await api.desk.append(
                execution,
                ev.ModelCallStarted(call, "m"),
                ev.ModelReplied(call, (Text(f"saying {call}"), ToolCall("1", "bash", '{"command": "ls"}')), Usage()),
                ev.ToolStarted(f"{call}.0", "bash", '{"command": "ls"}', "i"),
                ev.ToolFinished(f"{call}.0", "ok", "files"),
            )
        await api.desk.append(execution, ev.TurnEnded(turn))
    return execution


async def pages(api: Api, execution: str, query: str) -> list[dict[str, object]]:
    """Every frame, page by page."""
    found: list[dict[str, object]] = []
    after: int | None = 0
    while after is not None:
        url = f"{api.url}/api/executions/{execution}/history?after={after}&{query}"
        answer = await api.http.get(url, headers=OWNER)
        assert answer.status_code == 200
        found += answer.json()["frames"]
        after = answer.json()["nextAfter"]
    return found


async def test_history_has_every_frame_that_the_stream_has_from_the_first_to_the_last(api: Api) -> None:
    execution = await long_story(api)
    async with live(api, execution, "?after=0") as stream:
        streamed = [(event.id, event.tag, event.body) for event in await stream.rest() if event.kind == "block"]
    told: list[tuple[str, int, object]] = []
    for frame in await pages(api, execution, "limit=7"):
        raw = base64.b64decode(str(frame["frame"]))
        body = MESSAGES[raw[0]].from_binary(raw[1:]).to_json()
        told.append((str(frame["id"]), raw[0], json.loads(body)))
    assert told == streamed
    assert len(told) > 90


async def test_history_as_plain_json_and_in_one_page(api: Api) -> None:
    execution = await long_story(api)
    frames = await pages(api, execution, "format=json&limit=2000")
    assert [frame["id"] for frame in frames] == list(range(1, len(frames) + 1))
    first = frames[0]
    assert first["tag"] == 2
    assert isinstance(first["body"], dict)
    assert first["body"]["inputs"] == [{"text": {"content": "question 1"}}]


async def test_history_takes_a_conversation_token_and_refuses_strangers(api: Api) -> None:
    execution, other = await long_story(api), await api.prepared()
    token = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    for below in ("history", "blobs/" + "0" * 64):
        status = {"history": 200}.get(below, 404)
        url = f"{api.url}/api/executions/{execution}/{below}"
        assert (await api.http.get(f"{url}?token={token}")).status_code == status
        assert (await api.http.get(url, headers={"authorization": f"Bearer {token}"})).status_code == status
        assert (await api.http.get(url)).status_code == 401
        elsewhere = f"{api.url}/api/executions/{other}/{below}?token={token}"
        assert (await api.http.get(elsewhere)).status_code == 404


async def test_what_cannot_be_asked_of_history_is_refused_by_name(api: Api) -> None:
    execution = await api.prepared()
    for query, field in (("limit=0", "limit"), ("limit=2001", "limit"), ("after=x", "after"), ("format=xml", "format")):
        answer = await api.http.get(f"{api.url}/api/executions/{execution}/history?{query}", headers=OWNER)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
        assert field in answer.json()["message"]
    await api.call("DeleteAgentExecution", {"agentExecutionId": execution})
    gone = await api.http.get(f"{api.url}/api/executions/{execution}/history", headers=OWNER)
    assert gone.status_code == 404


async def test_a_blob_is_a_download_for_those_who_may_read_its_execution(api: Api) -> None:
    mine, other = await api.prepared(), await api.prepared()
    blobs = api.parts.blobs
    assert isinstance(blobs, MemoryBlobs)
    name = await blobs.put(mine, b"<script>alert(1)</script>\x00")
    answer = await api.http.get(f"{api.url}/api/executions/{mine}/blobs/{name}", headers=OWNER)
    assert (answer.status_code, answer.content) == (200, b"<script>alert(1)</script>\x00")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")
    for execution, sha256 in ((other, name), (mine, "0" * 64), (mine, "secret_key"), (mine, name.upper())):
        refused = await api.http.get(f"{api.url}/api/executions/{execution}/blobs/{sha256}", headers=OWNER)
        assert refused.status_code == 404


async def test_every_address_of_a_conversation_is_whole_and_where_the_client_came_from(api: Api) -> None:
    execution = await long_story(api)
    one = await api.call("GetAgentExecution", {"agentExecutionId": execution})
    listed = await api.call("ListAgentExecutions", {})
    for host, seen in (
        (api.url, one["agentExecution"]),
        (api.url, next(each for each in listed["agentExecutions"] if each["id"] == execution)),
    ):
        assert addresses(seen["status"]) == expected(host, execution)
    behind = await api.call("GetAgentExecution", {"agentExecutionId": execution}, more={"host": "hostler.example:8443"})
    assert addresses(behind["agentExecution"]["status"]) == expected("http://hostler.example:8443", execution)


def addresses(status: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in status.items() if name.lower().endswith(("url", "urls"))}


def expected(origin: str, execution: str) -> dict[str, object]:
    below = f"{origin}/api/executions/{execution}"
    return {
        "conversationUrl": f"{origin}/executions/{execution}",
        "conversationUrls": {name: f"{below}/{name}" for name in ("live", "history", "blobs")},
        "transcriptUrl": f"{below}/transcript",
        "supportBundleUrl": f"{below}/bundle",
    }
