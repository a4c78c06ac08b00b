"""The official clients against the server: each in a virtual environment of its own, made from the package registry.

A script is run by the client's own interpreter, is told only where the server is, and prints what it saw as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hostler.conformance.bench import Bench, Check, Failed, Skipped, enter, expect, expect_in

OTHERS = ("PYTHON", "GITPOD_", "ONA_", "VIRTUAL_ENV")
"""Variables that would tell a client something else."""
CONNECT = ("connectrpc==0.11.1", "protobuf-py==0.1.1")
SECONDS = 180.0
FOLDER = "HOSTLER_SDK_CACHE"


@dataclass(frozen=True, slots=True)
class Sdk:
    """One release of an official client, and what it needs in the versions that were tried."""

    package: str
    version: str
    old: bool
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the name of its checks and its folder."""
        return f"{self.package}-{self.version}"


SDKS: Mapping[str, Sdk] = {
    str(one): one
    for one in (
        Sdk("gitpod-sdk", "0.11.0", old=True, more=("httpx==0.28.1",)),
        Sdk("gitpod-sdk", "1.2.0", old=False, more=CONNECT),
    )
}
OLD_BEGINNING = """
import gc, json, sys
from gitpod import Gitpod, APIStatusError
gc.disable()
client = Gitpod()
agents = client.agents
def tell(**seen): print(json.dumps(seen, default=str))
def get(one): return agents.retrieve_execution(agent_execution_id=one).agent_execution
def say(one, text): agents.send_to_execution(agent_execution_id=one, user_input={"text": {"content": text}})
execution, task, mark = sys.argv[1:]
"""
NEW_BEGINNING = """
import json, sys
from gitpod.v1 import agent_pb2, event_pb2, identity_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from ona_sdk import create_client_from_env
from ona_sdk.agents import AgentSession
from connectrpc.errors import ConnectError
client = create_client_from_env()
def tell(**seen): print(json.dumps(seen, default=str))
def call(name, **fields):
    request = ParseDict(fields, getattr(agent_pb2, name + "Request")())
    snake = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
    return MessageToDict(getattr(client.services.agent, snake)(request))
execution, task, mark = sys.argv[1:]
"""
OLD_SCRIPTS: Mapping[str, str] = {
    "reads": """
who = client.identity.get_authenticated_identity()
tell(name=get(execution).metadata.name, phase=get(execution).status.phase, subject=who.subject.id)
""",
    "pages": """
pages = agents.list_executions(page_size=2, filter={"annotations": {"conformance/run": mark}})
seen = []
for one in pages:
    seen.append(one.id)
    if len(seen) > 300:
        break
tell(seen=len(seen), different=len(set(seen)))
""",
    "errors": """
try:
    get("0190ffff-0000-7000-8000-00000000ffff")
    tell(error="none")
except APIStatusError as error:
    tell(error=type(error).__name__, status=error.status_code)
""",
    "watches": """
kind = {"resource_type": "RESOURCE_TYPE_AGENT_EXECUTION", "resource_ids": [execution]}
for event in client.events.watch(organization=True, resource_type_filters=[kind]):
    tell(resource=event.resource_id, operation=event.operation)
    break
""",
    "turn": """
say(execution, task)
kind = {"resource_type": "RESOURCE_TYPE_AGENT_EXECUTION", "resource_ids": [execution]}
phases = [get(execution).status.phase]
for event in client.events.watch(organization=True, resource_type_filters=[kind]):
    phases.append(get(execution).status.phase)
    if phases[-1] in ("PHASE_WAITING_FOR_INPUT", "PHASE_STOPPED"):
        break
tell(first=phases[0], last=phases[-1])
""",
}
NEW_SCRIPTS: Mapping[str, str] = {
    "reads": """
found = call("GetAgentExecution", agentExecutionId=execution)["agentExecution"]
who = client.services.identity.get_authenticated_identity(identity_pb2.GetAuthenticatedIdentityRequest())
tell(name=found["metadata"]["name"], phase=found["status"]["phase"], subject=who.subject.id)
""",
    "pages": """
seen, token = [], ""
while len(seen) < 300:
    found = call("ListAgentExecutions", pagination={"pageSize": 2, "token": token},
                 filter={"annotations": {"conformance/run": mark}})
    seen += [one["id"] for one in found.get("agentExecutions", [])]
    token = found.get("pagination", {}).get("nextToken", "")
    if not token:
        break
tell(seen=len(seen), different=len(set(seen)))
""",
    "errors": """
try:
    call("GetAgentExecution", agentExecutionId="0190ffff-0000-7000-8000-00000000ffff")
    tell(error="none")
except ConnectError as error:
    tell(error=type(error).__name__, code=getattr(error.code, "value", str(error.code)))
""",
    "watches": """
fields = {"organization": True, "resourceTypeFilters": [
    {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": [execution]}]}
for event in client.services.event.watch_events(ParseDict(fields, event_pb2.WatchEventsRequest())):
    told = MessageToDict(event)
    tell(resource=told["resourceId"], operation=told["operation"])
    break
""",
    "turn": """
session = AgentSession(client, execution)
session.send_message(task)
first = call("GetAgentExecution", agentExecutionId=execution)["agentExecution"]["status"]["phase"]
session.wait_running()
said = "".join(session.message_stream())
result = session.watch_result()
tell(first=first, last=agent_pb2.AgentExecution.Phase.Name(result.status.phase), said=len(said))
""",
}
SAYS: Mapping[str, str] = {
    "reads": "it reads an execution and who it is",
    "pages": "it turns the pages of a list to the end, each execution once",
    "errors": "it takes not_found for what it is",
    "watches": "it is told at once of what it watches",
    "turn": "it sends, sees the turn run, and reads and watches it to its end",
}


def look(sdk: Sdk, name: str, bench: Bench) -> None:
    """Run one script and judge what it saw."""
    if str(sdk) not in bench.clients:
        raise Skipped(f"--sdk {sdk} or --sdk all runs it")
    execution = bench.fresh_turn() if name == "turn" else bench.idle()
    if name == "turn":
        bench.rest(execution)
    if name == "pages":
        for number in range(4):
            bench.once(f"page {number}", bench.started)
    seen = run(sdk, name, bench, execution)
    match name:
        case "reads":
            expect(seen["name"], "hostler conformance", "metadata.name", seen)
            expect(len(str(seen["subject"])), 36, "the length of subject.id", seen)
        case "pages":
            if seen["seen"] != seen["different"] or seen["seen"] < 5:
                raise Failed(f"of {seen['seen']} executions on all pages {seen['different']} are different ones")
        case "errors":
            expect(seen.get("code", seen.get("status")), 404 if sdk.old else "not_found", "the error", seen)
        case "watches":
            wanted = (execution, "RESOURCE_OPERATION_UPDATE_STATUS")
            expect((seen["resource"], seen["operation"]), wanted, "the first event")
        case _:
            expect(seen["last"], "PHASE_WAITING_FOR_INPUT", "the last phase", seen)
            expect_in(seen["first"], ("PHASE_RUNNING", "PHASE_PENDING"), "the phase after the send", seen)


def run(sdk: Sdk, name: str, bench: Bench, execution: str) -> dict[str, Any]:
    """Run a script beside its client; return what it told last."""
    interpreter = python(sdk)
    script = OLD_BEGINNING + OLD_SCRIPTS[name] if sdk.old else NEW_BEGINNING + NEW_SCRIPTS[name]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
    url = bench.wire.url
    told = (
        {"GITPOD_BASE_URL": f"{url}/api/", "GITPOD_API_KEY": bench.wire.token}
        if sdk.old
        else {"ONA_BASE_URL": f"{url}/api", "ONA_API_KEY": bench.wire.token}
    )
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", script, execution, bench.task, bench.run],
            env={**inherited, **told},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"the client had not finished after {SECONDS:.0f} s") from None
    if done.returncode or not done.stdout.strip():
        raise Failed(f"the client ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def cache() -> Path:
    """Return the folder of the clients' environments."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hostler" / "sdk"


def python(sdk: Sdk) -> Path:
    """Return the interpreter that can import a client; Skipped when it cannot be installed."""
    home = cache() / f"{sdk}-py{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = home / "bin" / "python"
    if interpreter.exists():
        return interpreter
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{sdk}-") as scratch:
        aside = Path(scratch, "venv")
        _checked(sys.executable, "-m", "venv", str(aside))
        wanted = [f"{sdk.package}=={sdk.version}", *sdk.more]
        _checked(str(aside / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted)
        shutil.rmtree(home, ignore_errors=True)
        with suppress(OSError):
            aside.rename(home)  # fails if another run was faster; its environment is as good
    return interpreter


def _checked(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as fault:
        raise Skipped(f"the client could not be installed: {fault}") from fault
    if done.returncode:
        raise Skipped(f"the client could not be installed: {done.stderr.strip()[-300:]}")


for _sdk in SDKS.values():
    for _name, _says in SAYS.items():
        _look = partial(look, _sdk, _name)
        enter(Check(f"sdk.{_sdk}.{_name}", f"{_sdk}: {_says}", "the official clients, unmodified", _look))
