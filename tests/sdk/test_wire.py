"""The wire where no official client goes: what users of curl and of other Connect clients expect."""

import base64
import gzip
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType

from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1 import agent_pb, event_pb, identity_pb
from hostler.contract.gitpod.v1.agent_connect import AgentServiceClient
from hostler.contract.gitpod.v1.event_connect import EventServiceClient
from hostler.contract.gitpod.v1.identity_connect import IdentityServiceClient
from hostler.contract.gitpod.v1.prompt_pb import PromptValidationErrorDetails
from tests.server import HostlerProcess

IDENTITY = "/api/gitpod.v1.IdentityService/GetAuthenticatedIdentity"
AGENTS = "/api/gitpod.v1.AgentService/"
WATCH = "/api/gitpod.v1.EventService/WatchEvents"
NOWHERE = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """HTTP without a client's manners: nothing is added to a request but the token."""

    def __init__(self, server: HostlerProcess) -> None:
        self._address = urlsplit(server.url).netloc
        self._token = server.token

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            given = {"Authorization": f"Bearer {self._token}", **(headers or {})}
            connection.request(method, path, body or None, {k: v for k, v in given.items() if v})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: bytes | dict[str, Any], **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, data, {**JSON, **{k.replace("_", "-"): v for k, v in headers.items()}})


@pytest.fixture
def wire(server: HostlerProcess) -> Wire:
    return Wire(server)


def test_a_method_without_side_effects_answers_get(wire: Wire, server: HostlerProcess) -> None:
    plain = wire.ask("GET", f"{IDENTITY}?connect=v1&encoding=json&message={quote('{}')}")
    assert plain.status == 200
    assert plain.json == server.call("GetAuthenticatedIdentity", service="IdentityService")
    encoded = base64.urlsafe_b64encode(b"").decode().rstrip("=")
    proto = wire.ask("GET", f"{IDENTITY}?connect=v1&encoding=proto&base64=1&message={encoded}")
    read = identity_pb.GetAuthenticatedIdentityResponse.from_binary(proto.body)
    assert read.organization_id == plain.json["organizationId"]


def test_a_method_with_side_effects_does_not_answer_get(wire: Wire) -> None:
    answer = wire.ask("GET", f"{AGENTS}StartAgent?connect=v1&encoding=json&message={quote('{}')}")
    assert answer.status == 405


async def test_grpc_web_is_spoken(server: HostlerProcess) -> None:
    """The project's own Connect library in its gRPC-Web form, unary, streaming and refused."""
    headers = {"authorization": f"Bearer {server.token}"}
    agents = AgentServiceClient(f"{server.url}/api", protocol=ProtocolType.GRPC_WEB)
    identity = IdentityServiceClient(f"{server.url}/api", protocol=ProtocolType.GRPC_WEB)
    events = EventServiceClient(f"{server.url}/api", protocol=ProtocolType.GRPC_WEB)
    me = await identity.get_authenticated_identity(identity_pb.GetAuthenticatedIdentityRequest(), headers=headers)
    assert me.organization_id
    run = (await agents.start_agent(req.StartAgentRequest(name="by gRPC-Web"), headers=headers)).agent_execution_id
    got = await agents.get_agent_execution(req.GetAgentExecutionRequest(agent_execution_id=run), headers=headers)
    assert got.agent_execution is not None
    assert got.agent_execution.metadata is not None
    assert got.agent_execution.metadata.name == "by gRPC-Web"
    watched = event_pb.WatchEventsRequest.ResourceTypeFilter(
        resource_type=event_pb.ResourceType.AGENT_EXECUTION, resource_ids=[run]
    )
    stream = events.watch_events(event_pb.WatchEventsRequest(resource_type_filters=[watched]), headers=headers)
    async for event in stream:
        assert event.resource_id == run
        break
    with pytest.raises(ConnectError) as missing:
        await agents.get_agent_execution(req.GetAgentExecutionRequest(agent_execution_id=NOWHERE), headers=headers)
    assert missing.value.code is Code.NOT_FOUND
    with pytest.raises(ConnectError) as nobody:
        await agents.get_agent_execution(req.GetAgentExecutionRequest(agent_execution_id=run))
    assert nobody.value.code is Code.UNAUTHENTICATED
    with pytest.raises(ConnectError) as unserved:
        await agents.create_agent(agent_pb.CreateAgentRequest(), headers=headers)
    assert unserved.value.code is Code.UNIMPLEMENTED


def test_bodies_are_compressed_as_the_caller_offers(wire: Wire, server: HostlerProcess) -> None:
    server.start_agent("", name="n" * 100)
    body = gzip.compress(json.dumps({"pagination": {"pageSize": 5}}).encode())
    packed = wire.post(f"{AGENTS}ListAgentExecutions", body, Content_Encoding="gzip", Accept_Encoding="gzip")
    assert packed.headers.get("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(packed.body))["agentExecutions"][0]["metadata"]["name"] == "n" * 100
    plain = wire.post(f"{AGENTS}ListAgentExecutions", {"pagination": {"pageSize": 1}}, Accept_Encoding="identity")
    assert plain.headers.get("content-encoding", "identity") == "identity"
    assert plain.json["agentExecutions"][0]["metadata"]["name"] == "n" * 100


def test_a_bad_compression_is_named(wire: Wire) -> None:
    answer = wire.post(f"{AGENTS}ListAgentExecutions", b"x", Content_Encoding="br")
    assert (answer.status, answer.json["code"]) == (501, "unimplemented")


def test_a_stream_offered_in_gzip_comes_plain(wire: Wire, server: HostlerProcess) -> None:
    """The flag of each envelope's first byte says whether it is compressed."""
    run = server.start_agent("")
    watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [run]}
    message = json.dumps({"resourceTypeFilters": [watched]}).encode()
    envelope = b"\x00" + len(message).to_bytes(4, "big") + message
    answer = wire.ask(
        "POST",
        WATCH,
        envelope,
        {"Content-Type": "application/connect+json", "Connect-Accept-Encoding": "gzip", "Connect-Timeout-Ms": "700"},
    )
    assert answer.status == 200
    *told, (end, trailer) = envelopes(answer.body)
    assert {(flag, json.loads(event)["resourceId"]) for flag, event in told} == {(0, run)}
    assert (end, json.loads(trailer)["error"]["code"]) == (2, "deadline_exceeded")


def envelopes(data: bytes) -> list[tuple[int, bytes]]:
    """Take a stream's answer apart into (flags, message)."""
    found: list[tuple[int, bytes]] = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def test_a_deadline_that_has_passed_is_said(wire: Wire) -> None:
    answer = wire.post(f"{AGENTS}ListAgentExecutions", {}, Connect_Timeout_Ms="0")
    assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
    assert wire.post(f"{AGENTS}ListAgentExecutions", {}, Connect_Timeout_Ms="soon").json["code"] == "invalid_argument"


@pytest.mark.parametrize(
    ("text", "cleaned", "removed"),
    [
        ("delete\u202e nothing", "delete nothing", 1),
        ("do\u200b it\u2066 now\u2069", "do it now", 3),
        ("\U000e0041plain", "plain", 1),
    ],
)
def test_deceptive_text_is_refused_with_what_would_be_left(wire: Wire, text: str, cleaned: str, removed: int) -> None:
    answer = wire.post(f"{AGENTS}CreatePrompt", {"name": "n", "description": "d", "prompt": text})
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
    (detail,) = answer.json["details"]
    assert detail["type"] == "gitpod.v1.PromptValidationErrorDetails"
    assert "=" not in detail["value"]
    padded = detail["value"] + "=" * (-len(detail["value"]) % 4)
    read = PromptValidationErrorDetails.from_binary(base64.b64decode(padded))
    assert (read.cleaned_text, read.removed_count) == (cleaned, removed)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"name": ', "column 10"),
        (b"[]", ""),
        (b'{"name": 7}', "name"),
        (b'{"mode": "AGENT_MODE_NOPE"}', "mode"),
        (b'{"mode": 99}', "mode"),
        (b'\xff{"name": "x"}', ""),
    ],
)
def test_a_body_that_cannot_be_read_is_the_callers_mistake(wire: Wire, body: bytes, word: str) -> None:
    answer = wire.post(f"{AGENTS}StartAgent", body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
    assert word.lower() in answer.json["message"].lower()


def test_fields_are_read_in_both_spellings_and_unknown_ones_ignored(wire: Wire) -> None:
    started = wire.post(f"{AGENTS}StartAgent", {"name": "x", "session_id": "", "of_the_future": [1]})
    execution = started.json["agentExecutionId"]
    for body in ({"agentExecutionId": execution}, {"agent_execution_id": execution.upper()}):
        assert wire.post(f"{AGENTS}GetAgentExecution", body).json["agentExecution"]["id"] == execution


def test_unknown_methods_types_and_credentials_are_told_apart(wire: Wire) -> None:
    for path in (f"{AGENTS}Nope", "/api/gitpod.v1.NopeService/Nope", "/api/nope"):
        unknown = wire.post(path, {})
        assert (unknown.status, unknown.json["code"]) == (501, "unimplemented")
        assert unknown.headers["x-should-retry"] == "false"
    assert wire.post(f"{AGENTS}ListAgentExecutions", {}, Content_Type="text/plain").status == 415
    nobody = wire.post(f"{AGENTS}ListAgentExecutions", {}, Authorization="")
    assert (nobody.status, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert nobody.json["code"] == "unauthenticated"


def test_a_key_makes_a_repeated_start_the_same_one(wire: Wire) -> None:
    def start(name: str) -> Answer:
        return wire.post(f"{AGENTS}StartAgent", {"name": name}, Idempotency_Key="wire-1")

    first, again, other = start("a"), start("a"), start("b")
    assert first.json == again.json
    assert (other.status, other.json["code"]) == (409, "already_exists")
    assert other.headers["x-should-retry"] == "false"


def test_json_lines_are_asked_for_by_either_content_type(wire: Wire, server: HostlerProcess) -> None:
    """The Python client of the older generation sends the first, the TypeScript client the second."""
    run = server.start_agent("")
    watched = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [run]}
    for kind in ("application/json", "application/jsonl"):
        answer = wire.post(WATCH, {"resourceTypeFilters": [watched]}, Content_Type=kind, Connect_Timeout_Ms="700")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/jsonl")
        assert json.loads(answer.body.splitlines()[0])["resourceId"] == run
