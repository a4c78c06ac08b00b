"""Writes docs/crash-matrix.md: the main story killed at every commit and every call outside, and real kills beside it.

`python -m tests.crash.matrix` writes the whole page; with `--in-process` only its first part goes to standard output.
"""

import os
import subprocess
import sys
from pathlib import Path

import structlog

from tests.crash.matrix_story import Found, tell

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "crash-matrix.md"
BEGIN, END = "<!-- in process: written by `make crash-matrix`, compared by a test -->", "<!-- end of in process -->"
HEAD = """# Crash matrix

What is found after a server was killed, at each commit and at each call to something outside, of one story that has
everything: an environment is made, the model is called, two commands run at once, an input is steered in between, the
agent asks and is answered, a turn is stopped while a command runs, another turn writes a file, and the execution is
deleted. `make crash-matrix` tells the story again for every cell and writes this page.

## In process

Everything in memory is thrown away at that point; the log, the environment and its supervisor live on, and a new server
begins. *Before* means that the commit or call did not come about; *after* that it did, and its answer was lost.

- **phase** is what the next server found in the row (`-`: nothing had been written yet, or nothing was left).
- **events lost** are inputs that were sent, and that the agent did not get exactly once.
- **commands** are the command lines that ran, each counted; a stopped one may not have been started at all.
- **model** is how often the model was called for the five replies of the story: a reply that was on its way when the
  server died is asked for once more.
- **end** says whether log and outcomes are, kind by kind of event (an adoption, the environment looked at again, a
  reply that was cut off and work that was kept apart), those of the story that nobody disturbed, every rule of
  `hostler doctor --check` holds, and after the deletion nothing is left.
"""


def cell(found: Found, calm: Found) -> str:
    """Return what one telling came to, in words."""
    if found.lives == 1:
        return "did not come to it"
    runs = f"{len(found.runs)} ran once" if set(found.runs.values()) == {1} else f"ran: {dict(found.runs)}"
    same = (found.kinds, found.outcomes, found.end, found.gone) == (calm.kinds, calm.outcomes, calm.end, True)
    end = "; ".join(found.wrong) or ("as undisturbed" if same else f"another: {dict(found.kinds - calm.kinds)}")
    return f"{found.phase}; {found.lost} lost; {runs}; model {found.asked}; {end}"


def in_process() -> str:
    """Return the table of every point."""
    calm = tell()
    rows = [
        "| # | commit or call | killed before it | killed after it |",
        "|---|---|---|---|",
        *(
            f"| {n} | {what} | {cell(tell(n), calm)} | {cell(tell(n, after=True), calm)} |"
            for n, what in enumerate(calm.points, 1)
        ),
    ]
    twice = tell(twice=True)
    twice.lives = 2
    legend = "Each cell: phase; events lost; commands; calls of the model; end."
    doubled = f"Every append repeated and every call outside carried out twice: {cell(twice, calm)}."
    return "\n\n".join((legend, "\n".join(rows), doubled))


def apart() -> str:
    """Return the table from a process of its own, in which sets have the same order every time."""
    words = [sys.executable, "-m", "tests.crash.matrix", "--in-process"]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.strip()


def page(table: str, kills: str) -> str:
    """Return the whole page."""
    return f"{HEAD}\n{BEGIN}\n\n{table}\n\n{END}\n\n{kills.strip()}\n"


def main() -> None:
    """Write the page, or its first part."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if "--in-process" in sys.argv:
        sys.stdout.write(f"{in_process()}\n")
        return
    kills = PAGE.read_text().partition(END)[2] if PAGE.exists() else ""
    if "--kills" in sys.argv or not kills.strip():
        from tests.crash.matrix_kills import sample

        kills = sample()
    PAGE.write_text(page(apart(), kills))


if __name__ == "__main__":
    main()
