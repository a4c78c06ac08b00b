"""A step with a provider's real wire: the same scripted endpoint for Hostler and for a bare loop, in one run."""

import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure, Series, in_turns, series
from bench.stage import Stage, place, serving

MORE = 20
ROUNDS = 7
PIECES = (3, 20)
FAMILIES = {"openai-chat": "OPENAI", "anthropic": "ANTHROPIC"}
AGAINST = "a bare loop with one commit a step, aiohttp and subprocess"
ELSEWHERE = "the same loop, its commits on the same Postgres"


def measure() -> Iterator[Figure]:
    yield from measure_shape(tuple(FAMILIES), PIECES)


def measure_shape(families: Sequence[str] = ("openai-chat",), shapes: Sequence[int] = PIECES[:1]) -> Iterator[Figure]:
    """Measure steps with these providers, and texts in so many pieces."""
    for family in families:
        for pieces in shapes:
            with endpoint(0.0, pieces) as port, at_work(family, port) as stage, bare_agent(stage, port) as reference:
                mine, theirs = _one_more(stage, reference)
            target = "3 x" if pieces == PIECES[0] else ""
            what = f"one step more, {family}, {pieces} pieces of text"
            yield Figure("steps", what, "ms", mine, theirs, AGAINST, target)


def measure_elsewhere() -> Iterator[Figure]:
    """Measure steps on Postgres against a bare loop that commits to the same server."""
    family, pieces = next(iter(FAMILIES)), PIECES[0]
    with (
        endpoint(0.0, pieces) as port,
        at_work(family, port) as stage,
        bare_agent(stage, port, place()["HOSTLER_DATABASE_URL"]) as reference,
    ):
        mine, theirs = _one_more(stage, reference)
    what = f"one step more, {family}, {pieces} pieces of text"
    yield Figure("steps", what, "ms", mine, theirs, ELSEWHERE, "3 x")


def _one_more(stage: Stage, reference: "Reference") -> tuple[Series, Series]:
    """Return the milliseconds of one step more, ours and theirs."""
    environment = stage.environment_of(stage.start())
    found = in_turns(
        ROUNDS,
        {
            "one": lambda: stage.turn(stage.start(environment), "steps 1"),
            "many": lambda: stage.turn(stage.start(environment), f"steps {1 + MORE}"),
            "bare one": lambda: reference.took(1, 1) * 1000,
            "bare many": lambda: reference.took(1, 1 + MORE) * 1000,
        },
    )

    def each(many: str, one: str) -> Series:
        pairs = zip(found[many].values, found[one].values, strict=True)
        return series((more - less) / MORE for more, less in pairs)

    return each("many", "one"), each("bare many", "bare one")


@contextmanager
def endpoint(delay: float, pieces: int) -> Generator[int]:
    """Yield the port of a scripted provider."""
    words = [sys.executable, "-m", "bench.endpoint", str(delay), str(pieces)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


@contextmanager
def at_work(family: str, port: int, **env: str) -> Generator[Stage]:
    """Yield a server whose model is that provider."""
    prefix = FAMILIES[family]
    url = f"http://127.0.0.1:{port}" + ("/v1" if family.startswith("openai") else "")
    given = {"HOSTLER_MODEL": f"{family}:bench", f"{prefix}_BASE_URL": url, f"{prefix}_API_KEY": "sk-bench-0123456789"}
    with serving({}, **given, **env) as stage:
        yield stage


class Reference:
    """The bare loop in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def took(self, conversations: int, steps: int) -> float:
        """Return the seconds that this many conversations at once took, each with this many steps."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{conversations} {steps}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def bare_agent(stage: Stage, port: int, database: str = "") -> Generator[Reference]:
    """Yield the bare loop, at the same endpoint and on the same disk, or with its rows in another database."""
    place = database or str(Path(stage.folder) / f"bare-{time.time_ns()}.db")
    words = [sys.executable, "-m", "bench.bare_agent", str(port), place]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        try:
            yield Reference(process)
        finally:
            process.stdin.close()
