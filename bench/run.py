"""Measures every part, or one, and writes build/bench.json and docs/benchmarks.md: `python -m bench.run --help`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import (
    part_api,
    part_codex,
    part_commands,
    part_crash,
    part_crowd,
    part_environments,
    part_gateway,
    part_keeping,
    part_lists,
    part_lives,
    part_machine,
    part_many,
    part_pages,
    part_postgres,
    part_steps,
    part_stops,
    part_store,
    part_streams,
    part_turns,
)
from bench.figures import Figure
from bench.page import machine, page, table

ROOT = Path(__file__).resolve().parents[1]
PARTS: Mapping[str, Callable[[], Iterator[Figure]]] = {
    "commands": part_commands.measure,
    "machine": part_machine.measure,
    "environments": part_environments.measure,
    "keeping": part_keeping.measure,
    "turns": part_turns.measure,
    "steps": part_steps.measure,
    "stops": part_stops.measure,
    "gateway": part_gateway.measure,
    "codex": part_codex.measure,
    "api": part_api.measure,
    "lists": part_lists.measure,
    "streams": part_streams.measure,
    "store": part_store.measure,
    "lives": part_lives.measure,
    "crash": part_crash.measure,
    "crowd": part_crowd.measure,
    "many": part_many.measure,
    "postgres": part_postgres.measure,
    "pages": part_pages.measure,
}


def measured(names: list[str]) -> dict[str, Any]:
    """Return what a run of these parts found, with the machine and its load."""
    since, before = time.perf_counter(), os.getloadavg()[0]
    result = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "load_before": before}
    figures: list[dict[str, Any]] = []
    for name in names:
        began = time.perf_counter()
        figures += [figure.to_json() for figure in PARTS[name]()]
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    seconds = time.perf_counter() - since
    return {**result, "load_after": os.getloadavg()[0], "seconds": seconds, "figures": figures}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure what Hostler costs. Nothing is asserted.")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; the page stays as it is")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")
    asked = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # what is measured starts as it would anywhere, with its compiled modules
    result = measured(asked.only or list(PARTS))
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1)
    (build / ("bench-part.json" if asked.only else "bench.json")).write_text(text)
    if not asked.only:
        (ROOT / "docs" / "benchmarks.md").write_text(page(result))
    print(text if asked.json else table(result["figures"]))


if __name__ == "__main__":
    main()
