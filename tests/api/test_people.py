"""People: accounts, roles, scopes, suspension, and that each of them holds from the next request on."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import Response

from hostler.api.auth import Credentials, Signer, hashed
from hostler.api.recipes import of_project
from hostler.api.server import build
from hostler.core import events as ev
from hostler.core.commands import Stop
from hostler.core.errors import NotFound
from hostler.core.people import PersonChange
from hostler.core.policy import Adopted, NoPolicies, Policy, Sight
from hostler.core.ports import ApiToken
from hostler.core.roles import ROLES, SCOPES, Role, Scope, least
from hostler.web.routes import routes
from tests.api.asking import ask as request
from tests.api.conftest import BOT, OWNER, Api
from tests.api.test_house import ask

USERS = "gitpod.v1.UserService"
ACCOUNTS = "gitpod.v1.ServiceAccountService"


async def made(api: Api, name: str, role: Role = "run", room: str = "users", **more: Any) -> dict[str, Any]:
    answer = await ask(api, "POST", f"/{room}", {"name": name, "role": role, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def info(api: Api, token: str) -> Response:
    return await ask(api, "GET", "/info", token=token)


async def test_a_new_person_comes_in_with_a_first_token_that_is_shown_once(api: Api) -> None:
    ann = await made(api, "Ann", email="ann@example.com")
    assert (await info(api, ann["token"])).json()["principal"] == {"id": ann["id"], "kind": "user", "name": "Ann"}
    shown = (await ask(api, "GET", f"/users/{ann['id']}")).json()
    assert (shown["role"], shown["email"], shown["suspended"]) == ("run", "ann@example.com", False)
    listed = (await ask(api, "GET", "/users")).text
    assert "Ann" in listed
    assert ann["token"] not in listed


async def test_a_new_person_comes_in_by_a_link_that_opens_once(api: Api) -> None:
    ann = await made(api, "Ann", give="link")
    assert "token" not in ann
    code = ann["url"].rpartition("/")[2]
    link = await api.parts.sign_ins.take_link(hashed(code))
    assert link is not None
    tokens = (await ask(api, "GET", "/tokens")).json()["tokens"]
    behind = next(token for token in tokens if token["id"] == link.token_id)
    assert (behind["principal"]["name"], behind["purpose"]) == ("Ann", "sign_in")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "x", "give": "gold"}, "give"),
        ({"name": "x", "days": 0}, "days"),
        ({"name": "x", "shoe_size": 44}, "shoe_size"),
    ],
)
async def test_an_account_that_cannot_be_made_is_refused_by_name(api: Api, body: Any, field: str) -> None:
    before = len((await ask(api, "GET", "/users")).json()["accounts"])
    refused = await ask(api, "POST", "/users", body)
    assert (refused.status_code, refused.json()["message"].split(":")[0]) == (400, field)
    assert len((await ask(api, "GET", "/users")).json()["accounts"]) == before


async def test_names_are_taken_once(api: Api) -> None:
    await made(api, "Ann")
    ben = await made(api, "Ben")
    assert (await ask(api, "POST", "/users", {"name": "ANN"})).status_code == 409
    assert (await ask(api, "PATCH", f"/users/{ben['id']}", {"name": "ann"})).status_code == 409


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", ROLES)
async def test_a_token_reaches_as_far_as_its_scope_and_its_persons_role(api: Api, role: Role, scope: Scope) -> None:
    ann = await made(api, "Ann", role)
    person = await api.parts.people.get(ann["id"])
    assert person is not None
    await api.tokens.add(ApiToken("t9", hashed("ann-token"), person.principal, "x", scope, api.clock.now(), None))
    reaches = least(role, scope)
    assert (await info(api, "ann-token")).json()["role"] == reaches
    assert (await api.post("ListPrompts", token="ann-token")).status_code == 200
    started = await api.post("StartAgent", token="ann-token")
    assert started.status_code == (403 if reaches == "read" else 200)
    for method, path in (("GET", "/doctor"), ("GET", "/users"), ("POST", "/users")):
        answer = await ask(api, method, path, {"name": "Eve"} if method == "POST" else None, token="ann-token")
        assert (answer.status_code == 403) == (reaches != "admin"), (method, path)
    agents = (await api.call("ListAgents", token="ann-token"))["agents"]
    assert ("be kind" in json.dumps(agents)) == (reaches == "admin")


async def test_nobody_makes_himself_more_than_he_is(api: Api) -> None:
    ann = await made(api, "Ann")
    for change in ({"role": "admin"}, {"suspended": True}, {"stop": True}, {"email": "boss@example.com"}):
        refused = await ask(api, "PATCH", f"/users/{ann['id']}", change, token=ann["token"])
        assert refused.status_code == 403
    assert (
        await ask(api, "PATCH", "/users/me", {"git_email": "ann@example.com"}, token=ann["token"])
    ).status_code == 200
    more = await ask(api, "POST", "/tokens", {"name": "x", "scope": "admin"}, token=ann["token"])
    assert (more.status_code, more.json()["message"].split(":")[0]) == (400, "scope")


async def test_a_token_makes_no_token_that_reaches_further(api: Api) -> None:
    narrow = (await ask(api, "POST", "/tokens", {"name": "x", "scope": "run"})).json()["token"]
    refused = await ask(api, "POST", "/tokens", {"name": "y", "scope": "admin"}, token=narrow)
    assert refused.status_code == 403
    made = (await ask(api, "POST", "/tokens", {"name": "y"}, token=narrow)).json()
    assert made["scope"] == "run"
    assert (await info(api, made["token"])).json()["role"] == "run"


async def test_a_suspended_person_is_refused_until_he_is_let_in_again(api: Api) -> None:
    ann = await made(api, "Ann")
    execution = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    conversation = (
        await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}, token=ann["token"])
    )["token"]
    one = {"agentExecutionId": execution}
    assert (await api.post("GetAgentExecution", one, token=conversation)).status_code == 200
    assert (await ask(api, "PATCH", f"/users/{ann['id']}", {"suspended": True})).json()["suspended"]
    assert (await info(api, ann["token"])).status_code == 401
    assert (await api.post("GetAgentExecution", one, token=conversation)).status_code == 401
    assert (await ask(api, "PATCH", f"/users/{ann['id']}", {"suspended": False})).status_code == 200
    assert (await info(api, ann["token"])).status_code == 200
    assert (await api.post("GetAgentExecution", one, token=conversation)).status_code == 200


@pytest.mark.parametrize("stop", [False, True])
async def test_what_a_suspended_person_has_running_goes_on_unless_it_is_to_stop(api: Api, stop: bool) -> None:
    ann = await made(api, "Ann")
    execution = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    await api.desk.append(execution, ev.EnvironmentReady("e", "i"))
    await api.send(execution, "work")
    await ask(api, "PATCH", f"/users/{ann['id']}", {"suspended": True, "stop": stop})
    assert (Stop() in api.desk.commands) == stop


async def test_a_demoted_persons_conversation_token_says_nothing_more(api: Api) -> None:
    ann = await made(api, "Ann")
    execution = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    conversation = (
        await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}, token=ann["token"])
    )["token"]
    await ask(api, "PATCH", f"/users/{ann['id']}", {"role": "read"})
    body = {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": "x"}}]}}
    assert (await api.post("GetAgentExecution", {"agentExecutionId": execution}, token=conversation)).status_code == 200
    assert (await api.post("SendToAgentExecution", body, token=conversation)).status_code == 403


async def test_the_last_administrator_stays(api: Api) -> None:
    for change in ({"suspended": True}, {"role": "run"}):
        refused = await ask(api, "PATCH", f"/users/{OWNER.id}", change)
        assert (refused.status_code, refused.json()["code"]) == (400, "failed_precondition")
    assert (await ask(api, "DELETE", f"/users/{OWNER.id}")).status_code == 400
    ann = await made(api, "Ann", "admin")
    assert (await ask(api, "PATCH", f"/users/{OWNER.id}", {"role": "run"}, token=ann["token"])).status_code == 200
    assert (await ask(api, "GET", "/users")).status_code == 403
    assert (await ask(api, "DELETE", f"/users/{ann['id']}", token=ann["token"])).status_code == 400


async def test_who_is_removed_is_gone_with_his_tokens(api: Api) -> None:
    ann = await made(api, "Ann")
    assert (await ask(api, "DELETE", f"/users/{ann['id']}")).status_code == 200
    assert (await info(api, ann["token"])).status_code == 401
    assert (await ask(api, "GET", f"/users/{ann['id']}")).status_code == 404
    assert ann["id"] not in (await ask(api, "GET", "/users")).text
    assert ann["id"] not in (await ask(api, "GET", "/tokens")).text
    assert (await made(api, "Ann"))["id"] != ann["id"]


@pytest.mark.parametrize("how", ["revoked", "suspended", "demoted", "removed", "another process"])
async def test_an_open_stream_ends_when_what_let_the_reader_in_is_taken_back(api: Api, how: str) -> None:
    ann = await made(api, "Ann")
    execution = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    account = f"/users/{ann['id']}"
    url = f"{api.url}/api/executions/{execution}/live?follow=1"
    async with asyncio.timeout(20), api.http.stream("GET", url, headers=api.headers(token=ann["token"])) as live:
        assert live.status_code == 200
        match how:
            case "revoked":
                await ask(api, "DELETE", f"/tokens/{ann['tokenId']}")
            case "suspended":
                await ask(api, "PATCH", account, {"suspended": True})
            case "demoted":
                await ask(api, "PATCH", account, {"role": "read"})
            case "removed":
                await ask(api, "DELETE", account)
            case _:
                await api.parts.people.change(ann["id"], PersonChange(suspended=True), api.clock.now())
                assert api.app.keep_up is not None
                keeping_up = asyncio.create_task(api.app.keep_up())
                await asyncio.sleep(0)
                api.desk.executions.tell(ann["id"])
        rest = "\n".join([line async for line in live.aiter_lines()])
        if how == "another process":
            keeping_up.cancel()
    assert "token_expired" in rest


class Chosen(NoPolicies):
    """A policy that the test changes."""

    sight: Sight = "own"

    async def current(self) -> Adopted:
        return Adopted(1, Policy(sight=self.sight))


async def test_under_the_policy_own_lists_hold_ones_own(api: Api) -> None:
    ann, ben = await made(api, "Ann"), await made(api, "Ben")
    hers = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    his = (await api.call("StartAgent", token=ben["token"]))["agentExecutionId"]
    policies = Chosen()
    app = build(replace(api.parts, policies=policies))

    async def listed(token: str, asked: Any) -> set[str]:
        headers = api.headers(token=token)
        path = "/api/gitpod.v1.AgentService/ListAgentExecutions"
        told = await request(app, "POST", path, headers, json.dumps(asked).encode())
        assert told.status == 200
        return {one["id"] for one in json.loads(told.body).get("agentExecutions", [])}

    both = {"filter": {"creatorIds": [ann["id"], ben["id"]]}}
    for token, expected in ((ann["token"], {hers}), (ben["token"], {his}), ("owner-token", {hers, his})):
        assert await listed(token, {}) == await listed(token, both) == expected
    assert await listed(ben["token"], {"filter": {"creatorIds": [ann["id"]]}}) == set()
    policies.sight = "organization"
    assert await listed(ben["token"], {}) == {hers, his}


async def test_an_agent_makes_an_environment_only_of_a_project_that_its_person_sees(api: Api) -> None:
    ann, ben = await made(api, "Ann"), await made(api, "Ben")
    url = {"specs": [{"contextUrl": {"url": "https://git.example/shop.git"}}]}
    body = {"name": "shop", "initializer": url}
    project = (await api.call("gitpod.v1.ProjectService/CreateProject", body, token=ann["token"]))["project"]["id"]
    policies = Chosen()
    parts = replace(api.parts, policies=policies)
    with pytest.raises(NotFound, match="no such project"):
        await of_project(parts, project, "", ben["id"])
    for creator in (ann["id"], OWNER.id):
        assert (await of_project(parts, project, "", creator)).project_id == project
    policies.sight = "organization"
    assert (await of_project(parts, project, "", ben["id"])).project_id == project


async def test_a_share_ends_with_the_sight_and_the_account_of_who_made_it(api: Api) -> None:
    ann = await made(api, "Ann")
    execution = (await api.call("StartAgent", token=ann["token"]))["agentExecutionId"]
    path = f"/executions/{execution}/shares"
    share = (await ask(api, "POST", path, {"may": "send"}, token=ann["token"])).json()
    found = await api.parts.shares.by_sha256(hashed(share["url"].rpartition("/")[2]))
    assert found is not None
    credentials = Credentials(api.parts, Signer(b"k" * 32, api.clock))
    visitor = await credentials.visiting(share["url"].rpartition("/")[2], execution)
    assert visitor is not None
    assert visitor.may("send")
    await api.parts.people.change(ann["id"], PersonChange(role="read"), api.clock.now())
    visitor = await credentials.visiting(share["url"].rpartition("/")[2], execution)
    assert visitor is not None
    assert not visitor.may("send")
    await api.parts.people.change(ann["id"], PersonChange(suspended=True), api.clock.now())
    assert await credentials.visiting(share["url"].rpartition("/")[2], execution) is None


async def test_the_contract_tells_who_calls_and_keeps_personal_tokens(api: Api) -> None:
    me = (await api.call(f"{USERS}/GetAuthenticatedUser"))["user"]
    assert (me["id"], me["name"], me["status"]) == (OWNER.id, "owner", "USER_STATUS_ACTIVE")
    asked = {"userId": OWNER.id, "description": "laptop", "validFor": "3600s", "readOnly": True}
    text = (await api.call(f"{USERS}/CreatePersonalAccessToken", asked))["token"]
    assert (await api.post("StartAgent", token=text)).status_code == 403
    listed = (await api.call(f"{USERS}/ListPersonalAccessTokens"))["personalAccessTokens"]
    one = next(one for one in listed if one["description"] == "laptop")
    assert (one["userId"], one["readOnly"]) == (OWNER.id, True)
    assert text not in json.dumps(listed)
    shown = await api.call(f"{USERS}/GetPersonalAccessToken", {"personalAccessTokenId": one["id"]})
    assert shown["pat"] == one | {key: shown["pat"][key] for key in ("lastUsed",) if key in shown["pat"]}
    await api.call(f"{USERS}/DeletePersonalAccessToken", {"personalAccessTokenId": one["id"]})
    assert (await api.post(f"{USERS}/GetAuthenticatedUser", token=text)).status_code == 401
    api.clock.advance(1)
    text = (await api.call(f"{USERS}/CreatePersonalAccessToken", asked))["token"]
    api.clock.advance(3600)
    assert (await api.post(f"{USERS}/GetAuthenticatedUser", token=text)).status_code == 401


async def test_the_contracts_pages_of_tokens_go_on_where_they_ended(api: Api) -> None:
    for number in range(5):
        await api.call(f"{USERS}/CreatePersonalAccessToken", {"userId": OWNER.id, "description": f"n{number}"})
    first = await api.call(f"{USERS}/ListPersonalAccessTokens", {"pagination": {"pageSize": 3}})
    token = first["pagination"]["nextToken"]
    rest = await api.call(f"{USERS}/ListPersonalAccessTokens", {"pagination": {"pageSize": 25, "token": token}})
    names = [one["description"] for one in first["personalAccessTokens"] + rest["personalAccessTokens"]]
    assert [name for name in names if name[1:].isdigit()] == ["n4", "n3", "n2", "n1", "n0"]


async def test_the_contract_suspends_and_removes_people(api: Api) -> None:
    ann = await made(api, "Ann")
    await api.call(f"{USERS}/SetSuspended", {"userId": ann["id"], "suspended": True})
    assert (await info(api, ann["token"])).status_code == 401
    assert (await api.call(f"{USERS}/GetUser", {"userId": ann["id"]}))["user"]["status"] == "USER_STATUS_SUSPENDED"
    await api.call(f"{USERS}/SetSuspended", {"userId": ann["id"]})
    assert (await info(api, ann["token"])).status_code == 200
    refused = await api.refused(f"{USERS}/SetSuspended", {"userId": OWNER.id, "suspended": True}, token=ann["token"])
    assert refused["status"] == 403
    await api.call(f"{USERS}/DeleteUser", {"userId": ann["id"]})
    assert (await api.refused(f"{USERS}/GetUser", {"userId": ann["id"]}))["code"] == "not_found"


async def test_the_contracts_service_accounts_and_their_tokens(api: Api) -> None:
    until = "2200-01-01T00:00:00Z"
    asked = {"name": "builder", "description": "builds", "validUntil": until}
    account = (await api.call(f"{ACCOUNTS}/CreateServiceAccount", asked))["serviceAccount"]
    assert (account["name"], account["creator"]["id"], account["validUntil"]) == ("builder", OWNER.id, until)
    one = {"serviceAccountId": account["id"]}
    short = (await api.call(f"{ACCOUNTS}/CreateServiceAccountAccessToken", one))["token"]
    assert (await api.call("gitpod.v1.IdentityService/GetAuthenticatedIdentity", token=short))["subject"] == {
        "id": account["id"],
        "principal": "PRINCIPAL_SERVICE_ACCOUNT",
    }
    made = await api.call(f"{ACCOUNTS}/CreateServiceAccountToken", {"description": "ci"}, token=short)
    assert made["serviceAccountToken"]["serviceAccountId"] == account["id"]
    listed = (await api.call(f"{ACCOUNTS}/ListServiceAccountTokens", token=made["token"]))["tokens"]
    assert {one["description"] for one in listed} == {"ci", "access token"}
    named = {"serviceAccountTokenId": made["serviceAccountToken"]["id"]}
    assert (await api.call(f"{ACCOUNTS}/GetServiceAccountToken", named))["token"]["description"] == "ci"
    await api.call(f"{ACCOUNTS}/DeleteServiceAccountToken", named)
    assert (await info(api, made["token"])).status_code == 401
    changed = await api.call(f"{ACCOUNTS}/UpdateServiceAccount", {**one, "name": "ci"})
    assert (changed["serviceAccount"]["name"], changed["serviceAccount"]["description"]) == ("ci", "builds")
    found = await api.call(f"{ACCOUNTS}/ListServiceAccounts", {"filter": {"search": "BUILDS"}})
    assert [found["id"] for found in found["serviceAccounts"]] == [account["id"]]
    await api.call(f"{ACCOUNTS}/DeleteServiceAccount", one)
    assert (await info(api, short)).status_code == 401
    assert (await api.refused(f"{ACCOUNTS}/GetServiceAccount", one))["code"] == "not_found"


async def test_a_service_account_ends_when_its_time_is_over(api: Api) -> None:
    bot = await made(api, "ci", room="service-accounts", account_days=1)
    assert (await info(api, bot["token"])).status_code == 200
    api.clock.advance(86_400)
    assert (await info(api, bot["token"])).status_code == 401


async def test_service_accounts_are_no_people_and_look_after_none(api: Api) -> None:
    refused = await api.refused(f"{USERS}/GetAuthenticatedUser", token="bot-token")
    assert refused["code"] == "failed_precondition"
    refused = await api.refused(f"{ACCOUNTS}/CreateServiceAccountToken", {"description": "x"})
    assert refused["code"] == "failed_precondition"
    until = {"name": "x", "validUntil": "2200-01-01T00:00:00Z"}
    for method, body in (
        ("CreateServiceAccount", until),
        ("ListServiceAccounts", {}),
        ("DeleteServiceAccount", {"serviceAccountId": BOT.id}),
        ("UpdateServiceAccount", {"serviceAccountId": BOT.id, "name": "x"}),
        ("CreateServiceAccountAccessToken", {"serviceAccountId": OWNER.id}),
    ):
        assert (await api.refused(f"{ACCOUNTS}/{method}", body, token="bot-token"))["status"] == 403, method


async def test_administrators_see_people_on_a_page(api: Api) -> None:
    ann = await made(api, "Ann <b>")
    app = build(api.parts, routes)
    page = {"host": "hostler.test", "authorization": "Bearer owner-token"}
    shown = await request(app, "GET", "/people", page)
    assert (shown.status, b"Ann &lt;b&gt;" in shown.body) == (200, True)
    mine = {**page, "authorization": f"Bearer {ann['token']}"}
    assert (await request(app, "GET", "/people", mine)).status == 403
    assert b"/people" not in (await request(app, "GET", "/prompts", mine)).body
    await ask(api, "PATCH", f"/users/{ann['id']}", {"suspended": True})
    assert b"suspended" in (await request(app, "GET", "/people", page)).body
