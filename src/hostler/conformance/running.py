"""Making the checks: one after the other, each answered for by itself, and everything that was made removed again."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from httpx2 import HTTPError

from hostler.conformance import environments, events, pages, protocols, rules, sdks, streams, turns
from hostler.conformance.bench import CHECKS, Bench, Check, Failed, Skipped
from hostler.conformance.wire import Wire

State = Literal["ok", "failed", "skipped"]
GROUPS = (protocols, rules, pages, events, turns, streams, environments, sdks)
"""Modules that enter checks by being imported."""
LAST = ("events.keep-alive",)
"""What takes long comes at the end."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one check."""

    name: str
    state: State
    says: str
    source: str
    seen: str = ""
    seconds: float = 0.0

    def json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "state": self.state,
            "says": self.says,
            "source": self.source,
            "seen": self.seen,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is made."""

    agent: str = ""
    task: str = "Say hello."
    patience: float = 60.0
    only: Sequence[str] = ()
    sdk: Sequence[str] = ()
    """Official clients that are run; none: their checks are skipped."""


def chosen(only: Sequence[str] = ()) -> list[Check]:
    """Return the checks whose names fit one of the patterns, or begin with one; all of them without any."""
    fitting = [one for one in CHECKS.values() if not only or any(fits(one.name, pattern) for pattern in only)]
    return sorted(fitting, key=lambda one: one.name in LAST)


def fits(name: str, pattern: str) -> bool:
    """Return whether a name is meant by a pattern: the name, a beginning of it, or one with * in it."""
    return name == pattern or name.startswith(f"{pattern.rstrip('.')}.") or fnmatchcase(name, pattern)


def made(url: str, token: str, options: Options, told: Callable[[str], None]) -> Iterator[Result]:
    """Yield what came of each check; `told` is told what could not be removed at the end."""
    wire = Wire(url, token)
    bench = Bench(wire, agent=options.agent, patience=options.patience, task=options.task, clients=options.sdk)
    try:
        for one in chosen(options.only):
            yield looked(one, bench)
    finally:
        try:
            for left in bench.clean():
                told(f"not removed: {left}")
        except HTTPError as fault:
            told(f"not everything could be removed: {fault}")
        wire.close()


def looked(one: Check, bench: Bench) -> Result:
    """Make one check."""
    since = time.monotonic()

    def result(state: State, seen: str = "") -> Result:
        return Result(one.name, state, one.says, one.source, seen, time.monotonic() - since)

    try:
        one.look(bench)
    except Skipped as why:
        return result("skipped", str(why))
    except Failed as seen:
        return result("failed", str(seen))
    except HTTPError as fault:
        return result("failed", f"the connection broke: {type(fault).__name__}: {fault}")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        return result("failed", f"the answer has another form: {type(fault).__name__}: {fault}")
    return result("ok")
