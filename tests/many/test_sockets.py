"""A WebSocket that another machine answers: bytes both ways, how it closes on either side, and who is let in."""

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from hostler.web.terminal import GONE, SIGNED_OUT
from tests.many.machines import Machine, Place

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.crash]
SECONDS = 40.0
ENVIRONMENTS = "EnvironmentService"


@pytest.fixture(scope="module")
def two(place: Place) -> list[Machine]:
    machines = [place.add().start() for _ in range(2)]
    first = machines[0]
    first.until(lambda: len(first.call("ListRunners", {}, "RunnerService")["runners"]) == 2)
    return machines


@pytest.fixture(scope="module")
def environment(two: list[Machine]) -> str:
    """One that the second machine holds."""
    _, b = two
    spec = {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}
    made: str = b.call("CreateEnvironment", {"spec": spec}, ENVIRONMENTS)["environment"]["id"]
    b.until(lambda: phase(b, made) == "ENVIRONMENT_PHASE_RUNNING")
    return made


def phase(machine: Machine, environment: str) -> str:
    return machine.call("GetEnvironment", {"environmentId": environment}, ENVIRONMENTS)["environment"]["status"][
        "phase"
    ]


@contextmanager
def terminal(
    machine: Machine, environment: str, name: str, token: str = "", query: str = "?open=1"
) -> Generator[ClientConnection]:
    """Look at a terminal of an environment through a machine."""
    url = f"ws{machine.url.removeprefix('http')}/environments/{environment}/terminals/{name}/socket{query}"
    headers = {"Authorization": f"Bearer {token or machine.token}"}
    with connect(url, additional_headers=headers, proxy=None) as page:
        yield page


def shows(page: ClientConnection, mark: bytes) -> None:
    """Return when the terminal has shown it."""
    seen = b""
    while mark not in seen:
        got = page.recv(timeout=SECONDS)
        seen += got if isinstance(got, bytes) else b""


def told(page: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while True:
        got = page.recv(timeout=SECONDS)
        if isinstance(got, str) and (said := json.loads(got))["type"] == kind:
            return said


def closed(page: ClientConnection) -> tuple[int, str]:
    """Return the code and the reason with which it is closed."""
    with pytest.raises(ConnectionClosed) as ended:
        while True:
            page.recv(timeout=SECONDS)
    assert ended.value.rcvd is not None, "it was closed properly"
    return ended.value.rcvd.code, ended.value.rcvd.reason


def complaints(machine: Machine) -> list[str]:
    """Return the lines of its log that only a mistake of our own leaves there."""
    lines = (machine.folder / "server.log").read_text().splitlines()
    return [one for one in lines if "Traceback" in one or "never retrieved" in one or "Exception in" in one]


def test_bytes_and_words_go_both_ways_as_they_are(two: list[Machine], environment: str):
    with terminal(two[0], environment, "both-ways") as page:
        assert told(page, "ready")
        page.send(json.dumps({"type": "ping"}))
        assert told(page, "pong")
        page.send(b"printf 'h\\303\\244-%s' $((6 * 7)); head -c 200000 /dev/zero | tr '\\0' x; echo end-$((1 + 1))\n")
        shows(page, b"h\xc3\xa4-42")
        shows(page, b"end-2")


def test_the_code_and_the_reason_of_the_holder_arrive(two: list[Machine], environment: str):
    with terminal(two[0], environment, "never-opened", query="") as page:
        passed_on = closed(page)
    with terminal(two[1], environment, "never-opened", query="") as page:
        assert closed(page) == passed_on
    assert passed_on[0] == GONE
    with terminal(two[0], environment, "that-exits") as page:
        page.send(b"exit 3\n")
        assert told(page, "exited")["code"] == 3
        assert closed(page)[0] == 1000


def test_a_page_that_leaves_leaves_the_shell_and_no_complaint(two: list[Machine], environment: str):
    a, _ = two
    with terminal(a, environment, "left-behind") as page:
        page.send(b"kept=$((40 + 2)); echo noted-$kept\n")
        shows(page, b"noted-42")
        page.close(4000, "going")
    with terminal(a, environment, "left-behind") as page:
        shows(page, b"noted-42")
        page.socket.shutdown(socket.SHUT_RDWR)  # As a browser that crashes: not a word, not even of the protocol.
    with terminal(a, environment, "left-behind") as page:
        page.send(b"echo still-$kept\n")
        shows(page, b"still-42")
    for one in two:
        assert not complaints(one)


def test_the_holder_decides_who_is_let_in(two: list[Machine], environment: str):
    a, _ = two
    made = json.loads(a.request("POST", "/api/hostler/v1/tokens", {"name": "page"}))
    with terminal(a, environment, "shared-one", made["token"]) as page:
        assert told(page, "ready")
        a.request("DELETE", f"/api/hostler/v1/tokens/{made['id']}")
        assert closed(page)[0] == SIGNED_OUT
    for token in (made["token"], "hostler_no"):
        with pytest.raises(InvalidStatus) as refused, terminal(a, environment, "shared-one", token):
            pass
        assert refused.value.response.status_code == 403


def test_a_page_is_told_when_the_holder_dies_and_finds_its_shell_again(two: list[Machine], environment: str):
    a, b = two
    with terminal(a, environment, "over-a-kill") as page:
        page.send(b"kept=$((40 + 2)); echo noted-$kept\n")
        shows(page, b"noted-42")
        b.kill()
        assert closed(page)[0] == 1011
    b.start()
    a.until(lambda: phase(a, environment) == "ENVIRONMENT_PHASE_RUNNING")

    def again() -> bool:
        try:
            with terminal(a, environment, "over-a-kill", query="") as page:
                page.send(b"echo still-$kept\n")
                shows(page, b"still-42")
                return True
        except (ConnectionClosed, InvalidStatus):
            return False

    a.until(again)
    assert not complaints(a)
