"""`make fuzz`: minutes of fire with seeds that nobody chose; each one that breaks something is printed.

python -m tests.fuzz --seconds 300 --seed 7
"""

import argparse
import logging
import random
import sys
import time
from collections import Counter

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import aiming
from tests.fuzz.range import Hit, Range
from tests.fuzz.shots import Shot
from tests.server import short_folder

ROUND = 300
"""Shots with one seed."""


def main() -> int:
    """Shoot until the time is over; return 1 when something broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    end, number, hits = time.monotonic() + asked.seconds, asked.seed, Counter[str]()
    with short_folder() as folder, Range(folder) as target:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        while time.monotonic() < end:
            said = fired(target, number)
            if said:
                first = said.splitlines()[0][:300]
                hits[first] += 1
                if hits[first] == 1:
                    print(f"seed {number}: {said}", flush=True)
            number += 1
        target.settle()
        print("answers:", ", ".join(f"{status}: {number}" for status, number in target.told.most_common()))
        print(f"{target.shots} requests, seeds {asked.seed} to {number - 1}, {sum(hits.values())} broke something")
    return 1 if hits else 0


def fired(target: Range, number: int) -> str:
    """Shoot one round; return what broke, the smallest that does."""

    @seed(number)
    @settings(
        deadline=None,
        database=None,
        max_examples=ROUND,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        report_multiple_bugs=False,
    )
    @given(aiming.everything(target))
    def shoot(shot: Shot) -> None:
        target.shoot(shot)

    try:
        shoot()
    except Hit as hit:
        return str(hit)
    except Exception as error:  # noqa: BLE001 such as one that comes and goes
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
