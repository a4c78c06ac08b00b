"""`hostler doctor --check`: whether what must hold of every execution holds, on a server that runs."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.problems import DONE, FAILED
from hostler.cli.screen import clean, emit, note, paint, say

Json = dict[str, Any]
OWN = "/api/hostler/v1/executions"
PAGE = 100


def checked(meant: Sequence[str], *, json: bool, data_dir: Path | None) -> int:
    """Check executions, all of them when none is named; print what is wrong and return the exit code."""
    client = Client(places.find(data_dir))
    wrong: list[Json] = []
    number = events = 0
    for execution in [ids.whole(client, "execution", one) for one in meant] or _all(client):
        found = client.json("GET", f"{OWN}/{execution}/check")
        number, events = number + 1, events + int(found["events"])
        if found["findings"]:
            wrong.append({"id": execution, "findings": found["findings"]})
        if sys.stderr.isatty() and not json:
            sys.stderr.write(f"\r{number} executions, {events} events")
            sys.stderr.flush()
    if sys.stderr.isatty() and not json:
        sys.stderr.write("\r\x1b[K")
    if json:
        emit({"executions": number, "events": events, "wrong": wrong})
    else:
        _tell(number, events, wrong)
    return FAILED if wrong else DONE


def _all(client: Client) -> Iterator[str]:
    before = ""
    while True:
        page = client.json("GET", f"{OWN}?limit={PAGE}{f'&before={before}' if before else ''}")
        for entry in page["executions"]:
            before = entry["id"]
            yield before
        if not page["more"]:
            return


def _tell(number: int, events: int, wrong: list[Json]) -> None:
    for one in wrong:
        say(paint(one["id"], "red"))
        for finding in one["findings"]:
            where = f"event {finding['seq']}: " if finding["seq"] else ""
            say(f"  {finding['rule']}: {where}{clean(finding['text'])}")
    if wrong:
        note("this should never happen: `hostler transcript` and the support bundle show more; please report it")
    shown = f"{number} executions with {events} events: "
    say(shown + (paint(f"{len(wrong)} are not as they must be", "red") if wrong else paint("all in order", "green")))
