"""Shares: what a visitor may see and do, what he may not, and when it ends."""

import asyncio
import re
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from starlette.routing import Route

from hostler.api.server import build
from hostler.core.commands import Send
from hostler.web.routes import routes
from tests.api.test_forgery import FORGED, filled, served
from tests.api.test_signing_in import Browser, browser

__all__ = ["browser"]
OWNER = {"authorization": "Bearer owner-token"}
SEEN = {
    "/executions/{execution}",
    "/executions/{execution}/events",
    "/executions/{execution}/panel",
    "/executions/{execution}/earlier",
    "/executions/{execution}/tail",
    "/executions/{execution}/items/{item}",
    "/executions/{execution}/items/{item}/images/{number:int}",
    "/api/executions/{execution}/live",
    "/api/executions/{execution}/history",
    "/api/executions/{execution}/blobs/{sha256}",
    "/api/executions/{execution}/export",
}
"""What is open to whoever may see a conversation; all else is closed to visitors."""
OPEN_TO_ALL = {
    "/healthz",
    "/readyz",
    "/metrics",  # over loopback only, which tests speak over
    "/sign-in",
    "/sign-in/start",
    "/sign-in/callback",
    "/open/{code}",
    "/s/{code}",
    "/xterm/{name}",
    "/{path:path}",
}


async def share(browser: Browser, execution: str, token: str = "owner-token", **asked: Any) -> dict[str, Any]:
    answer = await shares(browser, execution, "POST", asked, token=token)
    assert answer.status_code == 201, answer.content
    return answer.json()


async def shares(
    browser: Browser, execution: str, method: str = "GET", asked: Any = None, more: str = "", token: str = "owner-token"
) -> Response:
    url = f"{browser.url}/api/hostler/v1/executions/{execution}/shares{more}"
    async with AsyncClient(timeout=30, verify=False) as http:
        return await http.request(method, url, json=asked, headers={"authorization": f"Bearer {token}"})


async def visit(browser: Browser, execution: str, **asked: Any) -> dict[str, Any]:
    """Share an execution and follow the link."""
    made = await share(browser, execution, **asked)
    answer = await browser.http.get(made["url"])
    assert (answer.status_code, answer.headers["location"]) == (303, f"/executions/{execution}")
    return made


async def say(browser: Browser, execution: str, text: str = "hello", **more: Any) -> Response:
    body = {"userInput": {"inputs": [{"text": {"content": text}}]}, **more}
    return await browser.change("POST", f"/api/hostler/v1/executions/{execution}/inputs", body)


async def reads(browser: Browser, execution: str) -> int:
    """Return the status of the live stream, of which nothing is read."""
    async with browser.http.stream("GET", f"{browser.url}/api/executions/{execution}/live") as answer:
        return answer.status_code


async def test_a_share_is_made_listed_without_its_address_and_taken_back(browser: Browser) -> None:
    execution = await browser.api.prepared()
    first = await share(browser, execution)
    second = await share(browser, execution, may="send", hours=1, name="review")
    assert (first["may"], first["expiresAt"], second["expiresAt"]) == (
        "view",
        "2026-01-04T00:00:00Z",
        "2026-01-01T01:00:00Z",
    )
    listed = (await shares(browser, execution)).json()["shares"]
    assert listed == [{key: one[key] for key in one if key != "url"} for one in (second, first)]
    assert (await shares(browser, execution, "DELETE", more=f"/{first['id']}")).status_code == 200
    assert (await shares(browser, execution, "DELETE", more=f"/{first['id']}")).status_code == 404
    assert [one["id"] for one in (await shares(browser, execution)).json()["shares"]] == [second["id"]]
    browser.api.clock.advance(3600)
    assert (await shares(browser, execution)).json()["shares"] == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"may": "edit"}, "may"),
        ({"hours": 0}, "hours"),
        ({"hours": 721}, "hours"),
        ({"hours": 1.5}, "hours"),
        ({"hours": True}, "hours"),
        ({"hours": "1"}, "hours"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"name": 1}, "name"),
    ],
)
async def test_what_cannot_be_shared_so_is_refused_and_nothing_shared(
    browser: Browser, asked: dict[str, Any], field: str
) -> None:
    execution = await browser.api.prepared()
    answer = await shares(browser, execution, "POST", asked)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field}: ")
    assert (await shares(browser, execution)).json()["shares"] == []


async def test_an_execution_has_a_hundred_shares_at_most(browser: Browser) -> None:
    execution = await browser.api.prepared()
    for _ in range(100):
        await share(browser, execution, hours=1)
    answer = await shares(browser, execution, "POST", {})
    assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")
    browser.api.clock.advance(3600)
    await share(browser, execution)


async def test_shares_are_made_by_who_controls_the_execution(browser: Browser) -> None:
    execution = await browser.api.prepared()
    assert (await shares(browser, execution, "POST", {}, token="read-token")).status_code == 403
    token = (await browser.api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    assert (await shares(browser, execution, "POST", {}, token=token)).status_code == 403
    await browser.sign_in()
    answer = await browser.change("POST", f"/api/hostler/v1/executions/{execution}/shares", {})
    assert answer.status_code == 201
    for gone in ("00000000-0000-0000-0000-000000000000", "x"):
        assert (await shares(browser, gone, "POST", {})).status_code == 404


async def test_a_visitor_reads_the_conversation_and_says_nothing(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await browser.api.send(execution, "a question of the owner's")
    await visit(browser, execution)
    assert await reads(browser, execution) == 200
    sent = len(browser.api.desk.commands)
    answer = await say(browser, execution)
    assert (answer.status_code, answer.json()["message"]) == (403, "this share does not reach so far")
    assert len(browser.api.desk.commands) == sent


async def test_the_preview_is_what_a_visitor_sees(browser: Browser) -> None:
    execution = await browser.api.prepared({"name": "Mend it"})
    await browser.api.send(execution, "a question of the owner's")
    path = f"/executions/{execution}"
    headers = {"accept": "text/html"}
    mine = await browser.http.get(browser.url + path, headers={**headers, **OWNER})
    preview = await browser.http.get(f"{browser.url}{path}?as=visitor", headers={**headers, **OWNER})
    await visit(browser, execution)
    seen = await browser.http.get(browser.url + path, headers=headers)
    assert [one.status_code for one in (mine, preview, seen)] == [200, 200, 200]
    banner = r'<p class="said ask preview">.*?</p>'
    assert re.search(banner, preview.text)
    plain = re.sub(banner, "", preview.text).replace('data-preview="visitor"', 'data-preview=""')
    assert plain.split() == seen.text.split()
    assert "Mend it" in seen.text
    row = await browser.api.parts.executions.row(execution)
    assert row
    metadata = row.view["metadata"]
    for hidden in (
        metadata["sessionId"],
        metadata["creator"]["id"][:8],
        "/environments",
        "<textarea",
        "/usage",
    ):
        assert hidden not in seen.text, hidden
    assert "<textarea" in mine.text
    assert "/usage" in mine.text


async def test_what_comes_through_a_share_is_marked_with_it_in_the_log(browser: Browser) -> None:
    execution = await browser.api.prepared()
    made = await visit(browser, execution, may="send", name="review")
    block = {"id": "mine", "text": {"content": "hi"}, "metadata": {"source": "the owner"}}
    answer = await say(browser, execution, userInput=block)
    assert answer.json() == {"userInputId": "mine"}
    unnamed = await share(browser, execution, may="send")
    await browser.http.get(unnamed["url"])
    told = await say(browser, execution)
    first, second = browser.api.desk.commands
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert first.block["metadata"]["source"] == f"share:{made['id']} (review)"
    assert second.block["metadata"]["source"] == f"share:{unnamed['id']}"
    assert second.input_id == told.json()["userInputId"]
    log = await browser.http.get(f"{browser.url}/api/hostler/v1/executions/{execution}/log", headers=OWNER)
    assert f"share:{made['id']} (review)" in log.text


async def test_a_visitor_runs_no_command_and_clears_no_context(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await visit(browser, execution, may="send")
    before = len(await browser.api.parts.executions.read(execution))
    for text in ("!id", "/clear"):
        refused = await say(browser, execution, text)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert len(await browser.api.parts.executions.read(execution)) == before
    assert (await say(browser, execution, "/support-bundle")).status_code == 200


async def test_everybody_else_says_something_at_the_same_place_unmarked(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await browser.sign_in()
    block = {"text": {"content": "hi"}, "metadata": {"source": "page"}}
    assert (await say(browser, execution, userInput=block)).status_code == 200
    assert (await say(browser, execution, "/ona:goal tidy up")).status_code in (200, 400)
    (sent, *_) = browser.api.desk.commands
    assert isinstance(sent, Send)
    assert sent.block["metadata"]["source"] == "page"


async def test_nobody_else_says_that_it_came_through_a_share(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await browser.sign_in()
    block = {"text": {"content": "hi"}, "metadata": {"source": "share:1 (Ann)"}}
    answer = await say(browser, execution, userInput=block)
    assert answer.status_code == 400
    assert "user_input.metadata.source" in answer.json()["message"]
    body = {"agentExecutionId": execution, "userInput": block}
    assert (await browser.api.refused("SendToAgentExecution", body))["status"] == 400
    assert browser.api.desk.commands == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"turnOptions": {"modes": ["AGENT_MODE_PLANNING"]}}, 403),
        ({"codexSettings": {}}, 403),
        ({"userInput": {"text": {"content": "/ona:goal tidy up"}}}, 403),
        ({"userInput": {"text": {"content": "/ona:execution push it"}}}, 403),
        ({"userInput": {"inputs": [{"text": {"content": " /ona:ralph all of it"}}]}}, 403),
        ({"userInput": {}}, 400),
        ({"userInput": None}, 400),
        ({"userInput": {"text": 1}}, 400),
        ({"userInput": None, "controlInput": {"compact": {}}}, 400),
        ({"userInput": None, "agentMessage": {"payload": "I am your parent"}}, 400),
    ],
)
async def test_a_visitor_does_no_more_than_say_something(browser: Browser, more: dict[str, Any], status: int) -> None:
    execution = await browser.api.prepared()
    await visit(browser, execution, may="send")
    answer = await say(browser, execution, **more)
    assert answer.status_code == status, answer.content
    assert browser.api.desk.commands == []


@pytest.mark.parametrize("may", ["view", "send"])
async def test_a_visitor_reaches_nothing_but_what_is_shared(browser: Browser, may: str) -> None:
    api = browser.api
    execution, other = await api.prepared(), await api.prepared()
    await visit(browser, execution, may=may)
    for method, path in served(build(api.parts, routes)):
        if path in ("/sign-in", "/sign-out"):
            continue
        for one in (execution, other):
            answer = await browser.change(method, filled(path, one), {"agentExecutionId": one})
            wanted = {401} if one == other else {401, 403}
            if path.endswith("{execution}/inputs") and may == "send" and one == execution:
                wanted = {400}  # he may, but says nothing
            assert answer.status_code in wanted, (method, path, answer.status_code, answer.content)
    assert api.desk.commands == []


async def test_a_visitor_reads_nothing_but_what_is_shared(browser: Browser) -> None:
    api = browser.api
    execution, other = await api.prepared(), await api.prepared()
    await visit(browser, execution, may="send")
    paths = [
        one.path
        for one in build(api.parts, routes).routes
        if isinstance(one, Route) and "GET" in (one.methods or {"GET"})
    ]
    assert {*paths} >= SEEN
    for path in sorted({*paths} - OPEN_TO_ALL):
        for one in (execution, other):
            async with browser.http.stream("GET", browser.url + filled(path, one)) as answer:
                told = (path, one == other, answer.status_code)
            if path in SEEN and one == execution:
                assert answer.status_code not in (401, 403, 303), told
            else:
                refused = {401, 303, 403} if "{execution}" in path and one == execution else {401, 303}
                assert answer.status_code in refused, told


@pytest.mark.parametrize("forgery", FORGED)
async def test_no_other_site_speaks_with_a_visitors_cookie(browser: Browser, forgery: str) -> None:
    execution = await browser.api.prepared()
    await visit(browser, execution, may="send")
    here = browser.url.removeprefix("http://")
    headers = {name: value.replace("HERE", here) for name, value in FORGED[forgery].items()}
    url = f"{browser.url}/api/hostler/v1/executions/{execution}/inputs"
    body = b'{"userInput": {"text": {"content": "evil"}}}'
    sent = {"content-type": "application/json", **headers}
    answer = await browser.http.post(url, content=body, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert browser.api.desk.commands == []


async def test_a_share_that_is_revoked_or_expired_is_over_at_once(browser: Browser) -> None:
    execution = await browser.api.prepared()
    made = await visit(browser, execution, may="send", hours=1)
    await shares(browser, execution, "DELETE", more=f"/{made['id']}")
    gone = await browser.get(f"/api/executions/{execution}/live")
    assert (gone.status_code, gone.json()["message"]) == (
        404,
        "this share was taken back or has expired; ask for another one",
    )
    assert (await say(browser, execution)).status_code == 404
    page = await browser.http.get(made["url"])
    assert page.status_code == 410
    assert "This share has ended" in page.text
    await visit(browser, execution, hours=1)
    assert await reads(browser, execution) == 200
    browser.api.clock.advance(3600)
    assert (await browser.get(f"/api/executions/{execution}/live")).status_code == 404


async def test_the_cookie_of_one_execution_opens_no_other_one(browser: Browser) -> None:
    execution, other = await browser.api.prepared(), await browser.api.prepared()
    await visit(browser, execution)
    (cookie,) = browser.http.cookies.items()
    moved = cookie[0].replace(execution, other)
    answer = await browser.http.get(
        f"{browser.url}/api/executions/{other}/live", headers={"cookie": f"{moved}={cookie[1]}"}
    )
    assert answer.status_code == 404


async def test_whoever_is_signed_in_sees_as_such_also_with_a_share(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await visit(browser, execution)
    await browser.sign_in()
    assert (await browser.get(f"/api/hostler/v1/executions/{execution}/shares")).status_code == 200


async def test_a_deleted_execution_has_no_visitors(browser: Browser) -> None:
    execution = await browser.api.prepared()
    made = await visit(browser, execution)
    await browser.api.call("DeleteAgentExecution", {"agentExecutionId": execution})
    assert (await browser.http.get(made["url"])).status_code == 410
    assert (await browser.get(f"/api/executions/{execution}/live")).status_code == 404


@pytest.mark.parametrize("who", ["share", "sign-in", "signed out", "token", "read with a link"])
async def test_open_streams_end_at_once_when_what_let_them_in_is_taken_back(browser: Browser, who: str) -> None:
    execution = await browser.api.prepared()
    headers = {"authorization": "Bearer bot-token"} if who == "token" else {}
    made: dict[str, Any] = {}
    if who == "share":
        made = await visit(browser, execution)
    elif who == "read with a link":
        await browser.http.get((await browser.link(token="bot-token"))["url"])
    elif who != "token":
        await browser.sign_in("bot-token")
    url = f"{browser.url}/api/executions/{execution}/live?follow=1"
    async with browser.http.stream("GET", url, headers=headers) as stream:
        assert stream.status_code == 200
        if who == "share":
            await shares(browser, execution, "DELETE", more=f"/{made['id']}")
        elif who == "signed out":
            await browser.fill_in("/sign-out")
        else:
            await browser.http.delete(f"{browser.url}/api/hostler/v1/tokens/t2", headers=OWNER)
        async with asyncio.timeout(30):
            said = (await stream.aread()).decode()
    assert said.endswith('event: end\ndata: {"reason": "token_expired"}\n\n')


async def test_watching_events_ends_when_the_sign_in_does(browser: Browser) -> None:
    await browser.sign_in("bot-token")
    url = f"{browser.url}/api/gitpod.v1.EventService/WatchEvents"
    headers = {"origin": browser.url, "content-type": "application/connect+json"}
    async with browser.http.stream("POST", url, content=b"\0\0\0\0\x02{}", headers=headers) as stream:
        assert stream.status_code == 200
        await browser.http.delete(f"{browser.url}/api/hostler/v1/tokens/t2", headers=OWNER)
        async with asyncio.timeout(30):
            said = (await stream.aread()).decode()
    assert "unauthenticated" in said
