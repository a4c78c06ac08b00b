"""What pages of other sites can make a browser do here: nothing. The table is made from what the server serves."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from hostler.api.access import Access
from hostler.api.auth import Credentials, Signer
from hostler.api.call import Call, begin
from hostler.api.edge import Edge
from hostler.api.server import build
from hostler.core.errors import PermissionDenied, Unauthenticated
from hostler.web.routes import routes
from tests.api.conftest import Api
from tests.api.test_sessions import Browser, browser

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
            case Route(path="/healthz" | "/readyz" | "/{path:path}") | Mount(path="/static"):
                pass
            case _:
                raise AssertionError(f"say how {route} is protected")


def filled(path: str, execution: str) -> str:
    """Return a path with the execution in it, and something for all else."""
    path = path.replace("{execution}", execution)
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}{NOWHERE}{rest.partition('}')[2]}"
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


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, PermissionDenied),
        ({"origin": "https://evil.example"}, PermissionDenied),
        ({"origin": "http://HERE", "sec-fetch-site": "cross-site"}, PermissionDenied),
        ({"origin": "http://HERE", "cookie": ""}, Unauthenticated),
        ({"origin": "http://HERE"}, None),
    ],
)
async def test_a_websocket_is_opened_by_our_own_pages_only(
    browser: Browser, headers: dict[str, str], refusal: type[Exception] | None
) -> None:
    parts, here = browser.api.parts, browser.url.removeprefix("http://")
    await browser.sign_in()
    cookie = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
    given = {"host": here, "cookie": cookie, **{name: value.replace("HERE", here) for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is sent")

    begin(Call("1", browser.url))
    socket = WebSocket({"type": "websocket", "headers": raw, "query_string": b""}, nothing, nothing)
    credentials = Credentials(parts, Signer(parts.signing_key, parts.ambient))
    if refusal is None:
        assert (await credentials.insider(socket, NOWHERE)).kind == "session"
        return
    with pytest.raises(refusal):
        await credentials.insider(socket, NOWHERE)
