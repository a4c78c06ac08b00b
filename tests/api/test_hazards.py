"""The eight hazards of real clients, each by its number; the official clients themselves drive them elsewhere."""

import asyncio
import gzip
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx2 import Response
from protobuf.wkt import Timestamp

from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1 import pagination_pb, runner_configuration_pb, usage_pb
from hostler.core import events as ev
from hostler.core.errors import AlreadyExists, Conflict, NotFound, ResourceExhausted, Unavailable
from tests.api.conftest import Api

WATCH = "gitpod.v1.EventService/WatchEvents"
STATUS = "RESOURCE_OPERATION_UPDATE_STATUS"


def watching(*executions: str) -> dict[str, Any]:
    """Return a request that watches executions."""
    one: dict[str, Any] = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION"}
    return {"resourceTypeFilters": [{**one, "resourceIds": list(executions)}]}


@asynccontextmanager
async def json_lines(api: Api, body: dict[str, Any], kind: str = "application/json") -> AsyncIterator[Response]:
    """Watch as the older clients do."""
    headers = api.headers({"content-type": kind, "accept": "application/jsonl", "x-stainless-retry-count": "0"})
    async with api.http.stream("POST", f"{api.url}/api/{WATCH}", headers=headers, content=json.dumps(body)) as response:
        yield response


async def test_hazard_1_the_page_of_the_query_wins_over_the_bodys(api: Api) -> None:
    for _ in range(5):
        await api.started()
    body = {"pagination": {"pageSize": 2}, "filter": {}}
    seen: list[str] = []
    query = ""
    for _ in range(3):
        page = await api.call(f"gitpod.v1.AgentService/ListAgentExecutions{query}", body)
        seen += [one["id"] for one in page["agentExecutions"]]
        query = f"?token={page['pagination'].get('nextToken', '')}&pageSize=2"
    assert query.startswith("?token=&")
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 5
    for size in ("two", "-1", "101", "1e1", ""):
        refused = await api.refused(f"gitpod.v1.AgentService/ListAgentExecutions?pageSize={size}", body)
        assert (refused["status"], refused["code"]) == (400, "invalid_argument"), size


async def test_hazard_2_who_subscribes_late_is_told_of_each_resource_at_once(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "hello")
    await api.desk.append(execution, ev.StopRequested(1), ev.Stopped(1))
    async with json_lines(api, watching(execution)) as response:
        async for line in response.aiter_lines():
            assert json.loads(line) == {
                "operation": STATUS,
                "resourceType": "RESOURCE_TYPE_AGENT_EXECUTION",
                "resourceId": execution,
            }
            break


async def test_hazard_3_send_has_flipped_the_phase_when_it_answers(api: Api) -> None:
    execution = await api.prepared()
    get = {"agentExecutionId": execution}
    before = (await api.call("GetAgentExecution", get))["agentExecution"]["status"]["phase"]
    assert before == "PHASE_PENDING"
    await api.send(execution, "hello")
    assert (await api.call("GetAgentExecution", get))["agentExecution"]["status"]["phase"] == "PHASE_RUNNING"


async def test_hazard_4_what_will_be_retried_is_a_warning_and_no_failure(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "hello")
    row = (await api.desk.seen(execution)).row
    await api.desk.append(execution, ev.InputTaken(tuple(row.view["hostler"]["queue"])), ev.ModelCallStarted("c1", "m"))
    await api.desk.append(execution, ev.ModelCallFailed("c1", "the provider is busy", api.clock.now()))
    status = (await api.call("GetAgentExecution", {"agentExecutionId": execution}))["agentExecution"]["status"]
    assert "failureMessage" not in status
    assert status["warningMessage"] == "the provider is busy"


@pytest.mark.parametrize("kind", ["application/json", "application/jsonl", "application/json; charset=utf-8"])
async def test_hazard_5_plain_json_watches_by_lines_that_older_clients_can_read(api: Api, kind: str) -> None:
    execution = await api.prepared()
    async with json_lines(api, watching(execution), kind) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/jsonl"
        chunks = response.aiter_bytes(chunk_size=64)  # as the official 0.x client reads
        data = b""
        while b"\n" not in data:
            data += await anext(chunks)
        assert json.loads(data)["operation"] == STATUS
        await api.call(
            "UpdateAgentExecution", {**{"agentExecutionId": execution}, "metadata": {"annotations": {"a": "b"}}}
        )
        data = b""
        while b"\n" not in data:
            data += await anext(chunks)
        assert json.loads(data)["operation"] == "RESOURCE_OPERATION_UPDATE"


async def test_hazard_5_a_quiet_stream_is_kept_alive_without_a_blank_line(api: Api) -> None:
    execution = await api.prepared()
    async with json_lines(api, watching(execution)) as response:
        chunks = response.aiter_bytes(chunk_size=64)
        data = b""
        while b"\n" not in data:
            data += await anext(chunks)
        alive = asyncio.create_task(anext(chunks))
        for _ in range(100_000):
            if alive.done():
                break
            api.clock.advance(1)
            await asyncio.sleep(0)
        assert (await alive).strip(b" ") == b""
        api.stopping = True
        rest = b"".join([chunk async for chunk in chunks])
    assert all(json.loads(line) == {} for line in rest.splitlines())


async def test_hazard_5_an_error_before_the_first_line_is_an_ordinary_answer(api: Api) -> None:
    async with json_lines(api, {"resourceTypeFilters": [{"resourceType": 0}]}) as response:
        assert response.status_code == 400
        assert json.loads(await response.aread())["code"] == "invalid_argument"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (AlreadyExists("it is there"), 409, "already_exists"),
        (Conflict(), 409, "aborted"),
        (ResourceExhausted("full"), 429, "resource_exhausted"),
    ],
)
async def test_hazard_6_what_stays_refused_is_not_tried_again(
    api: Api, fault: Exception, status: int, code: str
) -> None:
    execution = await api.prepared()
    api.desk.fault = fault
    refused = await api.refused("StopAgentExecution", {"agentExecutionId": execution})
    assert (refused["status"], refused["code"]) == (status, code)
    assert refused["headers"]["x-should-retry"] == "false"


async def test_hazard_6_unimplemented_and_too_large_are_not_tried_again(api: Api) -> None:
    later = await api.refused("CreateMCPAccessToken", {})
    assert (later["status"], later["headers"]["x-should-retry"]) == (501, "false")
    large = await api.refused("StartAgent", b'{"name": "' + b"x" * (8 << 20) + b'"}')
    assert (large["code"], large["headers"]["x-should-retry"]) == ("resource_exhausted", "false")


async def test_hazard_6_a_server_that_stops_says_when_to_come_back(api: Api) -> None:
    api.desk.fault = Unavailable("later", retry_after=7)
    busy = await api.refused("StartAgent")
    assert (busy["status"], busy["headers"]["retry-after"]) == (503, "7")
    assert "x-should-retry" not in busy["headers"]


async def test_hazard_6_a_repeat_within_a_minute_gets_the_first_answer(api: Api) -> None:
    first = await api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "0"})
    api.clock.advance(50)
    again = await api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "1"})
    assert again == first
    other_body = await api.call("StartAgent", {"name": "b"}, more={"x-stainless-retry-count": "1"})
    other_caller = await api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "1"}, token="bot-token")
    meant = await api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "0"})
    api.clock.advance(61)
    late = await api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "1"})
    ids = {answer["agentExecutionId"] for answer in (first, other_body, other_caller, meant, late)}
    assert len(ids) == 5


async def test_hazard_6_a_repeat_finds_the_work_of_a_caller_who_hung_up(api: Api) -> None:
    api.desk.hold = asyncio.Event()
    headers = {"x-stainless-retry-count": "0"}
    hung_up = asyncio.create_task(api.post("StartAgent", {"name": "a"}, headers))
    while not api.desk.started:
        await asyncio.sleep(0)
    hung_up.cancel()
    await asyncio.gather(hung_up, return_exceptions=True)
    again = asyncio.create_task(api.call("StartAgent", {"name": "a"}, more={"x-stainless-retry-count": "1"}))
    api.desk.hold.set()
    answer = await again
    assert len(api.desk.started) == 1
    assert await api.desk.seen(answer["agentExecutionId"])


async def test_hazard_6_a_repeat_of_what_failed_is_tried(api: Api) -> None:
    api.desk.fault = Unavailable()
    await api.refused("StartAgent", {}, {"x-stainless-retry-count": "0"})
    await api.call("StartAgent", {}, more={"x-stainless-retry-count": "1"})


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{not json", "double quotes"),
        (b"[]", "StartAgentRequest"),
        (b'{"mode": "AGENT_MODE_NOPE"}', "AGENT_MODE_NOPE"),
        (b'{"mode": 99}', "mode"),
        (b'{"name": 5}', "name"),
        (b'{"codeContext": {"projectId": "a", "environmentId": "b"}}', "exclude each other"),
        (b"\xff\xfe", ""),
        (b'{"name": "half a character \xed\xa0\x80"}', "utf-8"),
        ('{"name": "x"}'.encode("utf-16"), "utf-8"),
        (b'{"name": "half a character \\ud83d"}', "surrogates"),
        (b'{"annotations": {"\\uD800": "x"}}', "surrogates"),
        (b'{"name": "nul \\u0000"}', "name"),
        (b'{"annotations": {"\\u0000": "x"}}', "annotations"),
        (b'{"mode": 99999999999999999999}', ""),
        (b"[" * 100_000, ""),
        (b'{"codeContext":' * 20_000 + b"1" + b"}" * 20_000, ""),
    ],
)
async def test_hazard_7_bad_json_is_invalid_argument(api: Api, body: bytes, word: str) -> None:
    refused = await api.refused("StartAgent", body)
    assert (refused["status"], refused["code"]) == (400, "invalid_argument")
    assert word in refused["message"]


async def test_hazard_7_a_number_that_no_enum_has_room_for_is_invalid_argument(api: Api) -> None:
    refused = await api.refused("gitpod.v1.RunnerService/ListRunners", {"filter": {"providers": [1 << 31]}})
    assert (refused["status"], refused["code"]) == (400, "invalid_argument")
    assert refused["message"].startswith("filter.providers[0]: ")


@pytest.mark.parametrize("seconds", [-62_135_596_801, 253_402_300_800, (1 << 63) - 1])
@pytest.mark.parametrize("nanos", [0, 999_999_999, 1_000_000_000, -1])
async def test_hazard_7_a_time_that_is_none_is_invalid_argument(api: Api, seconds: int, nanos: int) -> None:
    time = Timestamp(seconds=seconds, nanos=nanos)
    asked = runner_configuration_pb.CreateHostAuthenticationTokenRequest(expires_at=time)
    headers = api.headers({"content-type": "application/proto"})
    url = f"{api.url}/api/gitpod.v1.RunnerConfigurationService/CreateHostAuthenticationToken"
    answer = await api.http.post(url, headers=headers, content=asked.to_binary())
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    usage = usage_pb.GetTopProjectsRequest(date_range=pagination_pb.DateRange(start_time=time, end_time=time))
    url = f"{api.url}/api/gitpod.v1.UsageService/GetTopProjects"
    answer = await api.http.post(url, headers=headers, content=usage.to_binary())
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert "no such time" in answer.json()["message"] or "date_range" in answer.json()["message"]


async def test_hazard_7_unknown_fields_are_ignored_everywhere(api: Api) -> None:
    body = {"name": "x", "newer": {"a": 1}, "codeContext": {"newer": 2}, "turnOptions": {"newer": 3, "modes": []}}
    await api.call("StartAgent", body)
    proto = req.StartAgentRequest(name="x").to_binary() + bytes([0xFA, 0x7F, 2, 1, 2])
    headers = api.headers({"content-type": "application/proto"})
    answer = await api.http.post(f"{api.url}/api/gitpod.v1.AgentService/StartAgent", headers=headers, content=proto)
    assert req.StartAgentResponse.from_binary(answer.content).agent_execution_id


@pytest.mark.parametrize(
    "method",
    [
        "gitpod.v1.AgentService/NoSuchMethod",
        "gitpod.v1.AgentService/CreateAgent",
        "gitpod.v1.NoSuchService/Anything",
        "gitpod.v1.EnvironmentService/CreatePortAccessToken",
        "environments/0190aaaa-0000-7000-8000-000000000001/ops/supervisor.v1.EnvironmentOpsService/StartBrowser",
    ],
)
async def test_hazard_7_unknown_methods_are_unimplemented_in_connects_form(api: Api, method: str) -> None:
    refused = await api.refused(method)
    assert (refused["status"], refused["code"]) == (501, "unimplemented")
    assert refused["headers"]["content-type"] == "application/json"
    assert refused["headers"]["x-should-retry"] == "false"
    assert refused["message"]


async def test_hazard_7_requests_are_validated(api: Api) -> None:
    refused = await api.refused("GetAgentExecution", {"agentExecutionId": "not-a-uuid"})
    assert (refused["code"], refused["message"][:19]) == ("invalid_argument", "agent_execution_id:")


async def test_hazard_8_streams_are_never_compressed_and_answers_only_when_offered(api: Api) -> None:
    execution = await api.prepared()
    body = json.dumps(watching(execution)).encode()
    offered = {"connect-accept-encoding": "gzip", "accept-encoding": "gzip"}
    headers = api.headers({"content-type": "application/connect+json", **offered})
    envelope = struct.pack(">BI", 0, len(body)) + body
    async with api.http.stream("POST", f"{api.url}/api/{WATCH}", headers=headers, content=envelope) as response:
        assert response.headers["connect-content-encoding"] == "identity"
        first = await anext(response.aiter_raw())
    flags, size = struct.unpack(">BI", first[:5])
    assert flags == 0
    assert json.loads(first[5 : 5 + size])["operation"] == STATUS
    plain = await api.post("ListAgentExecutions", {}, {"accept-encoding": "identity"})
    assert plain.headers["content-encoding"] == "identity"
    squeezed = await api.post("ListAgentExecutions", {}, {"accept-encoding": "gzip"})
    assert squeezed.headers["content-encoding"] == "gzip"
    assert squeezed.json() == plain.json()
    sent = await api.post("ListAgentExecutions", gzip.compress(b"{}"), {"content-encoding": "gzip"})
    assert sent.status_code == 200


async def test_a_missing_execution_is_not_found_everywhere(api: Api) -> None:
    api.desk.fault = NotFound("gone")
    refused = await api.refused("GetAgentExecution", {"agentExecutionId": "0190aaaa-0000-7000-8000-000000000001"})
    assert (refused["status"], refused["code"]) == (404, "not_found")
