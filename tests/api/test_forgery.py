"""What pages of other sites can make a browser do here: nothing. The table is made from what the server serves."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from hostler.api.access import Access
from hostler.api.edge import Edge
from hostler.api.server import build
from hostler.web.routes import routes
from tests.api.conftest import Api
from tests.api.test_signing_in import Browser, browser

__all__ = ["browser"]
NOWHERE = "00000000-0000-0000-0000-000000000000"
OPEN = {("POST", "/sign-in"), ("POST", "/sign-out")}
"""Changed by forms, so their bodies are those of forms; the origin counts all the same."""
FORGED: Mapping[str, Mapping[str, str]] = {
    "no origin": {},
    "a foreign origin": {"origin": "https://evil.example"},
    "the origin null": {"origin": "null"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "another scheme": {"origin": "https://HERE"},
    "a longer name": {"origin": "http://HERE.evil.example"},
    "a foreign page, as the browser says": {"origin": "http://HERE", "sec-fetch-site": "cross-site"},
    "a page of the same site, as the browser says": {"origin": "http://HERE", "sec-fetch-site": "same-site"},
    "a text": {"origin": "http://HERE", "content-type": "text/plain"},
    "a form": {"origin": "http://HERE", "content-type": "application/x-www-form-urlencoded"},
    "a form of parts": {"origin": "http://HERE", "content-type": "multipart/form-data; boundary=x"},
}


def served(app: Access) -> list[tuple[str, str]]:
    """Return (method, path) of everything that may change something, with values for what is left open in paths."""
    return sorted(set(_changing(app.routes)))


def _changing(found: Any) -> Iterator[tuple[str, str]]:
    for route in found:
        match route:
            case Mount(app=Edge() as edge):
                yield from (("POST", f"/api{path}") for path in edge.methods)
            case Route(methods=methods, path=path) if methods:
                yield from ((method, path) for method in methods if method not in ("GET", "HEAD"))
            case WebSocketRoute():
                pass  # below, by themselves
            case Route(path="/healthz" | "/readyz" | "/{path:path}") | Mount(path="/static/{version}"):
                pass
            case _:
                raise AssertionError(f"say how {route} is protected")


def filled(path: str, execution: str) -> str:
    """Return a path with the execution in it, and something for all else."""
    path = path.replace("{execution}", execution)
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        path = f"{before}{'0' if name.endswith(':int') else NOWHERE}{after}"
    return path


def snapshot(api: Api) -> str:
    """Return all that a request could change."""
    parts = api.parts
    kept = (api.desk.commands, api.desk.started, parts.executions, parts.prompts, parts.projects, parts.shares)
    environments = (parts.environments, parts.environment_rows, parts.host_tokens)
    plain = [vars(one) if hasattr(one, "__dict__") else one for one in (*kept, *environments)]
    tokens = [(one.id, one.sha256) for one in api.tokens.kept]
    return repr((plain, tokens, [*vars(parts.sign_ins)["kept"]], [*vars(parts.sign_ins)["links"]]))


@pytest.mark.parametrize("forgery", FORGED)
async def test_no_other_site_changes_anything_with_the_cookie_of_somebody_who_is_signed_in(
    browser: Browser, forgery: str
) -> None:
    api = browser.api
    execution = await api.prepared()
    await browser.sign_in()
    here = browser.url.removeprefix("http://")
    headers = {name: value.replace("HERE", here) for name, value in FORGED[forgery].items()}
    table = served(build(api.parts, routes))
    assert len(table) > 60
    before = snapshot(api)
    for method, path in table:
        if (method, path) in OPEN and ("content-type" in headers or forgery == "no origin"):
            continue
        sent = {"content-type": "application/json", **headers}
        body = json.dumps({"agentExecutionId": execution, "userInput": {"text": {"content": "evil"}}})
        answer = await browser.http.request(
            method, browser.url + filled(path, execution), content=body.encode(), headers=sent
        )
        told = (method, path, answer.status_code, answer.content)
        if path.startswith("/api/") and "." in path and "content-type" in headers:
            assert answer.status_code == 415, told
        else:
            assert answer.status_code == 403, told
            assert path.startswith("/sign") or answer.json()["code"] == "permission_denied", told
    assert snapshot(api) == before
    assert await browser.signed_in()


async def test_a_form_of_no_known_origin_does_not_sign_anybody_out(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.http.post(f"{browser.url}/sign-out")).status_code == 403
    assert await browser.signed_in()


async def test_a_body_whose_kind_nobody_names_is_refused(browser: Browser) -> None:
    await browser.sign_in()
    url = f"{browser.url}/api/hostler/v1/tokens"
    answer = await browser.http.post(url, content=b'{"name": "evil"}', headers={"origin": browser.url})
    assert answer.status_code == 403


async def test_the_page_itself_may(browser: Browser) -> None:
    execution = await browser.api.prepared()
    await browser.sign_in()
    said = {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": "go on"}}]}}
    for headers in ({}, {"sec_fetch_site": "same-origin"}, {"origin": browser.url.upper()}):
        for path, body in (
            ("/api/gitpod.v1.AgentService/SendToAgentExecution", said),
            ("/api/gitpod.v1.AgentService/StopAgentExecution", {"agentExecutionId": execution}),
            ("/api/hostler/v1/tokens", {"name": "laptop"}),
        ):
            answer = await browser.change("POST", path, body, **headers)
            assert answer.status_code in (200, 201), answer.content


async def test_a_token_needs_no_origin_and_takes_any(browser: Browser) -> None:
    await browser.sign_in()
    for origin in ({}, {"origin": "https://elsewhere.example"}):
        headers = {"authorization": "Bearer owner-token", **origin}
        answer = await browser.http.post(f"{browser.url}/api/hostler/v1/tokens", json={"name": "x"}, headers=headers)
        assert answer.status_code == 201


async def test_a_token_in_the_address_changes_nothing(browser: Browser) -> None:
    execution = await browser.api.prepared()
    body = {"userInput": {"text": {"content": "evil"}}}
    path = f"{browser.url}/api/hostler/v1/executions/{execution}/inputs?token=owner-token"
    answer = await browser.http.post(path, json=body)
    assert answer.status_code == 401
    assert browser.api.desk.commands == []


async def connected(app: Access, path: str, headers: Mapping[str, str]) -> bool:
    """Ask for a WebSocket and leave; return whether it was accepted."""
    sent: list[str] = []
    received = ["websocket.connect", "websocket.disconnect"]

    async def receive() -> dict[str, Any]:
        return {"type": received.pop(0) if len(received) > 1 else received[0], "code": 1005}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": path, "scheme": "ws", "headers": raw, "query_string": b"token=owner-token"}
    async with asyncio.timeout(20):
        await app({**scope, "root_path": "", "subprotocols": []}, receive, send)
    return "websocket.accept" in sent


def cookies(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())


async def test_a_websocket_is_opened_by_our_own_pages_only(browser: Browser) -> None:
    app = build(browser.api.parts, routes)
    sockets = [filled(route.path, NOWHERE) for route in app.routes if isinstance(route, WebSocketRoute)]
    assert sockets
    await browser.sign_in()
    here, mine = browser.url.removeprefix("http://"), cookies(browser)
    ours = {"host": here, "cookie": mine, "origin": browser.url}
    for path in sockets:
        for name, forged in FORGED.items():
            if "content-type" not in forged:
                headers = {key: value.replace("HERE", here) for key, value in forged.items()}
                assert not await connected(app, path, {"host": here, "cookie": mine, **headers}), name
        assert not await connected(app, path, {**ours, "cookie": ""})
        assert await connected(app, path, ours)
        assert await connected(app, path, {"host": here, "authorization": "Bearer owner-token"})
        assert not await connected(app, path, {"host": here, "authorization": "Bearer read-token"})


async def test_a_visitor_opens_no_websocket(browser: Browser) -> None:
    app = build(browser.api.parts, routes)
    execution = await browser.api.prepared()
    url = f"{browser.url}/api/hostler/v1/executions/{execution}/shares"
    made = await browser.http.post(url, json={"may": "send"}, headers={"authorization": "Bearer owner-token"})
    await browser.http.get(made.json()["url"])
    headers = {"host": browser.url.removeprefix("http://"), "cookie": cookies(browser), "origin": browser.url}
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            assert not await connected(app, filled(route.path, execution), headers)
