"""The database is restarted again and again under load: nothing acknowledged is lost, nothing is done twice."""

import os
import threading
import time
from collections import Counter

import pytest

from hostler.testing.postgres import ThrowAwayPostgres
from tests.many.machines import Machine, Place

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.crash]
SECONDS = float(os.environ.get("HOSTLER_TEST_RESTARTS_SECONDS", "60"))
"""For how long; shorter by `HOSTLER_TEST_RESTARTS_SECONDS=12`."""
EVERY = 3.0
AT_ONCE = 6


@pytest.mark.timeout(300)
def test_nothing_is_lost_while_the_database_is_restarted_every_few_seconds(
    place: Place, all_three: list[Machine], postgres: ThrowAwayPostgres
):
    over = threading.Event()
    restarts = threading.Thread(target=_restarting, args=(postgres, over))
    restarts.start()
    started: dict[str, tuple[Machine, str]] = {}
    try:
        end = time.monotonic() + SECONDS
        waves = 0
        while time.monotonic() < end:
            waves += 1
            wave = [_begun(all_three, f"r{waves}n{n}", n) for n in range(AT_ONCE)]
            started.update(wave)
            for execution, (machine, _) in wave:
                all_three[0].until(lambda e=execution, m=machine: m.insist(lambda: m.phase(e)) in RESTS, 60)
    finally:
        over.set()
        restarts.join()
        postgres.restart()  # It ends with the thread that started it.
    assert len(started) == waves * AT_ONCE
    for execution, (machine, mark) in started.items():
        last = machine.insist(lambda m=machine, e=execution: m.rest(e))["status"]
        assert last["phase"] == "PHASE_WAITING_FOR_INPUT", last
        kinds = Counter(kind for kind, _ in place.log(execution))
        assert (kinds["ToolStarted"], kinds["ToolFinished"], kinds["InputQueued"]) == (3, 3, 1)
        file = machine.workspace(machine.environment_of(execution)) / mark
        assert file.read_text().split() == ["1", "2", "3"]


RESTS = ("WAITING_FOR_INPUT", "STOPPED")


def _begun(machines: list[Machine], mark: str, number: int) -> tuple[str, tuple[Machine, str]]:
    """Start an execution and tell it what to do, as a client that asks again under the same names."""
    machine, asked = machines[number % 3], machines[(number + 1) % 3]
    key = f"{mark}-{number}"
    execution = asked.insist(lambda: asked.once("StartAgent", {"runnerId": machine.runner}, key))["agentExecutionId"]
    block = {"id": f"00000000-0000-4000-8000-{int(mark[1:].replace('n', '0')):012d}"}
    block |= {"inputs": [{"text": {"content": f"three {mark}"}}]}
    asked.insist(lambda: asked.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": block}))
    return execution, (machine, mark)


def _restarting(postgres: ThrowAwayPostgres, over: threading.Event) -> None:
    while not over.wait(EVERY):
        postgres.restart()
