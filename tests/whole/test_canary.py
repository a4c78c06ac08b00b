"""Known secrets go through every channel, and are looked for in everything that comes out or is kept.

One server, three executions (the built-in agent, one whose provider refuses, and the real Codex), a terminal, commands,
prompts. Then a table of channels and surfaces: a cell that fails names both, and the form that was found.
"""

import base64
import http.client
import io
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.agents.codex.provider import provider
from tests.agents.codex.standing import CODEX
from tests.server import HostlerProcess, Refused, repository_at, short_folder
from tests.whole.canary import BIRDS_SING, CHANNELS, ENCODINGS, LONG, SHARED, SPLIT, forms
from tests.whole.canary_story import BIRDS, KEY, answered, said
from tests.whole.receiving import Receiver, receiving

pytestmark = [pytest.mark.sandbox, pytest.mark.crash, pytest.mark.timeout(600)]
CREDENTIAL = "cnry-of-the-code-host-0123456789"
HELD = ("token", "key", "secret-key")
"""Files of the data folder that hold secrets by purpose, for the server's own user only."""
INSIDE = ("environments",)
"""Folders of the inside: the repository's own files lie there, and what commands wrote before anybody looked."""
OURS = "/api/hostler/v1"


@dataclass
class Server:
    """The server under test, and what came out of it while it worked."""

    process: HostlerProcess
    executions: list[str] = field(default_factory=list)
    environment: str = ""
    surfaces: dict[str, bytes] = field(default_factory=dict)
    streams: list[threading.Thread] = field(default_factory=list)
    cookie: str = ""
    receiver: Receiver = field(default_factory=Receiver)
    """Who is told by webhooks and by telemetry."""

    @property
    def below(self) -> str:
        return f"/api/environments/{self.environment}/ops/supervisor.v1.EnvironmentOpsService"

    def opened(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.process.token}", "Content-Type": "application/json"}
        return urllib.request.urlopen(urllib.request.Request(f"{self.process.url}{path}", data, sent), timeout=120)

    def get(self, path: str, body: Any = None) -> bytes:
        try:
            with self.opened(path, body) as answer:
                return answer.read()
        except urllib.error.HTTPError as refused:
            self.keep("refusals", told := refused.read())
            raise Refused(refused.code, json.loads(told)) from None
        except http.client.HTTPException as broken:
            raise AssertionError(f"{path} broke: {self.process.said()}") from broken

    def page(self, path: str) -> bytes:
        """A page as a signed-in browser gets it."""
        if not self.cookie:
            request = urllib.request.Request(
                f"{self.process.url}/sign-in",
                json.dumps({"token": self.process.token}).encode(),
                {"Content-Type": "application/json", "Origin": self.process.url},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        request = urllib.request.Request(f"{self.process.url}{path}", headers={"Cookie": self.cookie})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def ops(self, method: str, **body: Any) -> bytes:
        return self.get(f"/api/environments/{self.environment}/ops/supervisor.v1.EnvironmentOpsService/{method}", body)

    def keep(self, surface: str, data: bytes | str) -> None:
        raw = data if isinstance(data, bytes) else data.encode()
        self.surfaces[surface] = self.surfaces.get(surface, b"") + raw

    def follow(self, path: str, surface: str, **headers: str) -> None:
        """Read a stream in the background, as the bytes come, until the server ends it."""

        def read() -> None:
            request = urllib.request.Request(f"{self.process.url}{path}", headers=headers)
            with suppress(OSError, http.client.HTTPException):
                with urllib.request.urlopen(request, timeout=600) as answer:
                    while piece := answer.read1(1 << 16):
                        self.keep(surface, piece)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self.streams.append(thread)

    def watch(self, execution: str) -> None:
        """Follow the live stream of an execution."""
        bearer = f"Bearer {self.process.token}"
        self.follow(f"/api/executions/{execution}/live?after=0&follow=1", STREAM, Authorization=bearer)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server through which every canary has flown."""
    with short_folder() as place, provider(answered) as model, receiving() as receiver:
        folder = place / "data"
        folder.mkdir(mode=0o711)
        codex = {"id": CODEX, "name": "codex", "driver": "codex", "model": "openai-responses:gpt-5.5"}
        env = {
            **model.endpoint.environ(),
            "ANTHROPIC_API_KEY": KEY,
            "HOSTLER_MODEL": "anthropic:claude-sonnet-4-5",
            "HOSTLER_SECRETS": json.dumps([bird.secret for bird in BIRDS.values()]),
            "HOSTLER_AGENTS": json.dumps([{"judgement_prompt": "Judge."}, codex]),
            "HOSTLER_PRIVATE_HOSTS": f"127.0.0.1:{receiver.port}",
            "HOSTLER_TELEMETRY__ENDPOINT": f"http://127.0.0.1:{receiver.port}",
        }
        served = Server(HostlerProcess(folder, env=env).start(), receiver=receiver)
        told = {"url": f"http://127.0.0.1:{receiver.port}/hook", "name": BIRDS["webhook-name"].said}
        served.get(f"{OURS}/webhooks", told)
        try:
            fly(served, repository(place))
            look(served)
            yield served
        finally:
            served.process.stop()


def repository(place: Path) -> Path:
    """Make a repository in which the canaries of commands and files lie."""
    files = place / "files"
    (files / "canaries").mkdir(parents=True)
    for bird in BIRDS.values():
        (files / bird.file).write_text(f"{bird.said}\n")
    edited = BIRDS["file-edited"]
    (files / edited.file).write_text(f"one {edited.said}\ntwo\n{edited.said} four\n")
    (files / "birds.py").write_text(BIRDS_SING)
    (files / ".ona" / "skills" / "birds").mkdir(parents=True)
    head = f"---\nname: birds\ndescription: {json.dumps(said('skill-described'))}\n---\n"
    (files / ".ona" / "skills" / "birds" / "SKILL.md").write_text(f"{head}\nSing {said('skill')}\n")
    servers = {"mcpServers": {"birds": {"command": "python3", "args": ["birds.py"]}}}
    (files / ".ona" / "mcp-config.json").write_text(json.dumps(servers))
    (files / "AGENTS.md").write_text(f"Mind {said('instructions')}\n")
    for name, program in (("split.py", SPLIT), ("encodings.py", ENCODINGS), ("long.py", LONG)):
        (files / name).write_text(program)
    (files / ".devcontainer").mkdir()
    container = {"image": "debian", "onCreateCommand": f"cat {BIRDS['setup-output'].file}"}
    (files / ".devcontainer" / "devcontainer.json").write_text(json.dumps(container))
    return repository_at(place / "project", files)


def fly(server: Server, project: Path) -> None:
    """Let every canary through its channel."""
    process = server.process
    runner = json.loads(server.get(f"{OURS}/info"))["runnerId"]
    process.call(
        "CreateHostAuthenticationToken",
        {
            "runnerId": runner,
            "host": "git.example",
            "token": CREDENTIAL,
            "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT",
        },
        "RunnerConfigurationService",
    )
    known = f"{process.token} {CREDENTIAL} {KEY}"
    execution = process.start_agent(f"{said('message')} {known}", project, name=f"{said('name')}"[:100])
    server.executions.append(execution)
    server.watch(execution)
    note = {"annotations": {"note": f"{said('annotation')} {known}"}}
    process.call("UpdateAgentExecution", {"agentExecutionId": execution, "metadata": note})
    process.until(lambda: any(kind == "ToolStarted" for kind, _ in process.log(execution)))
    server.environment = process.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    queue(server, execution)
    (process.folder / "environments" / server.environment / "files" / "work" / "go").touch()
    process.rest(execution)
    by_hand(server)
    refused = process.start_agent("refuse this", project)
    server.executions.append(refused)
    process.rest(refused)
    inside = process.start_agent(said("agent-message"), project, agentId=CODEX)
    server.executions.append(inside)
    server.watch(inside)
    process.rest(inside)
    named(server, execution)
    prompt = {"name": "one", "description": "a prompt", "prompt": said("prompt")}
    process.call("CreatePrompt", prompt)
    for one in (execution, inside):
        process.until(lambda one=one: any(kind.startswith("Work") for kind, _ in process.log(one)))
    die_while_speaking(server, project)


def named(server: Server, execution: str) -> None:
    """Give things names, and say something as the page does."""
    server.get(f"{OURS}/executions/{execution}/shares", {"may": "view", "name": BIRDS["share-name"].secret[:60]})
    server.get(f"{OURS}/tokens", {"name": said("token-name")[:100], "scope": "read"})
    name = {"environmentId": server.environment, "metadata": {"name": BIRDS["environment-name"].secret[:80]}}
    server.process.call("UpdateEnvironment", name, "EnvironmentService")
    text = {"text": {"content": said("input-of-the-page")}}
    server.get(f"{OURS}/executions/{execution}/inputs", {"userInput": {"inputs": [text]}})
    server.process.rest(execution)
    server.process.send(execution, f"!cat {BIRDS['typed'].file}")
    server.process.rest(execution)
    goal = {"set": {"objective": said("goal"), "status": "GOAL_STATUS_PAUSED"}}
    server.process.call("SendToAgentExecution", {"agentExecutionId": execution, "controlInput": {"goal": goal}})


def die_while_speaking(server: Server, project: Path) -> None:
    """Kill the server while the model speaks, and look at what it left behind at that moment."""
    process = server.process
    execution = process.start_agent("hold this", project)
    server.executions.append(execution)
    server.watch(execution)
    process.until(lambda: b"mark.spoken" in frames_of(server.surfaces.get(STREAM, b"")))
    process.kill()
    kept(server, "after kill -9: ")
    process.start()
    process.rest(execution)


def queue(server: Server, execution: str) -> None:
    """Send something that has to wait, put something else in its place, and leave another one waiting."""
    waiting = {"inputs": [{"text": {"content": "replace this one"}}], "id": "11111111-2222-4333-8444-555555555555"}
    server.process.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": waiting})
    server.get(f"{OURS}/executions/{execution}/queue/{waiting['id']}/edit", {"text": said("edited")})
    server.process.send(execution, said("queued"))


def by_hand(server: Server) -> None:
    """Work in the environment as a person does: a command, a file, a terminal."""
    server.keep("Exec", server.ops("Exec", command=f"cat {BIRDS['exec'].file}; python3 encodings.py"))
    read = json.loads(server.ops("ReadFile", path=BIRDS["exec"].file))
    server.keep("ReadFile", base64.b64decode(read["content"]["data"]) + json.dumps(read).encode())
    server.keep("GetGitDiff", server.ops("GetGitDiff", path=BIRDS["file-edited"].file))
    terminal = json.loads(server.ops("CreateTerminal", shell="/bin/sh", initialCols=200, initialRows=50))["terminalId"]
    typed = base64.b64encode(f"cat {BIRDS['terminal'].file}; python3 split.py; echo over-$((1+1))\n".encode()).decode()
    with server.opened(f"{server.below}/AttachTerminal", {"terminalId": terminal}) as stream:
        server.ops("WriteTerminal", terminalId=terminal, data=typed)
        while b"over-2" not in server.surfaces.get(TERMINAL, b""):
            told = json.loads(stream.readline())
            server.keep(TERMINAL, base64.b64decode((told.get("data") or told.get("replay", {})).get("data", "")))
    server.ops("CloseTerminal", terminalId=terminal)


TERMINAL = "a terminal as it came"
EVENTS = "the page's events"
STREAM = "the live stream as it came"


def look(server: Server) -> None:
    """Gather everything that comes out, for people and for programs."""
    process = server.process
    first = server.executions[0]
    for execution in server.executions:
        documents(server, execution)
        pages(server, execution)
    server.follow(f"/executions/{first}/events?after=0", EVENTS, Cookie=server.cookie)
    process.until(lambda: b"mark.questions" in server.surfaces.get(EVENTS, b""))
    for path in ("/", "/environments", "/prompts", "/usage", f"/environments/{server.environment}"):
        with suppress(urllib.error.HTTPError):
            server.keep(f"the page {path.partition('/0')[0]}", server.page(path))
    for name in ("ListAgentExecutions", "ListPrompts"):
        server.keep(name, json.dumps(process.call(name)))
    operated(server)
    server.keep("the tokens", server.get(f"{OURS}/tokens"))
    server.keep("the log of an environment", server.get(f"/api/environments/{server.environment}/logs"))
    server.keep("GetEnvironment", json.dumps(got(process, server.environment)))
    words = [sys.executable, "-m", "hostler", "show", first, "--json", "--data-dir", str(process.folder)]
    server.keep("hostler show --json", subprocess.run(words, capture_output=True, check=True).stdout)
    words = [sys.executable, "-m", "hostler", "watch", first, "--since", "start", "--data-dir", str(process.folder)]
    server.keep("hostler watch", subprocess.run(words, capture_output=True).stdout)
    process.stop()
    for thread in server.streams:
        thread.join(30)
    server.keep("frames as they came", frames_of(server.surfaces[STREAM]))
    for posted in server.receiver.posted:
        server.keep("telemetry" if posted.path.startswith("/v1/") else "webhooks as they came", posted.body)
    server.keep("the server's log", (process.folder / "server.log").read_bytes())
    kept(server)


def operated(server: Server) -> None:
    """Gather what operators see: metrics, the audit log, webhooks, maintenance mode."""
    words = [sys.executable, "-m", "hostler", "maintenance", "on", "--message", BIRDS["maintenance"].said]
    subprocess.run([*words, "--data-dir", str(server.process.folder)], capture_output=True, check=True)
    server.keep("maintenance mode", server.get(f"{OURS}/maintenance"))
    server.process.until(lambda: b"mark.maintenance." in server.page("/usage"))
    server.keep("the page in maintenance", server.page("/usage"))
    server.keep("metrics", server.get("/metrics"))
    server.keep("the audit log", server.get(f"{OURS}/audit?limit=1000"))
    server.keep("the webhooks", listed := server.get(f"{OURS}/webhooks"))
    webhook = json.loads(listed)["webhooks"][0]["id"]
    server.keep("the deliveries", server.get(f"{OURS}/webhooks/{webhook}/deliveries"))


def got(process: HostlerProcess, environment: str) -> dict[str, Any]:
    return process.call("GetEnvironment", {"environmentId": environment}, "EnvironmentService")


def documents(server: Server, execution: str) -> None:
    below = f"/api/executions/{execution}"
    server.keep("the live stream", live := server.get(f"{below}/live?after=0"))
    server.keep("decoded frames", frames_of(live))
    server.keep("the live stream as JSON", server.get(f"{below}/live?after=0&format=json"))
    server.keep("history", server.get(f"{below}/history?format=json"))
    for form in ("jsonl", "md"):
        server.keep(f"transcript {form}", server.get(f"{below}/transcript?format={form}&tree=1"))
    for form in ("json", "md", "html"):
        server.keep(f"export {form}", server.get(f"{below}/export?format={form}&tree=1"))
    with zipfile.ZipFile(io.BytesIO(server.get(f"{below}/bundle"))) as archive:
        for name in archive.namelist():
            server.keep(f"bundle {name.partition('/')[2]}", archive.read(name))
    for name in ("", "/log", "/shares", "/calls", "/replay", "/diff", "/diff?turn=1"):
        with suppress(Refused):
            server.keep(f"executions/ID{name}", server.get(f"{OURS}/executions/{execution}{name}"))
    server.keep("GetAgentExecution", json.dumps(server.process.get(execution)))
    for kind, body in server.process.log(execution):
        if kind == "ToolFinished" and body["output"]:
            server.keep("blobs", server.get(f"{below}/blobs/{body['output']}"))


def frames_of(stream: bytes) -> bytes:
    """What the frames of a stream hold, as far as they are whole."""
    lines = [line[6:] for line in stream.split(b"\n")[:-1] if line.startswith(b'data: {"frame"')]
    return b"\n".join(base64.b64decode(json.loads(line)["frame"]) for line in lines)


def pages(server: Server, execution: str) -> None:
    for path in ("", "/panel", "/tail", "?as=visitor"):
        with suppress(urllib.error.HTTPError):
            server.keep(f"the conversation page {path}", server.page(f"/executions/{execution}{path}"))


def kept(server: Server, when: str = "") -> None:
    """Take every file of the data folder but those that are meant to hold secrets, and the inside."""
    folder = server.process.folder
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if file.is_file() and not file.is_symlink() and place.parts[0] not in INSIDE and str(place) not in HELD:
            server.keep(f"{when}the file {place.parts[0]}", file.read_bytes())


Secrets = Callable[[HostlerProcess], str]
KNOWN: Mapping[str, Secrets] = {
    **{channel: (lambda _, bird=bird: bird.secret) for channel, bird in BIRDS.items()},
    "model-key": lambda _: KEY,
    "host-credential": lambda _: CREDENTIAL,
    "api-token": lambda process: process.token,
}


@pytest.mark.parametrize("channel", [*CHANNELS, *SHARED])
def test_a_secret_that_came_in_here_is_seen_nowhere(server: Server, channel: str) -> None:
    needles = list(forms(KNOWN[channel](server.process)))
    leaks = [
        f"{channel} is in {surface} as {form}: {excerpt(data, needle)}"
        for surface, data in server.surfaces.items()
        for form, needle in needles
        if needle in data
    ]
    assert not leaks, "\n".join(leaks)


def excerpt(data: bytes, needle: bytes) -> str:
    at = data.index(needle)
    return repr(data[max(0, at - 80) : at + len(needle) + 20])


WHERE: Mapping[str, tuple[str, ...]] = {
    "terminal": (TERMINAL,),
    "exec": ("Exec", "ReadFile"),
    "prompt": ("ListPrompts",),
    "share-name": ("executions/ID/shares",),
    "environment-name": ("GetEnvironment",),
    "token-name": ("the tokens",),
    "file-edited": ("GetGitDiff", "executions/ID/diff"),
    "setup-output": ("the log of an environment",),
    "webhook-name": ("the webhooks",),
    "maintenance": ("maintenance mode", "the page in maintenance"),
}
"""Where a channel's mark must be seen; of the others, in the log of an execution."""
SHORT = ("share-name", "environment-name")
"""Channels that have no room for a mark beside the secret."""


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_channel_was_open(server: Server, channel: str) -> None:
    for surface in WHERE.get(channel, ("executions/ID/log",)):
        mark = b'"name": "[redacted]"' if channel in SHORT else BIRDS[channel].mark.encode()
        assert mark in server.surfaces[surface].replace(b'":"', b'": "'), surface


def test_every_surface_was_looked_at(server: Server) -> None:
    wanted = {
        STREAM,
        "frames as they came",
        "after kill -9: the file said",
        "export html",
        EVENTS,
        "decoded frames",
        "history",
        "blobs",
        "transcript jsonl",
        "export json",
        "bundle log.jsonl",
        "bundle server-log.jsonl",
        "the conversation page ",
        "hostler show --json",
        "the server's log",
        "metrics",
        "the audit log",
        "webhooks as they came",
        "telemetry",
        "the file hostler.db",
        "the file blobs",
        "the file kept",
    }
    assert wanted <= {name for name, data in server.surfaces.items() if data}
