"""The machine that was measured, and the page that shows the figures."""

import os
import platform
import re
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Series, in_turns, milliseconds

HEAD = """# Benchmarks

What Hostler costs, measured beside what one would use instead, in one run and in turns, so that the ratio says more
than the milliseconds do. `make bench` measures again and writes this page and `build/bench.json`, which has every
single value; nothing here is asserted by a test. The models are scripts without any delay, so everything that is left
is Hostler and the commands that it runs.
"""


def machine() -> dict[str, Any]:
    """Describe this machine: what makes figures differ, and nothing that names it."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.machine(),
        "memory_gib": round(memory, 1),
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fsync_ms": round(_fsync().median, 2),
    }


def _fsync() -> Series:
    """Return how long it takes to write 4 KiB so that they stay."""
    with tempfile.TemporaryFile() as file:

        def write() -> None:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())

        return in_turns(20, {"fsync": lambda: milliseconds(write)})["fsync"]


def page(result: Mapping[str, Any]) -> str:
    """Return the page for what a run found."""
    return f"{HEAD}\n{_caption(result)}\n\n{table(result['figures'])}\n"


def _caption(result: Mapping[str, Any]) -> str:
    made = result["machine"]
    before, after = result["load_before"], result["load_after"]
    quiet = (
        "" if before < made["cores"] / 4 else " The machine was not idle meanwhile, so this was **not a quiet run**."
    )
    return (
        f"Measured on {result['date']} in {result['seconds']:.0f} s: {made['cores']} cores ({made['cpu']}), "
        f"{made['memory_gib']} GiB, {made['kernel']}, Python {made['python']}, SQLite {made['sqlite']}, "
        f"{made['fsync_ms']} ms for an fsync of 4 KiB. Load average {before:.1f} before and {after:.1f} after.{quiet}"
    )


def table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a table; the ratio is Hostler's value over the other one."""
    head = "| part | what | Hostler | p5 to p95 | n | beside it | its value | ratio | aim |"
    lines = [head, "|---|---|---:|---:|---:|---|---:|---:|---|"]
    return "\n".join([*lines, *map(_line, figures)])


def _line(figure: Mapping[str, Any]) -> str:
    ours, theirs, unit = figure["ours"], figure["theirs"], figure["unit"]
    spread = f"{_number(ours['p5'])} to {_number(ours['p95'])}" if ours["n"] > 1 else ""
    other = f"{_number(theirs['median'])} {unit}" if theirs else ""
    ratio = f"{_number(figure['ratio'])} x" if figure["ratio"] else ""
    value = f"{_number(ours['median'])} {unit}".strip()
    cells = (
        figure["part"], figure["what"], value, spread, ours["n"], figure["against"], other, ratio, figure["target"]
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _number(value: float) -> str:
    """Return three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
