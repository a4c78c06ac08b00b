"""Hostler's own small API."""

import json
from typing import Any

import pytest
from httpx2 import Response

from hostler.core import events as ev
from hostler.core.desk import NewEnvironment
from hostler.core.machines import Patch
from hostler.core.providers import Scratch
from tests.api.conftest import AGENT, CLASSES, OWNER, SECRET, Api


async def ask(api: Api, method: str, path: str, body: Any = None, token: str | None = "owner-token") -> Response:
    content = json.dumps(body).encode() if body is not None else None
    return await api.http.request(
        method, f"{api.url}/api/hostler/v1{path}", headers=api.headers(token=token), content=content
    )


async def test_who_and_what_is_told(api: Api) -> None:
    info = (await ask(api, "GET", "/info")).json()
    assert info["principal"] == {"id": OWNER.id, "kind": "user", "name": "owner"}
    assert (info["admin"], info["version"], info["draining"]) == (True, "0.1.0", False)
    assert info["agent"] == {"id": AGENT, "name": "hostler", "model": "scripted:demo"}
    doctor = (await ask(api, "GET", "/doctor")).json()
    assert doctor == {"ready": False, "reason": "the sandbox is missing", "sandbox": "ok"}


async def test_everything_needs_a_token(api: Api) -> None:
    for path in ("/info", "/doctor", "/tokens", "/resolve?prefix=0", "/executions/x", "/executions/x/log"):
        refused = await ask(api, "GET", path, token=None)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    for path in ("/nothing", ""):
        refused = await ask(api, "GET", path)
        assert (refused.status_code, refused.json()["code"]) == (501, "unimplemented")


async def test_a_token_is_made_used_listed_and_revoked(api: Api) -> None:
    made = await ask(api, "POST", "/tokens", {"name": "ci", "scope": "read", "days": 1})
    assert made.status_code == 201
    token = made.json()
    assert token["token"].startswith("hostler_")
    assert token["expiresAt"] == "2026-01-02T00:00:00Z"
    await api.call("ListAgentExecutions", token=token["token"])
    assert (await api.refused("StartAgent", token=token["token"]))["code"] == "permission_denied"
    listed = (await ask(api, "GET", "/tokens")).json()["tokens"]
    kept = {key: value for key, value in token.items() if key != "token"}
    assert listed[0] == {**kept, "lastUsedAt": "2026-01-01T00:00:00Z"}
    assert token["token"] not in json.dumps(listed)
    assert (await ask(api, "DELETE", f"/tokens/{token['id']}")).json() == {}
    assert (await api.refused("ListAgentExecutions", token=token["token"]))["code"] == "unauthenticated"
    assert (await ask(api, "DELETE", f"/tokens/{token['id']}")).status_code == 404


async def test_a_token_for_a_service_account_is_somebody_elses(api: Api) -> None:
    token = (await ask(api, "POST", "/tokens", {"name": "bot", "service_account": "builder"})).json()
    assert token["principal"]["kind"] == "service_account"
    info = (await ask(api, "GET", "/info", token=token["token"])).json()
    assert ({**info["principal"], "role": info["role"]}, info["admin"]) == (token["principal"], False)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x", "scope": "some"}, "scope"),
        ({"name": "x", "days": 0}, "days"),
        ({"name": "x", "days": True}, "days"),
        ({"name": "x", "service_account": 5}, "service_account"),
        ([], "the body must be a JSON object"),
    ],
)
async def test_a_token_that_cannot_be_made_is_refused_by_name(api: Api, body: Any, field: str) -> None:
    refused = await ask(api, "POST", "/tokens", body)
    assert (refused.status_code, refused.json()["message"].split(":")[0]) == (400, field)


async def test_people_have_tokens_of_their_own_and_know_of_no_others(api: Api) -> None:
    listed = (await ask(api, "GET", "/tokens", token="bot-token")).json()["tokens"]
    assert {token["id"] for token in listed} == {"t2", "t3"}
    made = (await ask(api, "POST", "/tokens", {"name": "x"}, token="bot-token")).json()
    assert made["principal"]["name"] == "bot"
    assert (await ask(api, "GET", "/info", token=made["token"])).json()["principal"]["name"] == "bot"
    assert (await ask(api, "DELETE", "/tokens/t1", token="bot-token")).status_code == 404
    assert (await ask(api, "DELETE", f"/tokens/{made['id']}", token="bot-token")).status_code == 200
    assert (await ask(api, "GET", "/info", token=made["token"])).status_code == 401
    for asked in ({"name": "x", "service_account": "other"}, {"name": "x", "account": OWNER.id}):
        assert (await ask(api, "POST", "/tokens", asked, token="bot-token")).status_code == 403
    assert (await ask(api, "POST", "/tokens", {"name": "x"}, token="read-token")).status_code == 403


async def test_a_new_token_is_a_secret(api: Api) -> None:
    token = (await ask(api, "POST", "/tokens", {"name": "x"})).json()["token"]
    execution = await api.prepared()
    await api.send(execution, f"use {token}")
    assert token not in (await ask(api, "GET", f"/executions/{execution}/log")).text


async def test_an_id_may_be_shortened(api: Api) -> None:
    execution = await api.started()
    assert (await ask(api, "GET", f"/resolve?prefix={execution[:36].upper()}")).json()["id"] == execution
    assert (await ask(api, "GET", "/resolve?prefix=0190000")).json()["id"] == execution
    another = await api.started()
    several = await ask(api, "GET", "/resolve?prefix=0190")
    assert several.status_code == 400
    assert execution in several.json()["message"]
    assert another in several.json()["message"]
    assert (await ask(api, "GET", "/resolve?prefix=fff")).status_code == 404
    assert (await ask(api, "GET", "/resolve?prefix=")).status_code == 400
    assert (await ask(api, "GET", "/resolve?prefix=0&kind=animal")).status_code == 400
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    found = await ask(api, "GET", f"/resolve?kind=environment&prefix={environment[:-1]}{environment[-1]}")
    assert found.json() == {"kind": "environment", "id": environment}
    assert (await ask(api, "GET", "/resolve?kind=token&prefix=t1")).json()["id"] == "t1"
    assert (await ask(api, "GET", "/resolve?kind=token&prefix=t1", token="bot-token")).status_code == 404
    assert (await ask(api, "GET", "/resolve?kind=token&prefix=t2", token="bot-token")).json()["id"] == "t2"


async def test_the_log_is_read_in_parts(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "hello")
    events = (await ask(api, "GET", f"/executions/{execution}/log")).json()["events"]
    assert [one["kind"] for one in events] == ["Started", "EnvironmentReady", "InputQueued", "TurnStarted"]
    assert [one["seq"] for one in events] == [1, 2, 3, 4]
    rest = (await ask(api, "GET", f"/executions/{execution}/log?after=3")).json()
    assert (rest["events"], rest["more"]) == (events[3:], False)
    assert (await ask(api, "GET", f"/executions/{execution}/log?after=x")).status_code == 400
    assert (await ask(api, "GET", f"/executions/{AGENT}/log")).status_code == 404


async def test_what_the_contract_has_no_field_for(api: Api) -> None:
    execution = await api.prepared()
    shown = (await ask(api, "GET", f"/executions/{execution}")).json()
    assert (shown["phase"], shown["liveness"], shown["hostler"]["model"]) == ("PENDING", "live", "scripted:demo")


async def test_the_agents_changes_are_a_patch(api: Api) -> None:
    execution = await api.prepared()
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    other = await api.started({"codeContext": {"environmentId": environment}})
    await api.desk.append(other, ev.EnvironmentReady(environment, "i"))
    api.environments.patch = Patch(b"diff --git a/x b/x\n\x00", cut=True)
    answer = await ask(api, "GET", f"/executions/{other}/diff")
    assert answer.content == b"diff --git a/x b/x\n\x00"
    assert answer.headers["x-hostler-cut"] == "true"
    assert (await ask(api, "GET", f"/executions/{execution}/diff")).status_code == 404


async def test_a_secret_does_not_come_out_with_a_patch(api: Api) -> None:
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    execution = await api.started({"codeContext": {"environmentId": environment}})
    await api.desk.append(execution, ev.EnvironmentReady(environment, "i"))
    api.environments.patch = Patch(f"+key = {SECRET}\n".encode())
    assert (await ask(api, "GET", f"/executions/{execution}/diff")).content == b"+key = [redacted]\n"


async def test_a_replay_compares_the_projection_with_the_log(api: Api) -> None:
    execution = await api.prepared({"annotations": {"a": "b"}})
    await api.send(execution, "hello")
    same = (await ask(api, "GET", f"/executions/{execution}/replay")).json()
    assert same == {"events": 4, "equal": True, "differences": []}
    kept = api.desk.executions._kept[execution]  # pyright: ignore[reportPrivateUsage]
    row = kept.row
    kept.row = type(row)(
        **{f: getattr(row, f) for f in row.__dataclass_fields__} | {"view": {**row.view, "metadata": {}}}
    )
    other = (await ask(api, "GET", f"/executions/{execution}/replay")).json()
    assert not other["equal"]
    assert "/metadata/name" in [one["path"] for one in other["differences"]]


async def test_a_body_that_is_too_long_is_refused_and_so_are_numbers_and_names_that_are_none(api: Api) -> None:
    execution = await api.prepared()
    path = f"hostler/v1/executions/{execution}"
    refused = await api.refused(f"{path}/applied", b'{"commit": "%b"}' % (b"a" * (2 << 20)))
    assert (refused["status"], refused["code"]) == (429, "resource_exhausted")
    answer = await ask(api, "GET", f"/executions/{execution}/diff?turn={'9' * 5000}")
    assert (answer.status_code, answer.json()["message"].split(":")[0]) == (400, "turn")
    for name in ([1], 7, "unknown"):
        refused = await api.refused("hostler/v1/environments", {"execution": execution, "class": name})
        assert (refused["status"], refused["message"].split(":")[0]) == (400, "class")
