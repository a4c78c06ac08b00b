"""Three machines on one Postgres, for each module."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.testing.postgres import ThrowAwayPostgres, throw_away_postgres
from tests.many.machines import Machine, Network, Place, network
from tests.server import short_folder

BASH = {"name": "bash"}


def bash(command: str) -> dict:
    """A step of a script that runs one command."""
    return {"calls": [{**BASH, "arguments": {"command": command}}]}


SCRIPT = {
    "rules": [
        {"match": "run: (?P<command>.+)", "steps": [bash("${command}"), {"text": "Done."}]},
        {
            "match": "work (?P<mark>\\w+)",
            "steps": [
                bash("echo ${mark}-1 >> ${mark}; sleep 0.5"),
                bash("echo ${mark}-2 >> ${mark}; until [ -e go ]; do sleep 0.1; done"),
                bash("echo ${mark}-3 >> ${mark}; sleep 0.5"),
                bash("echo ${mark}-4 >> ${mark}"),
                {"text": "Done."},
            ],
        },
        {
            "match": "three (?P<mark>\\w+)",
            "steps": [*(bash(f"echo {n} >> ${{mark}}; sleep 0.3") for n in (1, 2, 3)), {"text": "Done."}],
        },
        {
            "match": "count (?P<mark>\\w+)",
            "steps": [*(bash(f"echo {n} >> ${{mark}}") for n in range(1, 60)), {"text": "Done."}],
        },
        {"match": "", "steps": [{"text": "Hello there."}]},
    ]
}


@pytest.fixture(scope="session")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(scope="session")
def postgres(net: Network) -> Iterator[ThrowAwayPostgres]:
    with throw_away_postgres(address=net.gateway) as server:
        yield server


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture(scope="module")
def place(net: Network, postgres: ThrowAwayPostgres, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    schema = request.module.__name__.rpartition(".")[2]
    made = Place(net, folder, postgres.tcp_url(schema), {"HOSTLER_MODEL": f"scripted:{script}"})
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def three(place: Place) -> list[Machine]:
    machines = [place.add() for _ in range(3)]
    for machine in machines:
        machine.begin()
    for machine in machines:
        machine.wait_ready()
    return machines


@pytest.fixture
def all_three(three: list[Machine]) -> list[Machine]:
    """The three, running, whatever a test before has done to them."""
    for machine in three:
        assert machine.process
        if machine.process.poll() is not None:
            machine.begin()
            machine.wait_ready()
    first = three[0]
    first.until(lambda: all(_health(first, one) == "RUNNER_PHASE_ACTIVE" for one in three))
    return three


def _health(asked: Machine, one: Machine) -> str:
    runners = asked.call("ListRunners", {}, "RunnerService")["runners"]
    return next((r["status"]["phase"] for r in runners if r["runnerId"] == one.runner), "")
