"""`hostler env exec`: a command inside an environment, its streams passed through as they come."""

import base64
import contextlib
import io
import json as json_text
import os
import shlex
import sys
import threading
import time
import uuid
from typing import Annotated, Any, TextIO

import typer

from hostler.cli import places
from hostler.cli.chosen import Environment, Way, find
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, Unreachable, usage
from hostler.cli.screen import emit, note
from hostler.cli.stream import PAUSES, TRIES

Json = dict[str, Any]
LONGEST = 24 * 3600
QUIET = 45.0
"""Seconds without a byte after which a connection counts as broken; the server says something every 15."""
PART = 256 << 10
"""Bytes of input that are sent at a time."""
SOON = 0.05
"""Seconds before input is offered again to a command that was not there yet, or did not read."""
INTERRUPTED = 130


def exec_(
    environment: Environment,
    command: Annotated[list[str], typer.Argument(metavar="CMD...", help="The program and its arguments.")],
    workdir: Annotated[str, typer.Option("--workdir", "-w", help="Where it runs; the workspace otherwise.")] = "",
    timeout: Annotated[int, typer.Option(min=1, max=LONGEST, help="Seconds after which it is killed.")] = 120,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE", help="Set a variable.")] = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", "-n", help="Do not pass standard input.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run a command inside an environment: its output, input and exit code are passed through. Options go before ENV.

    Standard input is passed unless it is a terminal (`hostler env shell` is for those). Ctrl-C ends the command.

    Examples:

        hostler env exec 0198c2 -- pytest -q

        hostler env exec --timeout 600 0198c2 -- sh -c 'make && make test'

        tar c data | hostler env exec 0198c2 -- tar x
    """
    client = Client(places.find(data_dir))
    words = command[1:] if command and command[0] == "--" else command
    if not words:
        raise usage("there is no command after --")
    passed = not no_stdin and not sys.stdin.isatty()
    body = {
        "operationId": str(uuid.uuid4()),
        "command": shlex.join(words),
        "workingDirectory": workdir,
        "timeoutSeconds": timeout,
        "env": dict(_pair(one) for one in env or []),
        "input": passed,
    }
    running = Running(client, find(client, environment), body, collect=json)
    code = running.run()
    if json:
        said = {name: data.decode(errors="replace") for name, data in running.collected.items()}
        emit({"exitCode": code, "stdout": said["out"], "stderr": said["err"]})
    raise typer.Exit(code & 0xFF)


class Running:
    """One command; a connection that breaks is taken up by its id: it never runs twice, nothing is shown twice."""

    def __init__(self, client: Client, environment: str, body: Json, *, collect: bool) -> None:
        self._client = client
        self._environment = environment
        self._body = body
        self._collect = collect
        self._known = {"out": 0, "err": 0}
        self._over = threading.Event()
        self._feeding: threading.Thread | None = None
        self.collected = {"out": b"", "err": b""}

    def run(self) -> int:
        """Return the exit code."""
        try:
            return self._run()
        except KeyboardInterrupt:
            with contextlib.suppress(Problem):
                operation = {"operationId": self._body["operationId"]}
                Way(self._client, self._environment).call("CancelExec", operation)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            self._over.set()

    def _run(self) -> int:
        for attempt in range(TRIES):
            try:
                return self._connected()
            except Problem as problem:
                if not isinstance(problem, Unreachable) and problem.code != "unavailable":
                    raise
                note(f"{problem.message}; reconnecting", "yellow")
                time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
                self._client.find_again()
        raise Unreachable("the server stays away; the command may have run")

    def _connected(self) -> int:
        body = {**self._body, "outOffset": self._known["out"], "errOffset": self._known["err"]}
        with self._client.open("POST", self._path(), body, timeout=QUIET) as reply:
            if self._body["input"] and self._feeding is None:
                self._feeding = threading.Thread(target=self._feed, daemon=True)
                self._feeding.start()
            for text in reply.lines():
                line: Json = json_text.loads(text)
                if "error" in line:
                    raise Problem(str(line["error"].get("message", "")), code=str(line["error"].get("code", "")))
                if "exitCode" in line:
                    if line.get("note"):
                        self._show("err", f"{line['note']}\n".encode())
                    return int(line["exitCode"])
                if "incarnation" in line:
                    self._body["incarnation"] = line["incarnation"]
                if "stream" in line:
                    self._show(line["stream"], base64.b64decode(line["data"]))
                    self._known[line["stream"]] = int(line["next"])
        raise Unreachable("the stream broke off")

    def _path(self) -> str:
        return f"/api/hostler/v1/environments/{self._environment}/exec"

    def _show(self, stream: str, data: bytes) -> None:
        if self._collect:
            self.collected[stream] += data
        else:
            write(sys.stderr if stream == "err" else sys.stdout, data)

    def _feed(self) -> None:
        """Send standard input, part by part, until its end or the command's."""
        sent = 0
        while not self._over.is_set():
            part = read_input()
            taken = self._send(part, sent)
            if taken < 0 or not part:
                return
            sent += len(part)

    def _send(self, part: bytes, offset: int) -> int:
        """Send one part, as often as it takes; an empty one is the end. Below 0: the command reads no more."""
        base = f"{self._path()}/{self._body['operationId']}/input"
        end = offset + len(part)
        last = "" if part else "1"
        while not self._over.is_set():
            try:
                url = f"{base}?offset={offset}&last={last}"
                answer = json_text.loads(self._client.request("POST", url, part[len(part) - (end - offset) :]))
            except Problem as problem:
                if not isinstance(problem, Unreachable) and problem.code not in ("not_found", "unavailable"):
                    return -1
                self._over.wait(SOON)
                continue
            if answer.get("ended"):
                return -1
            offset = int(answer["taken"])
            if offset >= end:
                return offset
        return -1


def read_input() -> bytes:
    """Return what comes next on standard input; nothing at its end."""
    try:
        return os.read(sys.stdin.fileno(), PART)
    except (io.UnsupportedOperation, ValueError):  # A program that runs us has put something else in its place.
        return sys.stdin.read(PART).encode()
    except OSError:
        return b""


def write(stream: TextIO, data: bytes) -> None:
    """Write bytes as they are, at once."""
    raw = getattr(stream, "buffer", None)
    if raw is None:
        stream.write(data.decode(errors="replace"))
    else:
        stream.flush()
        raw.write(data)
    stream.flush()


def _pair(given: str) -> tuple[str, str]:
    name, sign, value = given.partition("=")
    if not name or not sign:
        raise usage(f"--env: write NAME=VALUE, not {given!r}")
    return name, value
