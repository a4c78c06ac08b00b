"""The whole way: a program in a real sandbox, the forwarder, the gateway, a provider."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hostler.core.ambient import SystemAmbient
from hostler.core.providers import EnvSpec
from hostler.environments.local import GATEWAY_SOCKET, GATEWAY_URL, local_provider
from hostler.environments.ways import SocketWay
from hostler.models.gateway.gateway import Gateway
from hostler.models.gateway.ledger import Grant
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.registry import Registry
from hostler.testing.answers import Reply
from hostler.testing.endpoints import KEY, Endpoint
from hostler.testing.environments_suite import Work, text
from hostler.testing.ledger import FakeLedger, Finished
from hostler.testing.protocols import DIALECTS
from tests.environments.places import discard

REPLY = Reply("Said outside, heard inside.")
ASK = """
import json, sys, urllib.request
head = {"Authorization": "Bearer " + sys.argv[2], "Content-Type": "application/json"}
body = json.dumps({"model": "gpt-x", "stream": True, "input": "hello"}).encode()
request = urllib.request.Request(sys.argv[1] + "/v1/responses", body, head)
print(urllib.request.urlopen(request).read().decode(), end="")
"""


@asynccontextmanager
async def roots() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    discard(folder)


def command(token: str) -> str:
    return f"python3 - {GATEWAY_URL} {token} <<'END'\n{ASK}\nEND\n"


async def test_a_program_inside_calls_a_model_and_the_key_stays_outside() -> None:
    async with roots() as root, Endpoint([REPLY]) as endpoint:
        ambient, ledger = SystemAmbient(), FakeLedger()
        models = Registry(endpoint.environ(), ambient=ambient)
        gateway = Gateway(ledger, models, GatewayTokens(b"a key of at least thirty-two bytes", ambient), ambient)
        way = SocketWay(GATEWAY_SOCKET, gateway.serve)
        provider = local_provider(root, ways=way)
        handle = await provider.create(EnvSpec("env"))
        await provider.start(handle)
        ledger.grants["run"] = Grant("run", 1, "env", ("openai-responses:gpt-x",))
        machine = provider.machine(handle)
        work = await Work.begin(machine)

        said = text(await work.run(command(gateway.token("run", "env"))))

        assert said.encode() == b"".join(DIALECTS["/v1/responses"].events(REPLY, "gpt-x"))
        assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert isinstance(ledger.entries[1], Finished)
        found = await work.run("cat /proc/*/environ /proc/*/cmdline; grep -r key-for /run ~ /workspace; env")
        assert KEY not in text(found)

        # The server goes, and a program that asks meanwhile waits for the next one.
        await way.close_all()
        asking = work.begin_run(f"echo ready; {command(gateway.token('run', 'env'))}", "later")
        await asking.ready()
        await provider.start(handle)
        assert "heard in" in text(await asking.result)
        await provider.delete(handle)
        await way.close_all()
        await gateway.close()
        await models.close()
