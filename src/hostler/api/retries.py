"""Repeated requests of older clients: the same caller, method and body within a minute get the first answer.

Those clients send a request again after a timeout or a broken connection, without a key that would name it. Work goes
on when its caller hangs up, so that the repeat finds its outcome.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hostler.core.ambient import Ambient

T = TypeVar("T")
REMEMBERED_SECONDS = 60.0
MOST = 10_000


@dataclass(slots=True)
class _Answer:
    task: asyncio.Task[Any]
    done_at: float | None = None


class Retries:
    """The answers of the last minute, in this process's memory."""

    def __init__(self, ambient: Ambient) -> None:
        self._ambient = ambient
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    async def once(self, key: str, *, again: bool, work: Callable[[], Awaitable[T]]) -> T:
        """Return the outcome of `work`; of its first run when this is it `again`. An empty key remembers nothing."""
        if key:
            self._forget_old()
        known = self._answers.get(key) if again else None
        if known is None or _failed(known.task):
            known = self._begin(key, work)
        return await asyncio.shield(known.task)

    def _begin(self, key: str, work: Callable[[], Awaitable[T]]) -> _Answer:
        async def run() -> T:
            return await work()

        answer = _Answer(asyncio.create_task(run()))
        answer.task.add_done_callback(lambda task: self._finished(answer, task))
        if key:
            self._answers[key] = answer
            self._answers.move_to_end(key)
        return answer

    def _finished(self, answer: _Answer, task: asyncio.Task[Any]) -> None:
        answer.done_at = self._ambient.monotonic()
        if not task.cancelled():
            task.exception()  # looked at, so that a caller who hung up leaves no warning behind

    def _forget_old(self) -> None:
        horizon = self._ambient.monotonic() - REMEMBERED_SECONDS
        for key in [k for k, a in self._answers.items() if a.done_at is not None and a.done_at < horizon]:
            del self._answers[key]
        while len(self._answers) > MOST:
            self._answers.popitem(last=False)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
