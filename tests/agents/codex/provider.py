"""A scripted provider for tests that block: the endpoint of `hostler.testing` on a loop and a thread of its own."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hostler.testing.answers import Answer, Broken, Hold, Reply
from hostler.testing.endpoints import Endpoint, Received


@dataclass
class Provider:
    """What the test may ask and do from its own thread."""

    endpoint: Endpoint
    loop: asyncio.AbstractEventLoop

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.body for request in self.endpoint.requests]

    def heard(self) -> str:
        """Return the whole of the last request as JSON text."""
        return json.dumps(self.bodies[-1]) if self.bodies else ""

    def open(self, hold: Hold) -> None:
        self.loop.call_soon_threadsafe(hold.gate.set)


def in_order(*steps: Answer) -> Callable[[Received], Answer]:
    """Answer with the first step that the conversation does not show yet, however often it is asked.

    So a call that is made again after a crash gets the same answer, and each step needs words or a call id of its own.
    """

    def answer(request: Received) -> Answer:
        said = json.dumps(request.body.get("input"))
        return next((step for step in steps if not _shown(step, said)), steps[-1])

    return answer


def _shown(step: Answer, said: str) -> bool:
    match step:
        case Reply():
            reply = step
        case Hold(reply=reply) | Broken(reply=reply):
            pass
        case _:
            return False
    marks = [f'"call_id": "{call.id}"' for call in reply.calls] or [json.dumps(reply.text)]
    return all(mark in said for mark in marks)


@contextmanager
def provider(answers: Sequence[Answer] | Callable[[Received], Answer]) -> Iterator[Provider]:
    """Serve the answers until the end of the block."""
    loop = asyncio.new_event_loop()
    endpoint = Endpoint(answers)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(endpoint.__aenter__(), loop).result(10)
        try:
            yield Provider(endpoint, loop)
        finally:
            asyncio.run_coroutine_threadsafe(endpoint.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
