"""A server in this process with a real store, engine and sandbox, shot at without a network, and how it is judged."""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from starlette.routing import Mount, Route

from hostler.api.access import Access
from hostler.api.edge import NOWHERE, Edge
from hostler.app import opened
from hostler.config import RatesSection, Settings
from hostler.conformance.wire import envelopes
from tests.api.asking import Told, ask
from tests.fuzz.shots import Shot
from tests.fuzz.values import Ids

T = TypeVar("T")
LEAKS = re.compile(
    rb"Traceback|File \"|\.py\b|site-packages"
    rb"|hostler\.(api|app|core|engine|store|models|environments|projections|tools)\b"
    rb"| object at 0x|sqlite3?\b|sqlalchemy|asyncpg|psycopg|SELECT [\w*, .]+ FROM|INSERT INTO|CONSTRAINT|connectrpc"
    rb"|(Key|Type|Value|Attribute|Assertion|Index|Unicode\w*|Recursion|Overflow|Runtime|Lookup|OS)Error|Exception",
)
"""What no answer to a request that is refused may hold."""
BAD_GRPC = {"2", "13", "15"}
"""unknown, internal and data_loss."""
BAD_CODES = {"unknown", "internal", "data_loss"}
BY_THE_BOOK = (b"protocol error: sent compressed", b"protocol%20error%3A%20sent%20compressed")
"""What gRPC itself calls internal: a message marked as compressed by a caller who named no compression."""
SLOW = ("Exec", "exec", "Watch", "AttachTerminal", "ReadTerminal", "ImprovePromptForAgent")
"""What may take its time by itself."""
MAKING = ("StartAgent", "CreateEnvironment", "CreateEnvironmentFromProject", "environments", "restore")
"""What begins something that would outlast the shot."""


class Hit(AssertionError):
    """The server did what it must not; the message says what, and how to do it again."""


class Range:
    """The server, what is there to be named, and the judgement of each answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._stop: asyncio.Event
        self.app: Access
        self.token = ""
        self.ids: Ids = ()
        self.kept: set[str] = set()
        self.shots = 0
        self.told: Counter[int] = Counter()
        """How often each status was answered."""

    def __enter__(self) -> "Range":
        """Start it and make what shots can name."""
        self._thread.start()
        ready = threading.Event()
        self._served = asyncio.run_coroutine_threadsafe(self._serve(ready), self._loop)
        while not ready.wait(0.1):
            if self._served.done():
                self._served.result()
        self.do(self._furnish())
        return self

    def __exit__(self, *_: object) -> None:
        """Remove everything and stop."""
        try:
            self.do(self._clear(everything=True), 120)
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._served.result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        rates = RatesSection(caller=0, address=0, attempts=0)
        settings = Settings(data_dir=str(self._folder), model="scripted:demo", settle_seconds=0, rates=rates)  # pyright: ignore[reportCallIssue]
        async with opened(settings, {}) as server:
            self.app = server.asgi
            self.token = server.new_token or ""
            ready.set()
            await self._stop.wait()
            server.drain()

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def call(self, method: str, body: Any = None, *, good: bool = True) -> dict[str, Any]:
        """Call a method in the ordinary way."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json", "host": "hostler.test"}
        path = method if method.startswith("/") else f"/api/gitpod.v1.{method}"
        told = await ask(self.app, "POST", path, headers, json.dumps(body or {}).encode())
        assert told.status < 300 or not good, (method, told)
        found = json.loads(told.body or b"{}")
        return found if told.status < 300 else {}

    async def _furnish(self) -> None:
        made: list[str] = []
        environment = (await self.call("EnvironmentService/CreateEnvironment", RUNNING))["environment"]["id"]
        for number in range(3):
            start = {"name": f"target {number}", "codeContext": {"environmentId": environment}}
            made.append((await self.call("AgentService/StartAgent", start))["agentExecutionId"])
        said = {"agentExecutionId": made[0], "userInput": {"inputs": [{"text": {"content": "hello"}}]}}
        await self.call("AgentService/SendToAgentExecution", said)
        prompt = {"name": "p", "description": "d", "prompt": "p", "isCommand": True, "command": "target"}
        one = (await self.call("AgentService/CreatePrompt", prompt))["prompt"]["id"]
        self.kept = {*made, environment}
        classes = (await self.call("EnvironmentService/ListEnvironmentClasses"))["environmentClasses"]
        nothing = ("0190ffff-0000-7000-8000-00000000ffff", "not-a-uuid")
        self.ids = (*made, environment, one, str(classes[0]["id"]), *nothing)

    def targets(self) -> list[tuple[str, str]]:
        """Return (method, path) of what is served beside the contract's methods."""
        found: list[tuple[str, str]] = []
        for route in self.app.routes:
            match route:
                case Mount(app=Edge()):
                    pass
                case Mount(path=path):
                    found.append(("GET", f"{path}/{{file}}"))
                case Route(path=path, methods=methods) if methods:
                    found += [(method, re.sub(r":\w+\}", "}", path)) for method in sorted(methods)]
                case _:
                    pass
        return found

    def methods(self) -> list[str]:
        """Return the paths of the contract's methods, for the environment that is there."""
        environment = next(one for one in self.ids if one in self.kept and one == self.ids[3])
        edges = [route.app for route in self.app.routes if isinstance(route, Mount) and isinstance(route.app, Edge)]
        return [f"/api{path.replace(NOWHERE, environment)}" for edge in edges for path in edge.methods]

    def shoot(self, shot: Shot) -> Told:
        """Send a request and judge the answer; Hit when it is one that must not be."""
        self.shots += 1
        headers = {"authorization": f"Bearer {self.token}", "host": "hostler.test", **dict(shot.headers)}
        sent = ask(self.app, shot.method, shot.path, headers, shot.body, query=shot.query, pause=0.0003)
        try:
            told = self.do(sent, 40)
        except TimeoutError:
            if shot.path.endswith(SLOW) or "/exec" in shot.path:
                return Told(503)
            raise Hit(f"no answer within 20 s\n{shot}") from None
        except Exception as error:
            raise Hit(f"{type(error).__name__} came out of the application: {error}\n{shot}") from error
        self.told[told.status] += 1
        judge(shot, told)
        self.check(shot)
        if "maintenance" in shot.path:
            self.do(ask(self.app, "DELETE", "/api/hostler/v1/maintenance", headers_of(self.token)))
        if shot.path.endswith(MAKING):
            self.do(self._clear(everything=False), 120)
        return told

    def check(self, shot: Shot) -> None:
        """See that the server still answers."""
        try:
            self.do(self.call("IdentityService/GetAuthenticatedIdentity"), 20)
        except (AssertionError, TimeoutError) as fault:
            raise Hit(f"afterwards the server does not answer: {fault}\n{shot}") from fault

    async def _clear(self, *, everything: bool) -> None:
        """Remove executions and environments that shots began."""
        listed = {"pagination": {"pageSize": 100}}
        kept: set[str] = set() if everything else self.kept
        for service, lists, name, key in (
            ("AgentService", "ListAgentExecutions", "agentExecutions", "agentExecutionId"),
            ("EnvironmentService", "ListEnvironments", "environments", "environmentId"),
        ):
            delete = f"{service}/{lists.replace('List', 'Delete').removesuffix('s')}"
            for one in (await self.call(f"{service}/{lists}", listed)).get(name, []):
                if one["id"] not in kept:
                    await self.call(delete, {key: one["id"], **({"force": True} if "Env" in lists else {})}, good=False)

    def settle(self, seconds: float = 60) -> None:
        """See that every execution can be brought to rest: nothing is stuck."""
        end = time.monotonic() + seconds
        while stuck := self.do(self._stopped()):
            if time.monotonic() > end:
                raise Hit(f"these executions do not stop: {stuck}")
            time.sleep(0.1)

    async def _stopped(self) -> list[str]:
        found = (await self.call("AgentService/ListAgentExecutions", {"pagination": {"pageSize": 100}})).get(
            "agentExecutions", []
        )
        moving = [one["id"] for one in found if one["status"]["phase"] != "PHASE_STOPPED"]
        for one in moving:
            await self.call("AgentService/StopAgentExecution", {"agentExecutionId": one}, good=False)
        return moving


RUNNING = {"name": "target", "spec": {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}}


def headers_of(token: str) -> dict[str, str]:
    """Return the headers of an ordinary request."""
    return {"authorization": f"Bearer {token}", "content-type": "application/json", "host": "hostler.test"}


def judge(shot: Shot, told: Told) -> None:
    """Raise Hit for an answer that no request may get."""

    def hit(what: str) -> Hit:
        return Hit(f"{what}: HTTP {told.status} {told.headers} {told.body[:600]!r}\n{shot}")

    if not told.status:
        raise hit("no answer")
    if told.status >= 500 and told.status not in (501, 503, 504):
        raise hit("a fault of the server")
    refused = told.body if told.status >= 400 else b""
    if told.kind.startswith("application/connect+"):
        for flags, part in envelopes(told.body):
            if flags & 2:
                refused += part
                code = json.loads(part).get("error", {}).get("code")
                if code in BAD_CODES and BY_THE_BOOK[0] not in part:
                    raise hit(f"the code {code}")
    if told.kind.startswith("application/grpc-web"):
        trailers = b"".join(part for flags, part in envelopes(told.body) if flags & 0x80)
        found = re.search(rb"grpc-status: ?(\d+)", trailers)
        status = found[1].decode() if found else told.headers.get("grpc-status", "0")
        refused += trailers + told.headers.get("grpc-message", "").encode()
        if status in BAD_GRPC and BY_THE_BOOK[1] not in refused:
            raise hit(f"grpc-status {status}")
    if told.status >= 400 and told.kind == "application/json" and shot.method != "HEAD":
        body = json.loads(told.body)
        if body.get("code") in BAD_CODES and told.status != 415:
            raise hit(f"the code {body['code']}")
    if (leak := LEAKS.search(refused)) and leak[0] not in shot.body and leak[0] not in shot.path.encode():
        raise hit(f"the answer tells {leak[0]!r}")
