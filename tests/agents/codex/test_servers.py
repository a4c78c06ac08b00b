"""MCP servers of the repository and of the configuration, used by the real Codex in a sandbox."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from hostler.testing import mcp_fake
from hostler.testing.answers import Called, Reply
from tests.agents.codex.provider import in_order, provider
from tests.agents.codex.standing import MODEL, Run
from tests.server import HostlerProcess, short_folder
from tests.whole.test_mcp import far, phases, running

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]
FAR = "http://mcp.example.org/mcp"


def calls(server: str, tool: str, **arguments: str) -> Reply:
    return Reply("", calls=(Called(tool, json.dumps(arguments), f"call_{server}_{tool}", namespace=f"mcp__{server}"),))


@contextmanager
def upstream(port: int) -> Generator[str]:
    """A proxy that the server itself must use, for which every site is the one on this port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as site:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=copy, args=(site, client), daemon=True)
            back.start()
            copy(client, site)
            back.join()

    def listen() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def begun(*steps: Reply, **theirs: Any) -> Generator[Run]:
    """A server whose configuration names a server that is reached, and a repository that names one that runs inside."""
    with short_folder() as place, far() as port, upstream(port) as proxy, provider(in_order(*steps)) as model:
        files = place / "project"
        (files / ".ona").mkdir(parents=True)
        shutil.copy(mcp_fake.__file__, files / "fake.py")
        fake = {"command": "python3", "args": ["fake.py"], "env": {"FAKE_SECRET": "${exec:printf hidden-; echo value}"}}
        (files / ".ona" / "mcp-config.json").write_text(json.dumps({"mcpServers": {"fake": fake, **theirs}}))
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*identity, "commit", "-q", "-m", "first")):
            subprocess.run(["git", *words], cwd=files, check=True, capture_output=True)
        folder = place / "data"
        folder.mkdir(mode=0o711)
        ours = {"far": {"url": FAR, "headers": {"X-Token": "t"}, "tool_deny_list": ["big"]}}
        env = {
            **model.endpoint.environ(),
            "HOSTLER_MODEL": MODEL,
            "HOSTLER_MCP": json.dumps(ours),
            "HOSTLER_ALLOW": json.dumps(["mcp.example.org"]),
            "HTTPS_PROXY": proxy,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        server = HostlerProcess(folder, env).start()
        try:
            yield Run(server, model)
        finally:
            server.close()


def results(run: Run) -> list[tuple[str, str, str]]:
    return [(body["item"], body["outcome"], body["text"]) for body in run.log("ActionFinished")]


def test_codex_calls_servers_inside_and_outside_and_says_how_they_stand() -> None:
    steps = (calls("fake", "echo", text="inside"), calls("far", "echo", text="outside"), calls("fake", "secret"))
    with begun(*steps, calls("far", "big"), Reply("Done."), wild={"command": "python3", "toolDenyList": ["e*"]}) as run:
        run.start("go")
        run.rest()
        assert phases(run.server, run.id) == {"fake": "READY", "far": "READY", "wild": "FAILED"}
        assert run.texts() == ["Done."]
        assert results(run) == [
            ("call_fake_echo", "ok", "inside"),
            ("call_far_echo", "ok", "outside"),
            ("call_fake_secret", "ok", "[redacted]"),
        ]
        assert "hidden-value" not in json.dumps(run.server.log(run.id))


def test_a_server_that_ends_in_a_call_fails_it_and_codex_goes_on() -> None:
    with begun(calls("fake", "die"), Reply("It is gone.")) as run:
        run.start("go")
        status = run.rest()
        assert status["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert [outcome for _, outcome, _ in results(run)] == ["failed"]
        assert run.texts() == ["It is gone."]
    assert not running("fake.py")
