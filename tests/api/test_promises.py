"""Promises of the API that a review found broken, each kept by a test."""

import base64
import gzip
import json
from urllib.parse import unquote

import pytest

from hostler.core import events as ev
from hostler.core.desk import NewEnvironment
from hostler.core.providers import Scratch
from tests.api.conftest import BOT, CLASSES, OWNER, Api
from tests.api.reading import live
from tests.api.test_live import BLOCK, calling, saying
from tests.api.test_watching import ENVIRONMENT, EXECUTION, of_type, subscribed, watching


async def test_the_log_shows_system_prompts_to_administrators_only(api: Api) -> None:
    execution = await api.started()
    url = f"{api.url}/api/hostler/v1/executions/{execution}/log"
    shown = {
        token: (await api.http.get(url, headers=api.headers(token=token))).json()["events"][0]["body"]["agent"]
        for token in ("owner-token", "bot-token", "read-token")
    }
    assert shown["owner-token"].pop("system_prompt") == "be kind"
    assert shown["bot-token"] == shown["read-token"] == shown["owner-token"]


async def test_an_environment_that_is_only_old_is_not_told_as_deleted(api: Api) -> None:
    made = [await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER) for _ in range(100)]
    async with watching(api, organization=True, resourceTypeFilters=of_type(ENVIRONMENT)) as watch:
        await subscribed(api)
        one = await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)
        assert await watch.next() == ("CREATE", one.id)
        await api.environments.delete(made[0].id, force=False)
        assert await watch.next() == ("DELETE", made[0].id)


async def test_a_filter_with_ids_does_not_silence_the_one_beside_it(api: Api) -> None:
    known = await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)
    filters = of_type(ENVIRONMENT, resourceIds=[known.id]) + of_type(ENVIRONMENT, creatorIds=[BOT.id])
    async with watching(api, organization=True, resourceTypeFilters=filters) as watch:
        assert await watch.next() == ("UPDATE_STATUS", known.id)
        made = await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), BOT)
        assert await watch.next() == ("CREATE", made.id)


async def test_a_change_of_status_is_told_as_one_beside_a_filter_with_ids(api: Api) -> None:
    known, other = await api.started(), await api.started()
    filters = of_type(EXECUTION, resourceIds=[known]) + of_type(EXECUTION, creatorIds=[OWNER.id])
    async with watching(api, organization=True, resourceTypeFilters=filters) as watch:
        assert await watch.next() == ("UPDATE_STATUS", known)
        await api.desk.append(other, ev.EnvironmentReady("e", "i"))
        assert await watch.next() == ("UPDATE_STATUS", other)


async def test_a_conversation_token_reads_and_sends_for_its_own_execution_only(api: Api) -> None:
    execution, other = await api.prepared(), await api.prepared()
    token = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    said = {"inputs": [{"text": {"content": "hello"}}]}
    await api.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": said}, token=token)
    shown = await api.call("GetAgentExecution", {"agentExecutionId": execution.upper()}, token=token)
    assert shown["agentExecution"]["status"]["phase"] == "PHASE_RUNNING"
    for method, body in (("GetAgentExecution", {}), ("SendToAgentExecution", {"userInput": said})):
        refused = await api.refused(method, {"agentExecutionId": other, **body}, token=token)
        assert (refused["status"], refused["code"]) == (404, "not_found")
    for method in ("StopAgentExecution", "DeleteAgentExecution", "ListAgentExecutions", "StartAgent"):
        refused = await api.refused(method, {"agentExecutionId": execution}, token=token)
        assert (refused["status"], refused["code"]) == (401, "unauthenticated")
    api.clock.advance(24 * 3600)
    assert (
        "expired" in (await api.refused("GetAgentExecution", {"agentExecutionId": execution}, token=token))["message"]
    )


@pytest.mark.parametrize(
    "said", ["[" * 200_000, json.dumps(["\0", ""]), json.dumps(["x' or 1=1", ""]), '["\\ud800", ""]']
)
async def test_a_page_token_that_was_never_given_is_refused(api: Api, said: str) -> None:
    mark = json.loads(base64.urlsafe_b64decode(await some_token(api, "ListAgentExecutions") + "=="))[1]
    token = base64.urlsafe_b64encode(said.replace(', ""', f', "{mark}"').encode()).decode()
    refused = await api.refused("ListAgentExecutions", {"pagination": {"token": token}})
    assert (refused["status"], refused["code"]) == (400, "invalid_argument")
    assert "pagination.token" in refused["message"]


async def test_a_page_token_of_another_list_is_refused(api: Api) -> None:
    token = await some_token(api, "ListAgentExecutions")
    for method in ("ListPrompts", "ListAgents"):
        refused = await api.refused(method, {"pagination": {"token": token}})
        assert (refused["status"], refused["code"]) == (400, "invalid_argument")


async def some_token(api: Api, method: str) -> str:
    for _ in range(2):
        await api.started()
    return (await api.call(method, {"pagination": {"pageSize": 1}}))["pagination"]["nextToken"]


async def test_an_empty_annotation_outlives_an_update_of_another(api: Api) -> None:
    execution = await api.started({"annotations": {"empty": "", "gone": "x"}})
    change = {"agentExecutionId": execution, "metadata": {"annotations": {"new": "1", "gone": ""}}}
    shown = await api.call("UpdateAgentExecution", change)
    assert shown["agentExecution"]["metadata"]["annotations"] == {"empty": "", "new": "1"}
    found = await api.call("ListAgentExecutions", {"filter": {"annotations": {"empty": ""}}})
    assert [one["id"] for one in found["agentExecutions"]] == [execution]


@pytest.mark.parametrize("path", ["Nope%0dx-sent: 1", "Nope%C3%A9", "Nope%250a"])
async def test_a_path_does_not_get_into_the_headers_of_an_answer_as_it_is(api: Api, path: str) -> None:
    url = f"{api.url}/api/gitpod.v1.AgentService/{path}"
    answer = await api.http.post(url, headers=api.headers({"content-type": "application/grpc-web+proto"}), content=b"")
    assert answer.headers["grpc-status"] == "12"
    message = answer.headers["grpc-message"]
    assert message.isascii()
    assert message.isprintable()
    assert unquote(message) == f"gitpod.v1.AgentService/{unquote(path)} is not served"


async def test_a_reply_that_a_stop_cut_is_completed_once_and_the_stream_ends(api: Api) -> None:
    execution = await calling(api)
    api.desk.say(saying("one two"))
    async with live(api, execution) as stream:
        last = await stream.text()
        cut = ev.ModelCallCut("c1", (ev.CutText(BLOCK, "one two three", False),))
        await api.desk.append(execution, ev.StopRequested(1), cut, ev.Stopped(1))
        rest = await stream.rest()
    assert [event.said for event in rest if event.tag == 1 and "text" in event.body] == [("COMPLETED", "one two three")]
    assert rest[-1].body == {"reason": "stopped"}
    async with live(api, execution, last_event_id=last.id) as stream:
        again = await stream.rest()
    assert [event.said for event in again if event.tag == 1 and "text" in event.body] == [
        ("COMPLETED", "one two three")
    ]
    async with live(api, execution) as stream:
        again = await stream.rest()
    assert [event.said for event in again if event.tag == 1 and "text" in event.body] == [
        ("COMPLETED", "one two three")
    ]


async def test_a_compressed_request_is_read_where_plain_json_streams(api: Api) -> None:
    body = {"resourceTypeFilters": of_type("RESOURCE_TYPE_TASK")}
    data = gzip.compress(json.dumps(body).encode())
    refused = await api.refused("gitpod.v1.EventService/WatchEvents", data, {"content-encoding": "gzip"})
    assert (refused["status"], refused["code"]) == (501, "unimplemented")
    assert "TASK cannot be watched yet" in refused["message"]
    bomb = gzip.compress(b" " * (9 << 20))
    refused = await api.refused("gitpod.v1.EventService/WatchEvents", bomb, {"content-encoding": "gzip"})
    assert (refused["status"], refused["code"]) == (429, "resource_exhausted")


@pytest.mark.parametrize("field", ["name", "serviceAccount"])
@pytest.mark.parametrize("text", ["a\0b", "half \ud800", "two\nlines"])
async def test_a_token_with_a_name_that_cannot_be_shown_is_refused_and_not_made(
    api: Api, field: str, text: str
) -> None:
    before = [one.id for one in await api.tokens.find()]
    body = json.dumps({"name": "ci", field: text})
    refused = await api.http.post(f"{api.url}/api/hostler/v1/tokens", headers=api.headers(), content=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
    assert [one.id for one in await api.tokens.find()] == before
