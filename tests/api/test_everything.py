"""Every method and every address with every kind of credential: the table is in doors.py, what is served is asked.

Nothing is asked over a network, so the whole of it takes seconds.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import jwt
import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from hostler.api.access import Access
from hostler.api.auth import Signer, hashed
from hostler.api.edge import NOWHERE, Edge
from hostler.api.server import build
from hostler.contract.gitpod.v1.agent_connect import AgentService
from hostler.contract.gitpod.v1.environment_connect import EnvironmentService
from hostler.core import events as ev
from hostler.core.errors import MachineLost
from hostler.core.policy import Adopted, NoPolicies, Policies, Policy
from hostler.core.ports import ApiToken
from hostler.testing.clock import HandClock
from hostler.testing.desk import RUNNER
from hostler.web.routes import routes
from tests.api.asking import Told, ask
from tests.api.conftest import CLASSES, OWNER, Api
from tests.api.doors import DOORS, ROWS
from tests.api.outcomes import outcome

HOST = "hostler.test"
KEY = b"k" * 32
UNKNOWN = "0190ffff-0000-7000-8000-00000000ffff"
"""An id that nothing has."""
BODIES: Mapping[str, Any] = {
    "/api/hostler/v1/tokens": {"name": "x"},
    "/api/hostler/v1/users/{account}": {"description": "x"},
    "/api/hostler/v1/service-accounts/{account}": {"description": "x"},
}
"""What is sent where what names all ids is not understood."""
MISSING = """{row} is served and has no row: add it to ROWS in tests/api/doors.py with the door it must have
(one of {doors}), or make a new door there that says who is let in."""
ABSENT = frozenset(
    {
        "GET /api/hostler/v1/service-accounts/{account}",
        "PATCH /api/hostler/v1/service-accounts/{account}",
        "DELETE /api/hostler/v1/service-accounts/{account}",
        "DELETE /api/hostler/v1/runners/{runner}",
        "DELETE /api/hostler/v1/webhooks/{webhook}",
        "GET /api/hostler/v1/webhooks/{webhook}/deliveries",
        "POST /api/hostler/v1/webhooks/{webhook}/enable",
        "POST /api/hostler/v1/webhooks/{webhook}/test",
        "DELETE /api/hostler/v1/environments/{environment}/hosts/{host}",
        "DELETE /api/hostler/v1/environment-classes/{class}/hosts/{host}",
        "POST /api/hostler/v1/environments/{environment}/exec/{operation}/input",
        "POST /api/hostler/v1/executions/{execution}/queue/{input}/edit",
        "GET /executions/{execution}/items/{item}",
        "GET /executions/{execution}/items/{item}/images/{number:int}",
    }
)
"""Rows whose thing is not there, so that who is let in is told that it is not found."""


def served(app: Access) -> Iterator[str]:
    """Yield METHOD PATH of everything that is served, with names for what is left open in paths."""
    for route in app.routes:
        match route:
            case Mount(app=Edge() as edge):
                yield from (f"POST /api{path.replace(NOWHERE, '{environment}')}" for path in edge.methods)
            case Mount(path=path):
                yield f"GET {path}"
            case WebSocketRoute(path=path):
                yield f"WEBSOCKET {path}"
            case Route(path=path, methods=None):
                yield f"ANY {path}"
            case Route(path=path, methods=methods):
                yield from (f"{method} {path}" for method in methods or () if method != "HEAD")
            case _:
                yield f"UNKNOWN {route!r}"


@dataclass
class World:
    """A server with two of everything, and somebody for each kind of credential."""

    api: Api
    app: Access
    ids: dict[str, str] = field(default_factory=dict[str, str])
    others: dict[str, str] = field(default_factory=dict[str, str])
    """Names of what the credentials of others are for."""
    who: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    async def ask(self, row: str, who: str, ids: Mapping[str, str], more: Mapping[str, str] | None = None) -> Told:
        """Ask for what a row names."""
        method, _, path = row.partition(" ")
        headers = {**SENT, **self.who[who], **(more or {})}
        query = headers.pop("query", "")
        query += f"&before={ids['item']}{'&follow=1' if path.endswith(('/live', '/events')) else ''}"
        said = {"userInput": {"text": {"content": "hello"}}, "outputs": {"k": {"stringValue": "v"}}, "command": "true"}
        body = {**ids, **said, "agentExecutionId": ids["execution"], "environmentId": ids["environment"]}
        content = json.dumps(BODIES.get(path, body)).encode() if method not in ("GET", "HEAD", "WEBSOCKET") else b""
        tick = partial(self.api.clock.advance, 1)
        return await ask(self.app, method, filled(path, ids), headers, content, query=query, tick=tick)

    async def rpc(self, method: str, body: Any, token: str = "owner-token") -> dict[str, Any]:
        told = await ask(
            self.app, "POST", f"/api/gitpod.v1.{method}", {**SENT, **bearer(token)}, json.dumps(body).encode()
        )
        assert told.status == 200, told.body
        return json.loads(told.body)

    async def post(self, path: str, body: Any, headers: Mapping[str, str]) -> Told:
        told = await ask(self.app, "POST", path, {**SENT, **headers}, json.dumps(body).encode())
        assert told.status < 400, told.body
        return told


SENT = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json", "accept": "*/*"}
"""What a page of this server sends."""


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def filled(path: str, ids: Mapping[str, str]) -> str:
    """Return a path with an id for each name in it."""
    return re.sub(r"\{([a-z0-9]+)(?::[a-z]+)?\}", lambda found: ids[found[1]], path.replace("ANY ", ""))


class Away:
    """The machine of an environment that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        raise MachineLost("away")


class OwnOnly(NoPolicies):
    """People see what they started themselves."""

    async def current(self) -> Adopted:
        return Adopted(1, Policy(sight="own"))


async def made(api: Api, policies: Policies | None = None) -> World:
    """Return a world of which nothing was used up yet."""
    api.environments.inside = cast("Any", Away())
    parts = replace(api.parts, policies=policies) if policies else api.parts
    world = World(api, build(parts, routes))
    await ask(world.app, "DELETE", "/api/hostler/v1/maintenance", {**SENT, **bearer("owner-token")})
    world.ids, world.others = await thing(world), await thing(world)
    await credentials(world)
    return world


async def thing(world: World) -> dict[str, str]:
    """Make one of everything; return the ids by the names that paths have for them."""
    api = world.api
    environment = (await world.rpc("EnvironmentService/CreateEnvironment", {"name": "mine"}))["environment"]["id"]
    start = {"name": "mine", "codeContext": {"environmentId": environment}}
    execution = (await world.rpc("AgentService/StartAgent", start))["agentExecutionId"]
    await api.desk.append(execution, ev.EnvironmentReady(environment, "i"))
    block = {"inputs": [{"text": {"content": "hello"}}]}
    sent = {"agentExecutionId": execution, "userInput": block}
    await world.rpc("AgentService/SendToAgentExecution", sent)
    row = (await api.desk.seen(execution)).row
    await api.desk.append(execution, ev.InputTaken(tuple(row.view["hostler"]["queue"])))
    queued = await world.rpc("AgentService/SendToAgentExecution", sent)
    blob = await api.parts.blobs.put(execution, f"output of {execution}".encode())
    page = await ask(world.app, "GET", f"/executions/{execution}", {**SENT, **bearer("owner-token")})
    item = re.search(rb'<h2 class="item turn" id="([^"]+)"', page.body)
    assert item, page.body
    command = f"c{len(api.parts.prompts.kept)}"  # type: ignore[attr-defined]
    prompt = {"name": "mine", "description": "d", "prompt": "p", "isCommand": True, "command": command}
    shared = await world.post(f"/api/hostler/v1/executions/{execution}/shares", {}, bearer("owner-token"))
    token = await world.post("/api/hostler/v1/tokens", {"name": "x"}, bearer("owner-token"))
    account = await world.post("/api/hostler/v1/users", {"name": f"user {execution}"}, bearer("owner-token"))
    return {
        "execution": execution,
        "environment": environment,
        "prompt": (await world.rpc("AgentService/CreatePrompt", prompt))["prompt"]["id"],
        "share": json.loads(shared.body)["id"],
        "token": json.loads(token.body)["id"],
        "sha256": blob,
        "input": queued.get("userInputId", "none"),
        "item": item[1].decode(),
        "number": "0",
        "host": "example.com",
        "class": CLASSES[0].id,
        "terminal": "terminal-1",
        "operation": "operation-1",
        "version": "1",
        "name": "xterm.js",
        "code": "no-such-code",
        "path": "nothing",
        "runner": RUNNER,
        "webhook": "no-such-webhook",
        "account": json.loads(account.body)["id"],
    }


async def credentials(world: World) -> None:
    """Let somebody come with each kind of credential, good and bad."""
    api, mine, other = world.api, world.ids, world.others
    api.tokens.kept += [
        ApiToken("gone", hashed("revoked-token"), OWNER, "gone", "all", api.clock.now(), None),
    ]
    revoked_cookie = await sign_in(world, "revoked-token")
    revoke = await ask(world.app, "DELETE", "/api/hostler/v1/tokens/gone", {**SENT, **bearer("owner-token")})
    assert revoke.status == 200, revoke.body
    signer, forger = Signer(KEY, api.clock), Signer(b"x" * 32, api.clock)
    past = HandClock()
    past.advance((api.clock.now() - past.now() - timedelta(days=2)).total_seconds())
    old = Signer(KEY, past)
    unsigned = jwt.encode(
        {"kind": "conversation", "sub": mine["execution"], "by": OWNER.id, "exp": 1 << 40}, "", "none"
    )
    world.who |= {
        "nobody": {},
        "garbage": bearer("garbage"),
        "an empty token": {"authorization": "Bearer "},
        "another scheme": {"authorization": "Basic owner-token"},
        "an expired token": bearer("old-token"),
        "a revoked token": bearer("revoked-token"),
        "a forged token": bearer(forger.sign("conversation", mine["execution"], OWNER)),
        "a token without a signature": bearer(unsigned),
        "an expired conversation token": bearer(old.sign("conversation", mine["execution"], OWNER)),
        "an expired environment token": bearer(old.sign("environment", mine["environment"], OWNER)),
        "an expired logs token": bearer(old.sign("logs", mine["environment"], OWNER)),
        "a garbled cookie": {"cookie": f"{revoked_cookie.partition('=')[0]}=garbage"},
        "a sign-in of a revoked token": {"cookie": revoked_cookie},
        "owner": bearer("owner-token"),
        "owner's token in the query": {"query": "token=owner-token"},
        "somebody else": bearer("bot-token"),
        "reader": bearer("read-token"),
        "signed in": {"cookie": await sign_in(world, "owner-token")},
        "reader signed in": {"cookie": await sign_in(world, "read-token")},
        "conversation token": bearer(signer.sign("conversation", mine["execution"], OWNER)),
        "conversation token of another execution": bearer(signer.sign("conversation", other["execution"], OWNER)),
        "environment token": bearer(signer.sign("environment", mine["environment"], OWNER)),
        "environment token of another environment": bearer(signer.sign("environment", other["environment"], OWNER)),
        "logs token": bearer(signer.sign("logs", mine["environment"], OWNER)),
        "logs token of another environment": bearer(signer.sign("logs", other["environment"], OWNER)),
        "view share": {"cookie": await visit(world, mine["execution"], "view")},
        "send share": {"cookie": await visit(world, mine["execution"], "send")},
        "share of another execution": {"cookie": await visit(world, other["execution"], "send")},
    }


async def sign_in(world: World, token: str) -> str:
    """Return the cookie of a browser that is signed in."""
    form = {**SENT, "content-type": "application/x-www-form-urlencoded"}
    told = await ask(world.app, "POST", "/sign-in", form, f"token={token}".encode())
    assert told.status == 303, told.body
    return told.headers["set-cookie"].partition(";")[0]


async def visit(world: World, execution: str, may: str) -> str:
    """Return the cookie of a visitor."""
    path = f"/api/hostler/v1/executions/{execution}/shares"
    told = await world.post(path, {"may": may}, bearer("owner-token"))
    opened = await ask(world.app, "GET", json.loads(told.body)["url"].partition(HOST)[2], SENT)
    assert opened.status == 303, opened.body
    return opened.headers["set-cookie"].partition(";")[0]


WHO = (
    "nobody",
    "garbage",
    "an empty token",
    "another scheme",
    "an expired token",
    "a revoked token",
    "a forged token",
    "a token without a signature",
    "an expired conversation token",
    "an expired environment token",
    "an expired logs token",
    "a garbled cookie",
    "a sign-in of a revoked token",
    "owner",
    "owner's token in the query",
    "somebody else",
    "reader",
    "signed in",
    "reader signed in",
    "conversation token",
    "conversation token of another execution",
    "environment token",
    "environment token of another environment",
    "logs token",
    "logs token of another environment",
    "view share",
    "send share",
    "share of another execution",
)


def closed(row: str) -> bool:
    """Whether a row is for known callers only."""
    return ROWS[row] not in ("open", "lets in")


async def test_everything_that_is_served_has_a_row(api: Api) -> None:
    found = set(served(build(api.parts, routes)))
    for row in sorted(found - {*ROWS}):
        raise AssertionError(MISSING.format(row=row, doors=", ".join(sorted(DOORS))))
    assert not {*ROWS} - found, "these rows in tests/api/doors.py are for what is not served any more"
    assert {*ROWS.values()} == {*DOORS}, "a door that no row has, or a row with a door that is not there"
    named = {who for one in DOORS.values() for who in one}
    assert named <= {*WHO}, "a door names a credential that nobody comes with"


@pytest.mark.parametrize("who", WHO)
async def test_everybody_gets_the_answer_of_the_door(api: Api, who: str) -> None:
    world = await made(api)
    assert {*world.who} == {*WHO}
    wrong: list[str] = []
    for row in sorted(filter(closed, ROWS)):
        expected = DOORS[ROWS[row]].get(who, "unauthenticated")
        told = await world.ask(row, who, world.ids)
        found = outcome(told)
        good = {expected, "not_found"} if expected == "allowed" and row in ABSENT else {expected}
        if row.startswith("WEBSOCKET") and expected != "allowed":
            good = {"permission_denied"}
        if found not in good:
            wrong.append(f"{row}: {found} and not {expected} ({told.status} {told.body[:200]!r})")
        if found == "allowed" and not row.startswith("GET") and "read" not in ROWS[row]:
            world = await made(api)  # who was let in has perhaps removed what the next row is about
    assert not wrong, f"{who}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("who", ["somebody else", "reader", "reader signed in"])
async def test_under_the_policy_own_nobody_finds_what_somebody_else_started(api: Api, who: str) -> None:
    world = await made(api, OwnOnly())
    nothing = dict.fromkeys(world.ids, UNKNOWN) | {"class": world.ids["class"], "number": "0"}
    wrong: list[str] = []
    for row in sorted(filter(closed, ROWS)):
        usual = DOORS[ROWS[row]].get(who, "unauthenticated")
        told = await world.ask(row, who, world.ids)
        found, said = outcome(told), f"({told.status} {told.body[:200]!r})"
        if row.startswith("WEBSOCKET"):
            if found == "allowed":
                wrong.append(f"{row}: a socket was opened")
        elif named(row) and usual == "allowed":
            gone = await world.ask(row, who, nothing)
            if found != "not_found" and told.status not in SHAPE and row not in CONSTANT:
                wrong.append(f"{row}: {found} and not not_found {said}")
            elif plain(told, world.ids) != plain(gone, nothing):
                wrong.append(f"{row}: told apart from what is not there {said} {gone.body[:200]!r}")
        elif found not in (usual, "not_found" if named(row) else usual):
            wrong.append(f"{row}: {found} and not {usual} {said}")
        if any(world.ids[name].encode() in told.body for name in ("execution", "environment")):
            wrong.append(f"{row}: the answer names what is not seen {said}")
    assert not wrong, f"{who}:\n" + "\n".join(wrong)


def named(row: str) -> bool:
    """Whether a row is about one execution or environment, named in its path or in the request."""
    method = row.rpartition("/")[2]
    return row in ALSO or "{execution}" in row or "{environment}" in row or method in OF_ONE


ALSO = frozenset({"POST /api/hostler/v1/environments"})
"""Rows whose body names one."""
SHAPE = (400, 501)
"""The request is looked at before what it is about, so nothing is told."""
CONSTANT = frozenset({"POST /api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService/ListCapabilities"})
"""Rows whose answer is the same for everything that is and is not."""
OF_ONE = frozenset(
    method.name
    for service in (AgentService, EnvironmentService)
    for method in service.desc().methods
    if {field.name for field in method.input.fields} & {"agent_execution_id", "environment_id"}
)
STRANGERS = (
    "nobody",
    "garbage",
    "a revoked token",
    "conversation token of another execution",
    "environment token of another environment",
    "logs token of another environment",
    "share of another execution",
)


@pytest.mark.parametrize("who", STRANGERS)
async def test_no_answer_tells_whether_something_exists(api: Api, who: str) -> None:
    world = await made(api)
    nothing = dict.fromkeys(world.ids, UNKNOWN) | {"class": UNKNOWN, "number": "0"}
    told_apart: list[str] = []
    for row in filter(closed, ROWS):
        there, gone = await world.ask(row, who, world.ids), await world.ask(row, who, nothing)
        if plain(there, world.ids) != plain(gone, nothing):
            told_apart.append(f"{row}: {there.status} {there.body[:150]!r} and {gone.status} {gone.body[:150]!r}")
    assert not told_apart, f"{who}:\n" + "\n".join(told_apart)


def plain(told: Told, ids: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
    """Return an answer without what is the caller's own, or another one each time."""

    def unnamed(text: str) -> str:
        for one in sorted({*ids.values()}, key=len, reverse=True):
            text = text.replace(one, "…") if len(one) == len(UNKNOWN) else text
        return text

    headers = {
        name: unnamed(value) for name, value in told.headers.items() if name not in ("x-request-id", "content-length")
    }
    return told.status, headers, unnamed(told.body.decode(errors="replace"))


WIRE = {
    "application/proto": b"",
    "application/connect+json": b"\0\0\0\0\2{}",
    "application/connect+proto": b"\0\0\0\0\0",
    "application/grpc-web+proto": b"\0\0\0\0\0",
    "application/grpc-web+json": b"\0\0\0\0\2{}",
    "application/jsonl": b"{}",
}


@pytest.mark.parametrize("kind", WIRE)
@pytest.mark.parametrize("who", ["nobody", "a revoked token"])
async def test_no_protocol_lets_in_who_may_not(api: Api, kind: str, who: str) -> None:
    world = await made(api)
    let_in: list[str] = []
    for row in ROWS:
        if is_rpc(row):
            headers = {**SENT, **world.who[who], "content-type": kind}
            told = await ask(world.app, "POST", filled(row.removeprefix("POST "), world.ids), headers, WIRE[kind])
            if outcome(told) != "unauthenticated" and told.status != 415:
                let_in.append(f"{row}: {told.status} {told.headers} {told.body[:200]!r}")
    assert not let_in, "\n".join(let_in)


def is_rpc(row: str) -> bool:
    """Whether a row is a method of the contract."""
    return re.fullmatch(r"POST /api/.*\.v1\.[A-Za-z]+/[A-Za-z]+", row) is not None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST", "TRACE"])
async def test_no_other_verb_opens_a_door(api: Api, method: str) -> None:
    world = await made(api)
    opened: list[str] = []
    for row in filter(closed, ROWS):
        path = filled(row.partition(" ")[2], world.ids)
        message = "connect=v1&encoding=json&message=%7B%7D"
        told = await ask(world.app, method, path, {"host": HOST, "accept": "*/*"}, query=message)
        if told.status < 400 or (told.status >= 500 and told.status != 501):
            opened.append(f"{method} {path}: {told.status} {told.body[:100]!r}")
        assert not any(name.startswith("access-control-") for name in told.headers), row
    assert not opened, "\n".join(opened)


async def test_a_read_only_token_changes_nothing_by_connect_get(api: Api) -> None:
    world = await made(api)
    for row in filter(is_rpc, ROWS):
        message = json.dumps({"agentExecutionId": world.ids["execution"]})
        path, query = filled(row.removeprefix("POST "), world.ids), f"connect=v1&encoding=json&message={message}"
        for who in ("nobody", "owner"):
            told = await ask(world.app, "GET", path, {"host": HOST, **world.who[who]}, query=query)
            if who == "nobody" or "changes" in DOORS[ROWS[row]]:
                assert told.status in (401, 405), (row, told)


async def test_a_path_that_is_only_nearly_one_is_nothing(api: Api) -> None:
    world = await made(api)
    for row in filter(closed, ROWS):
        path = filled(row.partition(" ")[2], world.ids)
        for near in (f"{path}/", f"/{path}", path.replace("/api/", "/API/"), f"{path}/..", f"{path};x", f"{path}%00"):
            if near != path:
                told = await ask(world.app, "GET", near, {"host": HOST, "accept": "*/*"})
                assert told.status in (401, 404, 405, 501), (near, told.status, told.body[:100])
