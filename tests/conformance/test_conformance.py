"""Our own server passes every check, and a server that breaks one promise fails just the checks that are about it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostler.conformance.running import Options, chosen, made
from tests.conformance.breaking import Broken, Exchange, broken
from tests.server import HostlerProcess, short_folder

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("pages", "filters", "start", "delete")
WIRE = ("wire",)
EVENTS = ("events.json-lines", "events.first", "events.update", "events.delete", "events.others-are-not-told")
STREAM = ("stream.frames", "stream.ends", "stream.resumes", "stream.access")


@pytest.fixture(scope="module")
def server() -> Iterator[HostlerProcess]:
    with short_folder() as folder:
        server = HostlerProcess(folder, settle=1.0).start()
        yield server
        server.close()


def command(*words: str, token: str = "") -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    env = {**clean, "HOSTLER_TOKEN": token, "HOSTLER_SDK_CACHE": str(ROOT / ".cache" / "sdk")}
    asked = [sys.executable, "-m", "hostler", "conformance", *words]
    return subprocess.run(asked, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.sdk
@pytest.mark.timeout(600)
def test_our_own_server_passes_every_check_and_nothing_is_left_behind(server: HostlerProcess) -> None:
    done = command(server.url, "--json", "--patience", "30", token=server.token)
    report = json.loads(done.stdout)
    assert [one for one in report["results"] if one["state"] != "ok"] == [], done.stderr
    assert len(report["results"]) == len(chosen()) > 100
    assert (done.returncode, report["failed"], report["skipped"]) == (0, 0, 0)
    assert left(server) == []


def left(server: HostlerProcess) -> list[str]:
    executions = server.call("ListAgentExecutions").get("agentExecutions", [])
    prompts = server.call("ListPrompts", {"filter": {"search": "conformance"}}).get("prompts", [])
    everything = {"filter": {"archivalStatus": "ARCHIVAL_STATUS_ALL"}}
    environments = server.call("ListEnvironments", everything, "EnvironmentService").get("environments", [])
    return [str(one["id"]) for one in (*executions, *prompts, *environments) if not going(one)]


def going(one: dict[str, Any]) -> bool:
    """Whether an environment is on its way out."""
    return "DELET" in str(one.get("status", {}).get("phase", ""))


def no_query_token(passed: Exchange) -> None:
    passed.path = re.sub(r"\?token=[^&]*&?", "?", passed.path)


def status(old: int, new: int) -> Callable[[Exchange], None]:
    def change(passed: Exchange) -> None:
        passed.status = new if passed.status == old else passed.status

    return change


def without(name: str) -> Callable[[Exchange], None]:
    def change(passed: Exchange) -> None:
        passed.answer_headers.pop(name, None)

    return change


def said(old: bytes, new: bytes, path: str = "") -> Callable[[Exchange], None]:
    def change(passed: Exchange) -> None:
        if path in passed.path:
            passed.data = passed.data.replace(old, new)

    return change


def asked(old: bytes, new: bytes, path: str = "") -> Callable[[Exchange], None]:
    def change(passed: Exchange) -> None:
        if path in passed.path:
            passed.body = passed.body.replace(old, new)

    return change


def strict(passed: Exchange) -> None:
    passed.body = b"{no" if b"fieldOfTomorrow" in passed.body else passed.body


def anybody(token: str) -> Callable[[Exchange], None]:
    def change(passed: Exchange) -> None:
        if passed.headers.get("authorization") == "Bearer no-such-token":
            passed.headers["authorization"] = f"Bearer {token}"

    return change


def deaf(passed: Exchange) -> None:
    if "DeleteAgentExecution" in passed.path and passed.status == 404:
        passed.status, passed.data = 200, b"{}"


def in_lines(passed: Exchange) -> bool:
    return passed.answer_headers.get("content-type") == "application/jsonl"


def no_blanks(passed: Exchange, piece: bytes) -> bytes:
    return piece if piece.strip() or not in_lines(passed) else b""


def blank_lines(passed: Exchange, piece: bytes) -> bytes:
    return piece if piece.strip() or not in_lines(passed) else b"\n"


def lines(old: bytes, new: bytes) -> Callable[[Exchange, bytes], bytes]:
    def change(passed: Exchange, piece: bytes) -> bytes:
        return piece.replace(old, new) if in_lines(passed) else piece

    return change


def sse(old: bytes, new: bytes) -> Callable[[Exchange, bytes], bytes]:
    def change(passed: Exchange, piece: bytes) -> bytes:
        return piece.replace(old, new) if "event-stream" in passed.answer_headers.get("content-type", "") else piece

    return change


def from_the_beginning(passed: Exchange) -> None:
    passed.headers.pop("last-event-id", None)


MUTANTS: dict[str, tuple[Broken, tuple[str, ...], set[str]]] = {
    "the query's page is not read": (Broken(no_query_token), PAGES, {"pages.query"}),
    "an unknown method is 404": (Broken(answer=status(501, 404)), WIRE, {"wire.unknown-method"}),
    "refusals say nothing of retries": (Broken(answer=without("x-should-retry")), WIRE, {"wire.refusals-are-final"}),
    "unknown fields are refused": (Broken(strict), WIRE, {"wire.unknown-fields-json"}),
    "invalid_argument is 422": (
        Broken(answer=status(400, 422)),
        ("wire.bad-json", "wire.bad-enum", "wire.json", "wire.not-found", "rules.GetPrompt"),
        {"wire.bad-json", "wire.bad-enum", "rules.GetPrompt.promptId"},
    ),
    "only the first pair of a filter counts": (
        Broken(asked(b'"number": "0"', b'"odd": "0"', "List")),
        PAGES,
        {"filters.annotations"},
    ),
    "a page may be larger": (
        Broken(asked(b'"pageSize": 101', b'"pageSize": 100', "ListAgentExecutions")),
        ("rules.ListAgentExecutions", "rules.ListPrompts"),
        {"rules.ListAgentExecutions.pagination.pageSize"},
    ),
    "a second Delete succeeds": (Broken(answer=deaf), (*PAGES, *WIRE), {"wire.not-found", "delete.removes"}),
    "gRPC-Web says no status": (
        Broken(
            answer=said(b"grpc-status", b"grpc-stutas"),
            piece=lambda _, piece: piece.replace(b"grpc-status", b"grpc-stutas"),
        ),
        WIRE,
        {"wire.grpc-web"},
    ),
    "the first events are of changes": (
        Broken(piece=lines(b"RESOURCE_OPERATION_UPDATE_STATUS", b"RESOURCE_OPERATION_UPDATE")),
        EVENTS,
        {"events.first"},
    ),
    "nobody is told of a delete": (
        Broken(piece=lines(b"RESOURCE_OPERATION_DELETE", b"RESOURCE_OPERATION_UPDATE_STATUS")),
        EVENTS,
        {"events.delete"},
    ),
    "nothing keeps a stream alive": (Broken(piece=no_blanks), (*EVENTS, "events.keep-alive"), {"events.keep-alive"}),
    "blank lines keep it alive": (Broken(piece=blank_lines), (*EVENTS, "events.keep-alive"), {"events.keep-alive"}),
    "it waits before it was asked": (
        Broken(answer=said(b"PHASE_PENDING", b"PHASE_WAITING_FOR_INPUT", "GetAgentExecution")),
        ("start", "turns.never-waiting-before-the-first", "turns.empty-input"),
        {"turns.never-waiting-before-the-first"},
    ),
    "a stream has no end": (Broken(piece=sse(b"event: end", b"event: over")), STREAM, {"stream.ends"}),
    "a stream begins anew": (Broken(from_the_beginning), STREAM, {"stream.resumes"}),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_promise_fails_the_checks_that_are_about_it_and_no_other(server: HostlerProcess, name: str) -> None:
    how, only, wanted = MUTANTS[name]
    patience = 17.0 if "events.keep-alive" in only else 5.0
    with broken(server.url, how) as url:
        results = list(made(url, server.token, Options(only=only, patience=patience), pytest.fail))
    failed = {one.name: one.seen for one in results if one.state == "failed"}
    assert failed.keys() == wanted, failed
    assert len(results) > len(wanted)
    assert all(failed.values())


def test_who_takes_any_token_is_found_out(server: HostlerProcess) -> None:
    with broken(server.url, Broken(anybody(server.token))) as url:
        results = list(made(url, server.token, Options(only=WIRE), pytest.fail))
    assert {one.name for one in results if one.state == "failed"} == {"wire.unauthenticated", "wire.grpc-web"}


def test_the_report_names_the_rule_and_what_was_seen(server: HostlerProcess) -> None:
    with broken(server.url, Broken(answer=status(501, 404))) as url:
        done = command(url, "--only", "wire.unknown-method", "--only", "wire.json", "--sdk", "none", token=server.token)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "ok      wire.json: JSON over plain POST is answered with JSON",
        "FAILED  wire.unknown-method: A method that is not served is unimplemented, in Connect's form",
        "        rule: hazard 7",
        *[line for line in done.stdout.splitlines() if line.startswith("        seen: ") and "404" in line],
        "1 ok, 1 failed, 0 skipped",
    ]
    assert "404" in done.stdout


def test_what_is_asked_for_wrongly_is_a_matter_of_usage() -> None:
    for words in ([], ["http://127.0.0.1:1"], ["--only", "nothing", "http://127.0.0.1:1", "--token", "x"]):
        assert command(*words).returncode == 2
    listed = command("--list", "--only", "wire.json")
    assert (listed.returncode, listed.stdout) == (
        0,
        "wire.json: JSON over plain POST is answered with JSON [wire details]\n",
    )
    unreachable = command("http://127.0.0.1:1", "--only", "wire.json", "--token", "x")
    assert unreachable.returncode == 1
    assert "the connection broke" in unreachable.stdout


def test_without_an_agent_that_answers_checks_of_turns_are_skipped_with_the_reason(server: HostlerProcess) -> None:
    how = Broken(answer=said(b"PHASE_WAITING_FOR_INPUT", b"PHASE_STOPPED", "GetAgentExecution"))
    with broken(server.url, how) as url:
        results = list(made(url, server.token, Options(only=("turns.end-waiting", "stop.in-a-turn")), pytest.fail))
    assert [one.state for one in results] == ["skipped", "skipped"], results
    assert "--agent" in results[0].seen
