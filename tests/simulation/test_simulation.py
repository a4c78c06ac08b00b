"""A hundred seeds hold, one seed is one run, and what breaks a promise is found."""

import os
import subprocess
import sys

from hostler.testing.simulation import simulate
from hostler.testing.simulation_world import Shell


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
