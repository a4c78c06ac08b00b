"""Signing in with OpenID Connect and by a proxy that is believed: who is let in, and who is not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from hostler.api.access import Access
from hostler.api.call import Call, begin
from hostler.api.forwarding import Peer
from hostler.api.server import build
from hostler.core.outside import Accounts, Outside, Provider, Proxy
from hostler.core.people import PeopleQuery, Person, PersonChange
from hostler.testing.desk_admission import MemoryAttempts
from hostler.testing.openid import CLIENT, SECRET, OpenIdProvider
from hostler.web.routes import routes
from tests.api.asking import Told, ask
from tests.api.conftest import OWNER, Api

HOST = "hostler.test"
EVERYBODY = PeopleQuery()
PAGE = {"host": HOST, "accept": "text/html"}


@pytest.fixture
def provider(api: Api) -> Iterator[OpenIdProvider]:
    one = OpenIdProvider(api.clock.now().timestamp())
    yield one
    one.close()


@dataclass
class Seat:
    """A server that believes the provider, and a browser."""

    api: Api
    app: Access
    provider: OpenIdProvider

    async def leave(self) -> tuple[str, str]:
        """Be sent to the provider; return its address and the cookie of this attempt."""
        told = await ask(self.app, "GET", "/sign-in/start", PAGE, query="next=/prompts")
        assert told.status == 303, told.body
        return told.headers["location"], told.headers["set-cookie"].partition(";")[0]

    async def come_back(self, query: dict[str, str], cookie: str) -> Told:
        headers = {**PAGE, "cookie": cookie} if cookie else PAGE
        return await ask(self.app, "GET", "/sign-in/callback", headers, query=urlencode(query))

    async def sign_in(self) -> Told:
        url, cookie = await self.leave()
        return await self.come_back(self.provider.approve(url), cookie)

    async def info(self, cookie: str) -> dict[str, Any]:
        told = await ask(self.app, "GET", "/api/hostler/v1/info", {"host": HOST, "cookie": cookie})
        assert told.status == 200, told.body
        return json.loads(told.body)


def seat(api: Api, provider: OpenIdProvider, **accounts: Any) -> Seat:
    known = Provider(provider.issuer, CLIENT, SECRET, "Example", accounts=Accounts(**accounts))
    parts = replace(api.parts, outside=Outside(known), attempts=MemoryAttempts())
    return Seat(api, build(parts, routes), provider)


def cookie_of(told: Told) -> str:
    assert told.status == 303, told.body
    return told.headers["set-cookie"].partition(";")[0]


async def test_who_comes_for_the_first_time_gets_an_account_and_is_signed_in(
    api: Api, provider: OpenIdProvider
) -> None:
    one = seat(api, provider)
    page = await ask(one.app, "GET", "/sign-in", PAGE)
    assert b"Sign in with Example" in page.body
    told = await one.sign_in()
    assert told.headers["location"] == "/prompts"
    info = await one.info(cookie_of(told))
    assert (info["principal"]["name"], info["role"]) == ("Ann", "run")
    person = await api.parts.people.get(info["principal"]["id"])
    assert person is not None
    assert (person.email, person.subject) == ("ann@example.com", f"oidc {provider.issuer} ann")
    again = await one.info(cookie_of(await one.sign_in()))
    assert again["principal"]["id"] == info["principal"]["id"]


WRONG: dict[str, dict[str, Any]] = {
    "another nonce": {"claims": {"nonce": "x"}},
    "no nonce": {"claims": {"nonce": None}},
    "another audience": {"claims": {"aud": "somebody"}},
    "several audiences and no party": {"claims": {"aud": [CLIENT, "somebody"]}},
    "another party": {"claims": {"azp": "somebody"}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "no subject": {"claims": {"sub": ""}},
    "expired": {"claims": {"exp": 1}},
    "from the future": {"claims": {"iat": 1 << 40}},
    "an endless word for a time": {"claims": {"iat": "soon"}},
    "an unknown key": {"signed_by": "another"},
    "the client's secret as the key": {"algorithm": "HS256"},
    "no signature": {"algorithm": "none"},
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_with_an_id_token_lets_nobody_in(api: Api, provider: OpenIdProvider, wrong: str) -> None:
    one = seat(api, provider)
    for name, value in WRONG[wrong].items():
        setattr(provider, name, value)
    people = await api.parts.people.find(EVERYBODY)
    told = await one.sign_in()
    assert (told.status, b"did not work" in told.body) == (401, True)
    assert await api.parts.people.find(EVERYBODY) == people
    assert "attempt" in told.headers["set-cookie"]


async def test_a_state_is_good_once_in_the_browser_that_began_and_for_ten_minutes(
    api: Api, provider: OpenIdProvider
) -> None:
    one = seat(api, provider)
    url, cookie = await one.leave()
    query = provider.approve(url)
    assert (await one.come_back(query, "")).status == 401
    assert (await one.come_back(query, cookie)).status == 401
    url, cookie = await one.leave()
    query = provider.approve(url)
    assert (await one.come_back(query, cookie)).status == 303
    for code in (query["code"], provider.approve(url)["code"]):
        assert (await one.come_back({**query, "code": code}, cookie)).status == 401
    url, cookie = await one.leave()
    assert (await one.come_back({**provider.approve(url), "state": "x"}, cookie)).status == 401
    url, cookie = await one.leave()
    query = provider.approve(url)
    api.clock.advance(601)
    assert (await one.come_back(query, cookie)).status == 401
    url, cookie = await one.leave()
    assert (await one.come_back({**provider.approve(url), "iss": "https://evil.example"}, cookie)).status == 401
    url, cookie = await one.leave()
    assert (
        await one.come_back({"error": "access_denied", "state": provider.approve(url)["state"]}, cookie)
    ).status == 401


async def test_a_code_of_another_attempt_is_worth_nothing(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider)
    stolen = provider.approve((await one.leave())[0])["code"]
    url, cookie = await one.leave()
    assert (await one.come_back({**provider.approve(url), "code": stolen}, cookie)).status == 401


async def test_keys_that_are_new_are_asked_for(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider)
    assert (await one.sign_in()).status == 303
    api.clock.advance(60)
    provider.published, provider.signed_by = ["another"], "another"
    assert (await one.sign_in()).status == 303
    provider.signed_by = "one"
    asked = provider.calls.count("/keys")
    assert (await one.sign_in()).status == 401
    assert provider.calls.count("/keys") == asked, "keys are not asked for again and again"


@pytest.mark.parametrize(
    ("accounts", "claims", "lets_in"),
    [
        ({"domains": ("example.com",)}, {}, True),
        ({"domains": ("example.org",)}, {}, False),
        ({"domains": ("example.com",)}, {"email_verified": False}, False),
        ({"domains": ("example.com",)}, {"email_verified": None}, False),
        ({"domains": ("example.com",)}, {"email": "ann@example.com@evil.example"}, False),
        ({"domains": ("example.com",)}, {"email": "ann@notexample.com"}, False),
        ({"create": False}, {}, False),
        ({"role_claim": "groups", "roles": {"devs": "run"}}, {"groups": ["devs", "x"]}, True),
        ({"role_claim": "groups", "roles": {"devs": "run"}}, {"groups": "devs"}, True),
        ({"role_claim": "groups", "roles": {"devs": "run"}}, {"groups": ["x"]}, False),
        ({"role_claim": "groups", "roles": {"devs": "run"}}, {}, False),
    ],
)
async def test_who_is_let_in_is_the_settings_word(
    api: Api, provider: OpenIdProvider, accounts: Any, claims: Any, lets_in: bool
) -> None:
    provider.claims = claims
    assert ((await seat(api, provider, **accounts).sign_in()).status == 303) == lets_in


async def test_roles_follow_the_claim_at_every_sign_in(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider, role_claim="groups", roles={"devs": "run", "ops": "admin"})
    provider.claims = {"groups": ["ops", "devs"]}
    first = cookie_of(await one.sign_in())
    assert (await one.info(first))["role"] == "admin"
    provider.claims = {"groups": ["devs"]}
    assert (await one.info(cookie_of(await one.sign_in())))["role"] == "run"
    assert (await one.info(first))["role"] == "run"


async def test_an_account_that_was_made_for_an_address_is_that_persons(api: Api, provider: OpenIdProvider) -> None:
    ann = Person("01990000-0000-7000-8000-00000000000a", "user", "Ann B", "read", email="Ann@Example.com")
    await api.parts.people.add(ann)
    one = seat(api, provider, create=False)
    info = await one.info(cookie_of(await one.sign_in()))
    assert (info["principal"]["id"], info["role"]) == (ann.id, "read")
    provider.claims = {"sub": "eve", "email_verified": True}
    assert (await one.sign_in()).status == 401, "an account is one person's"


async def test_an_address_that_nobody_checked_takes_no_account(api: Api, provider: OpenIdProvider) -> None:
    await api.parts.people.change(OWNER.id, PersonChange(email="ann@example.com"), api.clock.now())
    provider.claims = {"email_verified": False}
    info = await (one := seat(api, provider)).info(cookie_of(await one.sign_in()))
    assert info["principal"]["id"] != OWNER.id


async def test_who_is_suspended_does_not_come_in_by_another_door(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider)
    cookie = cookie_of(await one.sign_in())
    id_ = (await one.info(cookie))["principal"]["id"]
    await api.parts.people.change(id_, PersonChange(suspended=True), api.clock.now())
    assert (await one.sign_in()).status == 401
    told = await ask(one.app, "GET", "/api/hostler/v1/info", {"host": HOST, "cookie": cookie})
    assert told.status == 401


async def test_where_nobody_signs_in_elsewhere_there_is_no_such_page(api: Api) -> None:
    app = build(api.parts, routes)
    for path in ("/sign-in/start", "/sign-in/callback"):
        assert (await ask(app, "GET", path, PAGE)).status == 404
    assert b"Sign in with" not in (await ask(app, "GET", "/sign-in", PAGE)).body


async def test_it_leads_to_pages_of_this_server_only(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider)
    told = await ask(one.app, "GET", "/sign-in/start", PAGE, query=urlencode({"next": "https://evil.example/"}))
    cookie = told.headers["set-cookie"].partition(";")[0]
    back = await one.come_back(provider.approve(told.headers["location"]), cookie)
    assert urlsplit(back.headers["location"])[:2] == ("", "")


def behind(api: Api, addresses: tuple[str, ...] = ("127.0.0.0/8",), **accounts: Any) -> Access:
    proxy = Proxy("x-user", tuple(ip_network(one) for one in addresses), Accounts(**accounts))
    return build(replace(api.parts, outside=Outside(proxy=proxy)), routes)


async def test_a_proxy_that_is_believed_says_who_comes(api: Api) -> None:
    app = behind(api)
    headers = {"host": HOST, "x-user": "ann@example.com"}
    first = await ask(app, "GET", "/api/hostler/v1/info", headers)
    assert json.loads(first.body)["principal"]["name"] == "ann@example.com"
    again = await ask(app, "GET", "/api/hostler/v1/info", headers)
    assert json.loads(again.body)["principal"] == json.loads(first.body)["principal"]
    page = await ask(app, "GET", "/", {**PAGE, "x-user": "ann@example.com"})
    assert page.status == 200


@pytest.mark.parametrize("addresses", [("10.0.0.0/8",), ("127.0.0.2/32",), ("::/0",)])
async def test_nobody_else_is_believed(api: Api, addresses: tuple[str, ...]) -> None:
    app = behind(api, addresses)
    forged = {"host": HOST, "x-user": "owner", "x-forwarded-for": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    assert (await ask(app, "GET", "/api/hostler/v1/info", forged)).status == 401


async def test_without_the_setting_the_header_means_nothing(api: Api) -> None:
    told = await ask(api.app, "GET", "/api/hostler/v1/info", {"host": HOST, "x-user": "ann"})
    assert told.status == 401


async def test_a_token_wins_over_the_proxy_and_the_header_over_nothing(api: Api) -> None:
    app = behind(api)
    told = await ask(
        app, "GET", "/api/hostler/v1/info", {"host": HOST, "x-user": "ann", "authorization": "Bearer owner-token"}
    )
    assert json.loads(told.body)["principal"]["id"] == OWNER.id
    assert (await ask(app, "GET", "/api/hostler/v1/info", {"host": HOST, "x-user": " "})).status == 401


async def test_no_other_site_speaks_through_the_proxy(api: Api) -> None:
    app = behind(api)
    headers = {"host": HOST, "x-user": "ann", "content-type": "application/json"}
    path, body = "/api/gitpod.v1.AgentService/StartAgent", b"{}"
    assert (await ask(app, "POST", path, {**headers, "origin": "https://evil.example"}, body)).status == 403
    assert (await ask(app, "POST", path, headers, body)).status == 403
    assert (await ask(app, "POST", path, {**headers, "origin": f"http://{HOST}"}, body)).status == 200


async def test_the_proxys_people_follow_the_settings_and_are_suspended_like_others(api: Api) -> None:
    app = behind(api, create=False)
    headers = {"host": HOST, "x-user": "ann@example.com"}
    assert (await ask(app, "GET", "/api/hostler/v1/info", headers)).status == 401
    app = behind(api, domains=("example.com",), role="read")
    told = await ask(app, "GET", "/api/hostler/v1/info", headers)
    assert json.loads(told.body)["role"] == "read"
    assert (await ask(app, "GET", "/api/hostler/v1/info", {**headers, "x-user": "eve@evil.example"})).status == 401
    id_ = json.loads(told.body)["principal"]["id"]
    await api.parts.people.change(id_, PersonChange(suspended=True), api.clock.now())
    assert (await ask(app, "GET", "/api/hostler/v1/info", headers)).status == 401


async def test_who_gives_himself_an_address_is_not_taken_for_its_owner(api: Api, provider: OpenIdProvider) -> None:
    one = seat(api, provider, role_claim="groups", roles={"boss": "admin"})
    headers = {"host": HOST, "authorization": "Bearer owner-token", "content-type": "application/json"}
    made = await ask(one.app, "POST", "/api/hostler/v1/users", headers, b'{"name": "Eve"}')
    eve = json.loads(made.body)
    headers["authorization"] = f"Bearer {eve['token']}"
    path = "/api/hostler/v1/users/me"
    told = await ask(one.app, "PATCH", path, headers, b'{"email": "ann@example.com"}')
    assert told.status == 403
    provider.claims = {"groups": ["boss"]}
    info = await one.info(cookie_of(await one.sign_in()))
    assert (info["principal"]["id"] != eve["id"], info["role"]) == (True, "admin")
    assert (found := await api.parts.people.get(eve["id"])) is not None
    assert found.role == "run", "nobody's tokens reach further because somebody else signed in"


@pytest.mark.parametrize(("peer", "passed"), [("10.0.0.7", True), ("192.0.2.9", False), ("", False)])
def test_another_process_is_told_only_what_a_believed_proxy_said(peer: str, passed: bool) -> None:
    sent = [
        (b"host", b"x"),
        (b"X-User", b"owner"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"forwarded", b"for=127.0.0.1"),
    ]
    begin(Call("id", "http://x", peer=peer, client=peer))
    there = Peer("me", Proxy("X-User", (ip_network("10.0.0.0/8"),))).headers(sent)
    assert ((b"X-User", b"owner") in there) is passed
    told = [value for name, value in there if name.lower() in (b"x-forwarded-for", b"forwarded")]
    assert told == ([peer.encode()] if peer else [])
