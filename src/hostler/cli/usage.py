"""`hostler usage`: every model call of an execution with its four counters, and their sum."""

from typing import Any

from hostler.cli import extras, ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.screen import emit, line, note, say, table

HEADS = ("turn", "model", "input", "cached", "cache written", "output", "end")
COUNTERS = ("input", "cachedInput", "cacheCreation", "output")


def usage(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show every model call of an execution, whichever agent made it.

    The four counters do not overlap: input leaves out what was cached. A call that was cut off is marked with ~: the
    provider did not say what it used, and the guess is not in the sum.

    Example:

        hostler usage 0198c2
    """
    client = Client(places.find(data_dir))
    found = extras.calls(client, ids.execution(client, execution))
    if json:
        emit(found)
        return
    if not found["calls"]:
        note("no model calls yet")
        return
    table([_row(call) for call in found["calls"]], HEADS)
    say(f"total  {_sum(found['total'])}")
    if any(found["estimated"].values()):
        say(f"cut    ~ {_sum(found['estimated'])}")


def _row(call: dict[str, Any]) -> tuple[str, ...]:
    guess = "~" if call["estimated"] else ""
    end = call["outcome"] if call["tries"] == 1 else f"{call['outcome']} after {call['tries']} tries"
    reason = f": {line(call['reason'])}" if call["reason"] else ""
    return str(call["turn"]), line(call["model"]), *(f"{guess}{call[key]:,}" for key in COUNTERS), f"{end}{reason}"


def _sum(counters: dict[str, int]) -> str:
    words = zip(COUNTERS, ("input", "cached input", "cache written", "output"), strict=True)
    return ", ".join(f"{counters[key]:,} {word}" for key, word in words)
