"""What the edge does for every service: credentials, protocols, errors, limits, ids, log lines."""

import base64
import json
import struct
from datetime import timedelta

import pytest
import structlog

from hostler.api.auth import Signer
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1 import prompt_pb
from hostler.core.errors import NewerRelease
from tests.api.conftest import OWNER, SECRET, Api

IDENTITY = "gitpod.v1.IdentityService/GetAuthenticatedIdentity"


async def test_who_calls_is_found_by_the_token(api: Api) -> None:
    answer = await api.call(IDENTITY, token="bot-token")
    assert answer["subject"] == {"id": "11111111-1111-4111-8111-222222222222", "principal": "PRINCIPAL_SERVICE_ACCOUNT"}
    assert answer["organizationId"] == api.parts.organization_id


@pytest.mark.parametrize("token", [None, "unknown", "old-token"])
async def test_without_a_good_token_nothing_is_answered(api: Api, token: str | None) -> None:
    refused = await api.refused(IDENTITY, token=token)
    assert (refused["status"], refused["code"]) == (401, "unauthenticated")
    assert refused["headers"]["www-authenticate"] == "Bearer"


async def test_a_token_is_good_until_its_last_second(api: Api) -> None:
    api.clock.advance(timedelta(hours=1000).total_seconds() - 1)
    await api.call(IDENTITY, token="bot-token")
    api.clock.advance(1)
    assert (await api.refused(IDENTITY, token="bot-token"))["code"] == "unauthenticated"


async def test_other_schemes_and_a_token_for_something_else_are_refused(api: Api) -> None:
    for header in ("Basic owner-token", "owner-token", "Bearer"):
        refused = await api.refused(IDENTITY, {}, {"authorization": header}, token=None)
        assert refused["code"] == "unauthenticated"
    for kind in ("conversation", "environment"):
        token = Signer(b"k" * 32, api.clock).sign(kind, "x", OWNER)  # type: ignore[arg-type]
        assert (await api.refused(IDENTITY, token=token))["code"] == "unauthenticated"


async def test_a_token_that_may_only_read_changes_nothing(api: Api) -> None:
    execution = await api.started()
    await api.call("GetAgentExecution", {"agentExecutionId": execution}, token="read-token")
    await api.call("ListAgentExecutions", token="read-token")
    for method in ("StartAgent", "StopAgentExecution", "CreateAgentExecutionConversationToken", "CreatePrompt"):
        refused = await api.refused(method, {"agentExecutionId": execution}, token="read-token")
        assert (refused["status"], refused["code"]) == (403, "permission_denied")


async def test_an_unexpected_error_shows_an_id_and_no_text(api: Api) -> None:
    execution = await api.started()
    api.desk.fault = RuntimeError("the password is hunter2")
    with structlog.testing.capture_logs() as logs:
        refused = await api.refused("GetAgentExecution", {"agentExecutionId": execution}, {"x-request-id": "mine-1"})
    assert (refused["status"], refused["code"]) == (500, "internal")
    assert "hunter2" not in refused["message"]
    assert "mine-1" in refused["message"]
    assert [log["request_id"] for log in logs if log["event"] == "unexpected error"] == ["mine-1"]


async def test_an_error_that_no_caller_can_answer_is_internal(api: Api) -> None:
    execution = await api.started()
    api.desk.fault = NewerRelease()
    assert (await api.refused("GetAgentExecution", {"agentExecutionId": execution}))["code"] == "internal"


async def test_every_answer_has_an_id_and_a_log_line_without_secrets(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await api.post("ListAgentExecutions?token=in-the-query", {"filter": {}}, {"x-request-id": "abc"})
        odd = await api.post("ListAgentExecutions", {}, {"x-request-id": "with blanks"})
    assert answer.headers["x-request-id"] == "abc"
    assert odd.headers["x-request-id"] != "with blanks"
    line = next(log for log in logs if log.get("request_id") == "abc")
    assert (line["method"], line["path"]) == ("POST", "/api/gitpod.v1.AgentService/ListAgentExecutions")
    assert line["status"] == answer.status_code
    assert "owner-token" not in str(logs)
    assert "in-the-query" not in str(logs)


async def test_connect_get_serves_methods_without_side_effects(api: Api) -> None:
    message = base64.urlsafe_b64encode(b"{}").decode()
    url = f"{api.url}/api/{IDENTITY}?connect=v1&encoding=json&base64=1&message={message}"
    answer = await api.http.get(url, headers=api.headers())
    assert answer.json()["subject"]["id"] == OWNER.id
    refused = await api.http.get(
        f"{api.url}/api/gitpod.v1.AgentService/StartAgent?encoding=json&message=%7B%7D", headers=api.headers()
    )
    assert refused.status_code == 405


async def grpc_web(api: Api, method: str, message: bytes, token: str = "owner-token") -> tuple[bytes, dict[str, str]]:
    """Return (message, trailers) of a gRPC-Web call."""
    headers = api.headers({"content-type": "application/grpc-web+proto"}, token)
    envelope = struct.pack(">BI", 0, len(message)) + message
    answer = await api.http.post(f"{api.url}/api/gitpod.v1.AgentService/{method}", headers=headers, content=envelope)
    assert answer.status_code == 200
    data, found, trailers = answer.content, b"", dict(answer.headers)
    while data:
        flags, size = struct.unpack(">BI", data[:5])
        part, data = data[5 : 5 + size], data[5 + size :]
        if flags & 0x80:
            trailers |= dict(line.split(":", 1) for line in part.decode().strip().split("\r\n"))
        else:
            found = part
    return found, {key.lower(): value.strip() for key, value in trailers.items()}


async def test_grpc_web_is_served(api: Api) -> None:
    found, trailers = await grpc_web(api, "StartAgent", req.StartAgentRequest(name="x").to_binary())
    assert trailers["grpc-status"] == "0"
    assert req.StartAgentResponse.from_binary(found).agent_execution_id
    assert (await grpc_web(api, "StartAgent", b"", "wrong"))[1]["grpc-status"] == "16"
    assert (await grpc_web(api, "NoSuchMethod", b""))[1]["grpc-status"] == "12"


async def test_proto_is_served(api: Api) -> None:
    headers = api.headers({"content-type": "application/proto", "connect-protocol-version": "1"})
    url = f"{api.url}/api/gitpod.v1.AgentService/StartAgent"
    answer = await api.http.post(url, headers=headers, content=req.StartAgentRequest(name="x").to_binary())
    assert req.StartAgentResponse.from_binary(answer.content).agent_execution_id
    broken = await api.http.post(url, headers=headers, content=b"\xff\xff\xff")
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_argument")


async def test_odd_headers_break_nothing(api: Api) -> None:
    for name, value in (
        ("x-odd", b"\xe9\xff"),
        ("idempotency-key", b"\xe9"),
        ("x-request-id", b"\xe9"),
        ("x-stainless-retry-count", b"many"),
    ):
        headers = [(key.encode(), one.encode()) for key, one in api.headers().items()] + [(name.encode(), value)]
        answer = await api.http.post(f"{api.url}/api/gitpod.v1.AgentService/StartAgent", headers=headers, content=b"{}")
        assert answer.status_code == 200, name
    for name, value in (("connect-timeout-ms", "soon"), ("connect-protocol-version", "2")):
        assert (await api.refused("StartAgent", {}, {name: value}))["code"] == "invalid_argument"
    assert (await api.refused("StartAgent", {}, {"content-encoding": "br"}))["code"] == "unimplemented"


async def test_other_content_types_are_refused_with_a_word(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/grpc", ""):
        refused = await api.refused("StartAgent", {}, {"content-type": kind})
        assert refused["status"] == 415
        assert "application/json" in refused["message"]


async def test_a_deadline_is_kept(api: Api) -> None:
    import asyncio

    api.desk.hold = asyncio.Event()
    refused = await api.refused("StartAgent", {}, {"connect-timeout-ms": "50"})
    assert (refused["status"], refused["code"]) == (504, "deadline_exceeded")
    api.desk.hold.set()


async def test_a_stream_ends_at_its_deadline(api: Api) -> None:
    body = b"{}"
    headers = api.headers({"content-type": "application/connect+json", "connect-timeout-ms": "50"})
    answer = await api.http.post(
        f"{api.url}/api/gitpod.v1.EventService/WatchEvents",
        headers=headers,
        content=struct.pack(">BI", 0, len(body)) + body,
    )
    assert json.loads(answer.content[5:])["error"]["code"] == "deadline_exceeded"


async def test_nothing_is_redirected(api: Api) -> None:
    for path in ("/api/gitpod.v1.AgentService/StartAgent/", "/api/", "/api", "/healthz/", "/nowhere"):
        answer = await api.http.post(f"{api.url}{path}", headers=api.headers(), content=b"{}")
        assert answer.status_code in (404, 501), path
        assert answer.json()["code"]


async def test_large_bodies_are_taken_only_where_they_belong(api: Api) -> None:
    execution = await api.prepared()
    text = "x" * (9 << 20)
    await api.send(execution, text)
    refused = await api.refused("UpdateAgentExecution", {"agentExecutionId": execution, "x": text})
    assert (refused["status"], refused["code"]) == (429, "resource_exhausted")


async def test_details_come_with_errors(api: Api) -> None:
    hidden = {"name": "a\u202eb", "description": "d", "prompt": "p"}
    refused = await api.refused("CreatePrompt", hidden)
    detail = refused["details"][0]
    assert detail["type"] == "gitpod.v1.PromptValidationErrorDetails"
    padded = detail["value"] + "=" * (-len(detail["value"]) % 4)
    read = prompt_pb.PromptValidationErrorDetails.from_binary(base64.b64decode(padded))
    assert (read.cleaned_text, read.removed_count) == ("ab", 1)


async def test_health_is_told_without_a_token(api: Api) -> None:
    alive = await api.http.get(f"{api.url}/healthz")
    assert (alive.status_code, alive.json()["status"]) == (200, "ok")
    ready = await api.http.get(f"{api.url}/readyz")
    assert (ready.status_code, ready.json()["reason"]) == (503, "the sandbox is missing")
    api.stopping = True
    assert (await api.http.get(f"{api.url}/readyz")).json()["status"] == "draining"


async def test_secrets_are_masked_before_anything_is_kept(api: Api) -> None:
    execution = await api.prepared({"name": f"use {SECRET}", "annotations": {"note": SECRET}})
    await api.send(execution, f"the key is {SECRET}")
    await api.call("UpdateAgentExecution", {"agentExecutionId": execution, "metadata": {"annotations": {"k": SECRET}}})
    await api.call(
        "ReportAgentExecutionOutputs", {"agentExecutionId": execution, "outputs": {"k": {"stringValue": SECRET}}}
    )
    log = await api.http.get(f"{api.url}/api/hostler/v1/executions/{execution}/log", headers=api.headers())
    assert SECRET not in log.text
    assert log.text.count("[redacted]") >= 5
