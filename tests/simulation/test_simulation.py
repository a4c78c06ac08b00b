"""A hundred seeds hold, one seed is one run, and what breaks a promise is found."""

import os
import subprocess
import sys
from typing import Any

import pytest

from hostler.core.events import Event, Stopped, TurnEnded
from hostler.core.ports import Appended
from hostler.testing.simulation import simulate
from hostler.testing.simulation_world import Shell, TroubledLink


def simulated(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostler.testing.simulation", *words],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def test_a_hundred_seeds_come_to_rest_and_every_log_holds():
    done = simulated("--seeds", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 seeds" in done.stdout


def test_some_seeds_hold_on_a_database():
    done = simulated("--seeds", "4", "--first", "1000", "--sqlite")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_is_the_same_run_in_every_process():
    one, other = (simulated("--seeds", "6", "--first", "50", "--digests") for _ in range(2))
    assert one.stdout == other.stdout
    digests = [line.split()[-1] for line in one.stdout.splitlines() if line.startswith("seed ")]
    assert len(set(digests)) == 6


class Twice(Shell):
    """A sandbox that runs every line two times."""

    async def __call__(self, line: str) -> tuple[int, str]:
        self.runs[line] += 1
        return await super().__call__(line)


def test_a_sandbox_that_runs_lines_twice_is_found_out():
    sound = [simulate(seed) for seed in range(8)]
    assert not any(one.wrong for one in sound)
    assert any("the sandbox runs" in line for one in sound for line in one.told)
    assert any("ran 2 times" in line for seed in range(8) for line in simulate(seed, shells=Twice).wrong)


class Unraised(TroubledLink):
    """A store that is not asked to raise the fence where a turn ends by itself, or is stopped."""

    ending: type[Event] = TurnEnded

    async def append(self, *args: Any, **named: Any) -> Appended:
        if any(isinstance(event, self.ending) for event in named.get("decisions", ())):
            named["new_fence"] = False
        return await super().append(*args, **named)


class UnraisedByStops(Unraised):
    ending = Stopped


@pytest.mark.parametrize("links", [Unraised, UnraisedByStops])
def test_a_fence_that_is_not_raised_where_a_turn_is_over_is_found_out(links: type[TroubledLink]):
    assert any("whose turn was over" in line for seed in range(8) for line in simulate(seed, links=links).wrong)


def test_a_stop_that_does_not_raise_the_fence_lets_a_late_command_run_and_is_found_out():
    found = [line for seed in range(8) for line in simulate(seed, links=UnraisedByStops).wrong]
    assert any("a command of a turn that was stopped ran" in line for line in found)
