"""Pages of a list of 100,000 executions over the API, and what executions that nobody touches cost in memory."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests import planting
from tests.server import HostlerProcess, short_folder

from bench.figures import Figure, series
from bench.stage import Stage, opened
from hostler.contract.gitpod.v1 import agent_execution_requests_pb as req
from hostler.contract.gitpod.v1.pagination_pb import PaginationRequest

EXECUTIONS = 100_000
BASE = 500
PAGE = 100
ASKED = 60
REST_SECONDS = 12.0
"""Long enough for every sweep that a server makes beside its requests."""
LIST = "ListAgentExecutions"
Filter = Mapping[str, Any]
FILTERS: Mapping[str, Filter] = {"": {}, ", with an annotation filter": {"annotations": {"team": "docs"}}}
TARGETS = {"": "p95 10 ms", ", with an annotation filter": "p95 15 ms"}


def measure() -> Iterator[Figure]:
    with short_folder() as folder:
        data = folder / "data"
        data.mkdir(mode=0o711)
        server = HostlerProcess(data).start()
        empty = _rested(server)
        server.stop()
        _planted(data)
        server.start()
        try:
            full = _rested(server)
            with opened(server) as stage:
                for named, filtered in FILTERS.items():
                    what, aim = f"a page of {PAGE} out of {EXECUTIONS:,} executions{named}", TARGETS[named]
                    yield Figure(
                        "lists", f"{what}, JSON", "ms", series(_walked(stage, filtered)), target=TARGETS[named]
                    )
                    took = series(_walked_proto(stage, filtered))
                    yield Figure("lists", f"{what}, proto", "ms", took, target=aim)
                    took = series(stage.wire.ask(LIST, _body(filtered, ""))[1] for _ in range(ASKED))
                    yield Figure("lists", f"{what}, the first page again and again", "ms", took, target=aim)
                looked = stage.rss()
        finally:
            server.stop()
    each = 1024 * 1024 / EXECUTIONS
    yield Figure("lists", "memory of a server without executions", "MB", series([empty]), target="150 MB")
    what = f"its growth for each of {EXECUTIONS:,} idle executions"
    yield Figure("lists", what, "bytes", series([(full - empty) * each]), target="1024 bytes")
    yield Figure("lists", f"{what}, after all pages above", "bytes", series([(looked - empty) * each]))


def _rested(server: HostlerProcess) -> float:
    """Return a server's resident memory after a while."""
    with opened(server) as stage:
        time.sleep(REST_SECONDS)
        return stage.rss()


def _planted(data: Path) -> None:
    planting.plant(data, planting.many(BASE), commit=20)
    planting.multiply(data, EXECUTIONS // BASE)
    with contextlib.closing(sqlite3.connect(data / "hostler.db")) as database, database:
        database.execute("UPDATE execution SET runner = ?", ((data / "runner").read_text().strip(),))


def _body(filtered: Filter, token: str) -> Mapping[str, Any]:
    return {"filter": filtered, "pagination": {"pageSize": PAGE, "token": token}}


def _walked(stage: Stage, filtered: Filter) -> Iterator[float]:
    """Turn page after page, none of them twice; yield the milliseconds of each."""
    token = ""
    for _ in range(ASKED):
        answer, took = stage.wire.raw(stage.wire.request(LIST, _body(filtered, token)))
        token = json.loads(answer)["pagination"]["nextToken"]
        yield took


def _walked_proto(stage: Stage, filtered: Filter) -> Iterator[float]:
    token = ""
    for _ in range(ASKED):
        asked = req.ListAgentExecutionsRequest(
            filter=req.ListAgentExecutionsRequest.Filter(annotations=filtered.get("annotations", {})),
            pagination=PaginationRequest(page_size=PAGE, token=token),
        )
        answer, took = stage.wire.raw(stage.wire.request(LIST, asked.to_binary()))
        read = req.ListAgentExecutionsResponse.from_binary(answer)
        token = read.pagination.next_token if read.pagination else ""
        yield took
