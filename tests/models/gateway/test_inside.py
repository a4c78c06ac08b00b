"""The whole way: a program in a real sandbox, the forwarder, the gateway, a provider."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hostler.core.ambient import SystemAmbient
from hostler.core.providers import EnvSpec, Handle
from hostler.environments.folders import FolderProvider
from hostler.environments.local import GATEWAY_SOCKET, GATEWAY_URL, local_provider
from hostler.environments.ways import SocketWay
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.ledger import Grant
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.testing.answers import Hold, Reply
from hostler.testing.endpoints import KEY, Answers, Endpoint
from hostler.testing.environments_suite import Work, text
from hostler.testing.ledger import FakeLedger, Finished, WasCut
from hostler.testing.protocols import DIALECTS
from tests.environments.places import discard

REPLY = Reply("Said outside, heard inside.")
ASK = """
import json, sys, urllib.request
url, token, model = sys.argv[1:]
head = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
body = json.dumps({"model": model, "stream": True, "input": "hello"}).encode()
with urllib.request.urlopen(urllib.request.Request(url + "/v1/responses", body, head)) as answer:
    for line in answer:
        print(line.decode(), end="", flush=True)
"""


@dataclass(slots=True)
class Inside:
    """An environment whose execution `run` has a live turn."""

    gateway: Gateway
    ledger: FakeLedger
    way: SocketWay
    provider: FolderProvider
    handle: Handle
    work: Work

    def ask(self, model: str = "gpt-x", token: str = "") -> str:
        """Return the command that asks a model."""
        return f"python3 - {GATEWAY_URL} {token or self.gateway.token('run', 'env')} {model} <<'END'\n{ASK}\nEND\n"


@asynccontextmanager
async def standing(answers: Answers) -> AsyncIterator[tuple[Inside, Endpoint]]:
    """Yield an environment in a real sandbox and the provider that its calls reach."""
    root = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    root.chmod(0o711)  # The sandbox has a uid of its own.
    ambient, ledger = SystemAmbient(), FakeLedger()
    ledger.grants["run"] = Grant("run", 1, "env", ("openai-responses:gpt-x", "scripted:demo"))
    try:
        async with Endpoint(answers) as endpoint:
            models = Registry(endpoint.environ(), ambient=ambient)
            gateway = Gateway(ledger, models, GatewayTokens(b"a key of at least thirty-two bytes", ambient), ambient)
            way = SocketWay(GATEWAY_SOCKET, gateway.serve)
            provider = local_provider(root, ways=way)
            handle = await provider.create(EnvSpec("env"))
            await provider.start(handle)
            work = await Work.begin(provider.machine(handle))
            yield Inside(gateway, ledger, way, provider, handle, work), endpoint
            await provider.delete(handle)
            await way.close_all()
            await gateway.close()
            await models.close()
    finally:
        discard(root)


async def test_a_program_inside_calls_a_model_and_the_key_stays_outside() -> None:
    async with standing([REPLY]) as (inside, endpoint):
        said = text(await inside.work.run(inside.ask()))
        assert said.encode() == b"".join(DIALECTS["/v1/responses"].events(REPLY, "gpt-x"))
        assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert isinstance(inside.ledger.entries[1], Finished)
        found = await inside.work.run("cat /proc/*/environ /proc/*/cmdline; grep -r key-for /run ~ /workspace; env")
        assert KEY not in text(found)


async def test_a_program_that_asks_while_the_server_is_away_is_answered_by_the_next_one() -> None:
    async with standing([REPLY]) as (inside, _):
        await inside.way.close_all()
        asking = inside.work.begin_run(f"echo ready; {inside.ask()}", "later")
        await asking.ready()
        await inside.provider.start(inside.handle)
        assert "response.completed" in text(await asking.result)


async def test_a_stop_is_felt_inside_in_the_middle_of_a_stream() -> None:
    hold = Hold(REPLY, after=6)
    async with standing([hold]) as (inside, endpoint):
        asking = inside.work.begin_run(inside.ask(), "cut", ready="output_text.delta")
        await asking.ready()
        await inside.gateway.cut_all("run")
        said = text(await asking.result)
        assert "response.completed" not in said
        assert isinstance(inside.ledger.entries[1], WasCut)
        await endpoint.until(lambda endpoint: endpoint.disconnects == 1)


async def test_a_scripted_model_answers_inside_and_a_stolen_token_does_not_help() -> None:
    async with standing([REPLY]) as (inside, endpoint):
        assert "I am a scripted model" in text(await inside.work.run(inside.ask("demo")))
        stolen = inside.gateway.token("run", "another")
        assert "HTTP Error 403" in text(await inside.work.run(inside.ask(token=stolen)))
        assert endpoint.requests == []
