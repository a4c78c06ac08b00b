"""The one writer: a thread with one connection that commits whatever waits together, and only then says so.

A piece of work is a function that is given a `Writing`. Each runs in a savepoint of its own, or alone in a transaction,
so that one that raises takes nothing of the others with it. When the database itself fails, everything of the batch
fails with Unavailable, the connection is thrown away, and the next batch begins with a new one.

Work may be run more than once before it is committed: when another process wrote the same rows at the same time, what
was in the way is there at the second run, and is seen by the work's own checks; and when the connection was lost before
the commit was sent, so that the restart of a database goes by unnoticed where it is quick.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import perf_counter
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hostler.core.changes import ANYTHING
from hostler.core.errors import HostlerError, Unavailable
from hostler.store.database import WAITS, Database, is_away, is_collision, is_fatal, refusal
from hostler.store.followers import Followers
from hostler.store.statements import savepoint

T = TypeVar("T")

UNSAID = frozenset({ANYTHING})
BATCH = 256
"""At most this many pieces of work share a commit."""
TRIES = 5
"""How often work is run that other processes were in the way of."""


@dataclass(frozen=True, slots=True)
class Writing:
    """What a piece of work may use: the connection, and a set for the ids of executions that it changed."""

    connection: Connection
    changed: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class _Job:
    work: Callable[[Writing], Any]
    future: "asyncio.Future[Any]"
    then: Callable[[Any], None] | None = None
    result: Any = None
    error: Exception | None = None
    changed: frozenset[str] = frozenset()


class Writer:
    """Runs work on the database, in order; `forget` is called when nothing remembered of it can be trusted any more,
    and `followers` hear of each commit before it and after it."""

    def __init__(
        self,
        database: Database,
        *,
        forget: Callable[[], None],
        announce: Callable[[frozenset[str]], None],
        followers: Followers,
    ) -> None:
        self._database = database
        self._forget = forget
        self._announce = announce
        self._followers = followers
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._connection: Connection | None = None
        self._opened: Future[None] = Future()
        self._thread: Thread | None = None
        self._closed = False
        self._closing = Event()
        self._sent = False
        """Whether the commit of the present transaction is on its way."""
        self.measured: Callable[[float], None] | None = None
        """Is told how many seconds each commit took; called in the loop."""

    @property
    def waiting(self) -> int:
        """Return how many pieces of work wait for the next commit."""
        return self._queue.qsize()

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Take the database and run `prepare` in a transaction; raises what either raises."""
        self._thread = Thread(target=self._run, args=(prepare,), name="store-writer", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(self._opened)

    async def do(self, work: Callable[[Writing], T], then: Callable[[T], None] | None = None) -> T:
        """Run work and return its result once it is on the disk; `then` gets it first, before anybody hears of it."""
        if self._closed:
            raise Unavailable("the store is closed")
        job = _Job(work, self._loop.create_future(), then)
        self._queue.put(job)
        return await job.future

    async def close(self) -> None:
        """Finish all work that was given and stop."""
        self._closed = True
        self._closing.set()
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self, prepare: Callable[[Connection], None]) -> None:
        try:
            with self._connected().begin():
                prepare(self._connected())
        except DBAPIError as error:
            self._drop()
            self._opened.set_exception(refusal(error))
            return
        except Exception as error:  # noqa: BLE001 - it belongs to whoever opens the store
            self._drop()
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        while jobs := self._next():
            began = perf_counter()
            changing = self._write(jobs)
            if self.measured is not None:
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self.measured, perf_counter() - began)
            self._tell(jobs, changing)
        self._drop()

    def _next(self) -> list[_Job]:
        """Wait for work and return all there is; nothing at all means the end."""
        first = self._queue.get()
        if first is None:
            return []
        jobs = [first]
        with suppress(Empty):
            while len(jobs) < BATCH:
                job = self._queue.get_nowait()
                if job is None:
                    self._queue.put(None)
                    break
                jobs.append(job)
        return jobs

    def _write(self, jobs: list[_Job]) -> frozenset[str]:
        """Run the work of a batch in one transaction, again where others were in the way; jobs note what happened.

        Return what it was about to change when it came to the commit.
        """
        changing, waits = set[str](), iter(WAITS if self._database.shared else ())
        for left in reversed(range(TRIES + len(WAITS))):
            try:
                self._commit(jobs, changing)
                break
            except DBAPIError as error:
                if not left or not self._again(error, waits):
                    self._fail(jobs, refusal(error))
                    break
                collided = is_collision(error)
            except HostlerError as error:
                self._fail(jobs, Unavailable(error.message))
                break
            except Exception as error:  # noqa: BLE001 - a thread that dies would leave everybody waiting for ever
                self._fail(jobs, Unavailable(f"the database cannot be used at the moment: {error}"))
                break
            if collided and len(jobs) > 1:  # one that is alone locks its rows in the order that everybody does
                return frozenset(changing).union(*(self._write([job]) for job in jobs))
        return frozenset(changing)

    def _again(self, error: DBAPIError, waits: Iterator[float]) -> bool:
        """Return whether the same work may be done again now: others were in the way, or the connection was lost.

        Not after a commit was sent: it may have taken effect, and only who asked for it can tell.
        """
        self._forget()
        if is_collision(error):
            return True
        self._drop()
        wait = next(waits, None) if is_away(error) and not self._sent else None
        return wait is not None and not self._closing.wait(wait)

    def _commit(self, jobs: list[_Job], changing: set[str]) -> None:
        self._sent = False
        connection = self._connected()
        alone = len(jobs) == 1
        with connection.begin() as transaction:
            for job in jobs:
                _perform(job, connection, alone=alone)
            if alone and jobs[0].error:
                transaction.rollback()
            else:
                if changed := _changed(jobs):
                    self._database.announce(connection, changed)
                if fresh := _meant(jobs) - changing:
                    changing |= fresh
                    self._followers.begin(fresh)
            self._sent = True

    def _fail(self, jobs: list[_Job], error: HostlerError) -> None:
        for job in jobs:
            job.error, job.changed = job.error or error, frozenset()
        self._forget()
        self._drop()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.writer()
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.invalidate()
            with suppress(DBAPIError):
                connection.close()

    def _tell(self, jobs: list[_Job], changing: frozenset[str]) -> None:
        with suppress(RuntimeError):  # the loop is gone, and everybody who waited with it
            self._loop.call_soon_threadsafe(self._settle, jobs, changing)

    # --- in the loop --------------------------------------------------------------------------------------------

    def _settle(self, jobs: list[_Job], changing: frozenset[str]) -> None:
        if changing:
            self._followers.end(changing)
        for job in jobs:
            if job.then is not None and job.error is None:
                job.then(job.result)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if changed := _changed(jobs):
            self._announce(changed)


def _changed(jobs: list[_Job]) -> frozenset[str]:
    return frozenset[str]().union(*(job.changed for job in jobs))


def _meant(jobs: list[_Job]) -> frozenset[str]:
    """Return what the jobs may have changed: work that does not say what it changes may have changed anything."""
    return frozenset[str]().union(*(job.changed or UNSAID for job in jobs if job.error is None))


def _perform(job: _Job, connection: Connection, *, alone: bool) -> None:
    """Run one job, in a savepoint when it has company; only an error of the database itself is raised.

    One that collides with another process is run again: here in its savepoint, by the caller when it is alone.
    """
    job.error, job.changed = None, frozenset()
    for left in reversed(range(1 if alone else TRIES)):
        writing = Writing(connection)
        try:
            with nullcontext() if alone else savepoint(connection):
                job.result = job.work(writing)
            job.changed = frozenset(writing.changed)
            return
        except DBAPIError as error:
            if is_fatal(error) or (alone and is_collision(error)):
                raise
            if not (left and is_collision(error)):
                job.error = refusal(error)
                return
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the job
            job.error = error
            return
