"""How soon the command line answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, in_turns, milliseconds
from bench.scripts import quick
from bench.stage import serving

HOSTLER = str(Path(sys.executable).parent / "hostler")


def measure() -> Iterator[Figure]:
    with serving({"quick": quick(1)}) as stage:
        stage.start()
        env = {k: v for k, v in os.environ.items() if not k.startswith("HOSTLER_")}
        env |= {"HOSTLER_URL": stage.server.url, "HOSTLER_TOKEN": stage.server.token}

        def run(*words: str) -> float:
            return milliseconds(lambda: subprocess.run(words, env=env, check=True, capture_output=True))

        found = in_turns(
            10,
            {
                "pass": lambda: run(sys.executable, "-c", "pass"),
                "typer": lambda: run(sys.executable, "-c", "import typer"),
                "help": lambda: run(HOSTLER, "--help"),
                "ps": lambda: run(HOSTLER, "ps"),
            },
        )
    for name, words in (("help", "`hostler --help`"), ("ps", "`hostler ps`, one execution")):
        yield Figure("commands", words, "ms", found[name], found["pass"], "`python -c pass`")
        yield Figure("commands", words, "ms", found[name], found["typer"], "`python -c 'import typer'`")
