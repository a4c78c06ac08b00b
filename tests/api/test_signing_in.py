"""Signing in with a browser: forms, links that open once, what ends a sign-in, and where it leads."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from hostler.api.auth import hashed
from hostler.api.server import build
from hostler.api.signing_in import local_path
from hostler.core.ports import ApiToken
from hostler.web.routes import routes
from tests.api.conftest import OWNER, Api, Listening

DAY = 86_400
INFO = "/api/hostler/v1/info"


@dataclass
class Browser:
    """A browser at a server with pages: it keeps cookies and says where its requests come from."""

    api: Api
    url: str
    http: AsyncClient

    async def get(self, path: str, **headers: str) -> Response:
        return await self.http.get(self.url + path, headers=_named(headers))

    async def change(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        named = {"origin": self.url, **_named(headers)}
        return await self.http.request(method, self.url + path, json=body, headers=named)

    async def fill_in(self, path: str, **fields: str) -> Response:
        return await self.http.post(self.url + path, data=fields, headers={"origin": self.url})

    async def sign_in(self, token: str = "owner-token") -> Response:
        return await self.fill_in("/sign-in", token=token)

    async def signed_in(self) -> bool:
        answer = await self.get(INFO)
        assert answer.status_code in (200, 401)
        return answer.status_code == 200

    async def link(self, path: str = "/", token: str = "owner-token") -> dict[str, Any]:
        answer = await self.http.post(
            f"{self.url}/api/hostler/v1/links", json={"path": path}, headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 201, answer.content
        return answer.json()


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[Browser]:
    server = Listening(build(api.parts, routes))
    url = f"http://127.0.0.1:{await server.start()}"
    async with AsyncClient(timeout=30, verify=False, follow_redirects=False) as http:
        yield Browser(api, url, http)
    await server.stop()


async def test_a_form_with_a_token_signs_in_and_leads_on(browser: Browser) -> None:
    assert not await browser.signed_in()
    page = await browser.get("/sign-in?next=/executions/1%3Fa=b")
    assert page.status_code == 200
    assert 'value="/executions/1?a=b"' in page.text
    answer = await browser.fill_in("/sign-in", token=" owner-token ", next="/executions/1?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/executions/1?a=b")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax", f"Max-Age={30 * DAY}"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "owner-token" not in cookie
    assert await browser.signed_in()
    again = await browser.get("/sign-in?next=/prompts")
    assert (again.status_code, again.headers["location"]) == (303, "/prompts")


async def test_who_is_not_signed_in_is_asked_to_and_comes_back(browser: Browser) -> None:
    execution = await browser.api.prepared()
    page = f"/executions/{execution}"
    asked = await browser.get(f"{page}?token=expired&as=visitor", accept="text/html,*/*")
    assert (asked.status_code, asked.headers["location"]) == (303, f"/sign-in?next={page}%3Fas%3Dvisitor")
    assert (await browser.get(page, accept="application/json")).status_code == 401
    form = await browser.get(asked.headers["location"])
    assert f'value="{page}?as=visitor"' in form.text
    await browser.fill_in("/sign-in", token="owner-token", next=f"{page}?as=visitor")
    assert (await browser.get(f"{page}?as=visitor", accept="text/html")).status_code == 200


async def test_everything_says_that_its_kind_is_not_to_be_guessed(browser: Browser) -> None:
    for path in ("/sign-in", "/healthz", "/api/nothing", "/nowhere", "/static/1/hostler.css"):
        assert (await browser.get(path)).headers["x-content-type-options"] == "nosniff"


async def test_a_page_that_comes_by_a_proxy_nobody_told_of_is_told_what_to_do(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.change("POST", "/api/hostler/v1/tokens", {"name": "x"}, origin="https://hostler.example")
    assert answer.json()["message"] == (
        f"only the pages of this server may ask for this: it comes from https://hostler.example and not from "
        f"{browser.url} (Origin); behind a proxy, set server.public_url"
    )


async def test_json_signs_in_too(browser: Browser) -> None:
    answer = await browser.change("POST", "/sign-in", {"token": "bot-token"})
    assert answer.status_code == 200
    assert (await browser.get(INFO)).json()["principal"]["name"] == "bot"
    refused = await browser.change("POST", "/sign-in", {"token": "nobody's"})
    assert refused.status_code == 401


async def test_a_wrong_token_is_told_on_the_page(browser: Browser) -> None:
    for token in ("nobody's", "", "old-token"):
        answer = await browser.sign_in(token)
        assert answer.status_code == 401
        assert "unknown, revoked or expired" in answer.text
        assert "set-cookie" not in answer.headers
    assert not await browser.signed_in()


async def test_signing_in_is_not_left_to_other_sites(browser: Browser) -> None:
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = await browser.http.post(f"{browser.url}/sign-in", data={"token": "owner-token"}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_over_tls_the_cookie_is_for_tls_alone(api: Api) -> None:
    server = Listening(build(replace(api.parts, public_url="https://hostler.example"), routes))
    url = f"http://127.0.0.1:{await server.start()}"
    ours = {"origin": "https://hostler.example"}
    answer = await api.http.post(f"{url}/sign-in", json={"token": "owner-token"}, headers=ours)
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    path = f"{url}/api/hostler/v1/links"
    link = await api.http.post(path, json={}, headers={"authorization": "Bearer owner-token"})
    assert link.json()["url"].startswith("https://hostler.example/open/")
    stop = f"{url}/api/gitpod.v1.AgentService/ListPrompts"
    assert (await api.http.post(stop, json={}, headers={**cookie, **ours})).status_code == 200
    assert (await api.http.post(stop, json={}, headers={**cookie, "origin": url})).status_code == 403
    await server.stop()


async def test_signing_out_ends_the_sign_in(browser: Browser) -> None:
    await browser.sign_in()
    kept = dict(browser.http.cookies)
    answer = await browser.fill_in("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert not browser.http.cookies
    browser.http.cookies.update(kept)
    assert not await browser.signed_in()
    assert (await browser.fill_in("/sign-out")).status_code == 303


async def test_a_sign_in_ends_with_its_token(browser: Browser) -> None:
    await browser.sign_in("bot-token")
    assert await browser.signed_in()
    await browser.api.tokens.revoke("t2")
    assert not await browser.signed_in()


async def test_a_sign_in_ends_when_its_token_expires(browser: Browser) -> None:
    api = browser.api
    soon = api.clock.now() + timedelta(hours=1)
    await api.tokens.add(ApiToken("t9", hashed("short"), OWNER, "short", "all", api.clock.now(), soon))
    answer = await browser.sign_in("short")
    assert "Max-Age=3600" in answer.headers["set-cookie"]
    api.clock.advance(3599)
    assert await browser.signed_in()
    api.clock.advance(1)
    assert not await browser.signed_in()


async def test_a_sign_in_lasts_thirty_days_when_it_is_used_and_seven_when_not(browser: Browser) -> None:
    await browser.sign_in()
    for _ in range(5):
        browser.api.clock.advance(5.9 * DAY)
        assert await browser.signed_in()
    browser.api.clock.advance(0.6 * DAY)
    assert not await browser.signed_in()
    await browser.sign_in()
    browser.api.clock.advance(7 * DAY)
    assert not await browser.signed_in()


async def test_a_read_only_token_makes_a_read_only_sign_in(browser: Browser) -> None:
    await browser.sign_in("read-token")
    assert await browser.signed_in()
    for path in ("/api/gitpod.v1.AgentService/StartAgent", "/api/hostler/v1/environments"):
        answer = await browser.change("POST", path, {})
        assert (answer.status_code, answer.json()["message"]) == (403, "this token may only read")
    assert (await browser.change("POST", "/api/gitpod.v1.AgentService/ListPrompts", {})).status_code == 200


async def test_a_token_in_the_header_wins_over_the_cookie_and_is_not_replaced_by_it(browser: Browser) -> None:
    await browser.sign_in()
    told = await browser.get(INFO, authorization="Bearer bot-token")
    assert told.json()["principal"]["name"] == "bot"
    assert (await browser.get(INFO, authorization="Bearer wrong")).status_code == 401
    assert (await browser.get(INFO, authorization="Basic b2theToPassTheProxy")).status_code == 200


async def test_a_link_signs_in_once_and_leads_to_its_path(browser: Browser) -> None:
    link = await browser.link("/executions/1?as=visitor")
    assert link["url"].startswith(f"{browser.url}/open/")
    path = link["url"].removeprefix(browser.url)
    for ahead in (
        await browser.http.head(link["url"]),
        await browser.get(path, sec_purpose="prefetch;prerender"),
        await browser.get(path, purpose="prefetch"),
        await browser.get(path, x_moz="prefetch"),
    ):
        assert ahead.status_code == 503
        assert "set-cookie" not in ahead.headers
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/executions/1?as=visitor")
    assert answer.headers["cache-control"] == "no-store"
    assert await browser.signed_in()
    browser.http.cookies.clear()
    again = await browser.get(path)
    assert again.status_code == 410
    assert "hostler open ID" in again.text
    assert not await browser.signed_in()


async def test_a_link_is_good_for_ten_minutes_and_as_long_as_its_token(browser: Browser) -> None:
    late, revoked = await browser.link(), await browser.link(token="bot-token")
    await browser.api.tokens.revoke("t2")
    assert (await browser.http.get(revoked["url"])).status_code == 410
    browser.api.clock.advance(600)
    assert (await browser.http.get(late["url"])).status_code == 410
    assert not await browser.signed_in()


async def test_only_an_api_token_makes_a_link(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.change("POST", "/api/hostler/v1/links", {})
    assert (answer.status_code, answer.json()["message"]) == (403, "a link is made with an API token")
    browser.http.cookies.clear()
    assert (await browser.change("POST", "/api/hostler/v1/links", {})).status_code == 401
    reading = await browser.link(token="read-token")
    await browser.http.get(reading["url"])
    assert (await browser.change("POST", "/api/hostler/v1/environments", {})).status_code == 403


ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    "/ /evil.example",
    "/a\\..\\\\evil.example",
    "evil.example",
    "",
    "/" + "a" * 2000,
    "/ä",
)


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_no_path_leads_to_another_host(browser: Browser, path: str) -> None:
    assert local_path(path) == "/"
    answer = await browser.fill_in("/sign-in", token="owner-token", next=path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    refused = await browser.change("POST", "/api/hostler/v1/links", {"path": path}, authorization="Bearer owner-token")
    assert refused.status_code == 400


@pytest.mark.parametrize("path", ["/", "/executions/1?a=b&c=%2F#d", "/a//b", "/prompts?q=https://x.example/", "/%5C/x"])
async def test_paths_of_this_server_are_kept_as_they_are(browser: Browser, path: str) -> None:
    answer = await browser.fill_in("/sign-in", token="owner-token", next=path)
    assert answer.headers["location"] == path


async def test_codes_are_in_no_log(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    code = (await browser.link())["url"].rpartition("/")[2]
    await browser.get(f"/open/{code}")
    await browser.get(f"/open/{code}?token={code}")
    await browser.get(f"/s/{code}")
    await browser.get(f"/api/hostler/v1/info?token={code}")
    logged = "".join(capsys.readouterr())
    assert "/open/…" in logged
    assert code not in logged
