"""The dispatcher of many processes: nudges are jobs of the procrastinate library, in the Postgres that all share.

Each runner has a queue; a job names an execution and nothing else. A nudge to this process itself needs no job. Jobs
outlive everybody: one whose process was killed in the middle of it comes again when the runner is back. What goes wrong
here is logged and tried again, and never fails a request: the sweep of every runner makes up for lost nudges.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, UniqueViolation
from procrastinate.jobs import DeleteJobCondition, Status
from psycopg import AsyncConnection, sql

from hostler.core.ambient import Ambient
from hostler.dispatch.queue_tables import bring_up_to_date

log = structlog.get_logger(__name__)

TASK = "hostler.look"
AT_ONCE = 8
"""Jobs that are taken at a time; each is over in no time."""
POLL = 1.0
"""Seconds between two looks for jobs whose time has come; others are notified."""
HEARTBEAT, STALLED = 5.0, 20.0
PATIENCE = 10.0
"""Seconds that a nudge may take before it counts as lost."""
ENDINGS, ENDING = 4, 2.0
"""How often the worker is told to end, and how many seconds it has each time."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 3.0
"""Seconds between two attempts to get back to work."""
CHATTY = ("procrastinate", "psycopg.pool")
"""Loggers that tell of every job and, with tracebacks, of every lost connection; we say the latter in one line."""


class ProcrastinateDispatch:
    """Delivers nudges to the runner of this process, and hands those for others to theirs."""

    def __init__(self, url: str, runner: str, ambient: Ambient) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._runner = runner
        self._ambient = ambient
        self._look: Callable[[str], None] | None = None
        self._app: App | None = None
        self._working: asyncio.Task[None] | None = None
        self._nudging: set[asyncio.Task[None]] = set()

    async def nudge(self, execution: str, runner: str, at: datetime | None = None) -> None:
        """Ask a runner to look at an execution; returns before the nudge is on its way."""
        if at is not None and at <= self._ambient.now():
            at = None
        if runner == self._runner and at is None:
            self._deliver(execution)
        elif self._app is not None:
            self._spawn(self._defer(self._app, execution, runner, at))

    async def start(self, look: Callable[[str], None]) -> None:
        """Begin to deliver; where the database does not answer, as soon as it does."""
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._look = look
        first = await self._opened()
        self._working = asyncio.create_task(self._work(first))

    async def stop(self) -> None:
        """Stop delivering; jobs that wait are there for the next start."""
        self._look = None
        if self._nudging:
            await asyncio.wait(self._nudging, timeout=PATIENCE)
        for task in (*self._nudging, self._working):
            if task is not None:
                await _ended(task)
        await self._close()

    def _deliver(self, execution: str) -> None:
        if self._look is not None:
            self._look(execution)

    async def _defer(self, app: App, execution: str, runner: str, at: datetime | None) -> None:
        """Add a job, unless one like it waits already.

        A lock is one runner's and, where it waits for its time, of that time: a job holds back those behind it that
        have the same lock, even when it is not due, or when nobody serves its queue any more.
        """
        lock = f"{runner}:{execution}" + (f"@{at.isoformat()}" if at else "")
        task = app.configure_task(TASK, queue=_queue(runner), lock=lock, queueing_lock=lock, schedule_at=at)
        try:
            async with asyncio.timeout(PATIENCE):
                await task.defer_async(execution=execution)
        except AlreadyEnqueued:
            log.debug("a nudge waits already", execution=execution)
        except Exception as problem:  # noqa: BLE001 - a nudge may be lost
            log.warning("a nudge is lost; the next sweep makes up for it", execution=execution, problem=_said(problem))

    async def _work(self, working: bool) -> None:
        """Take jobs until told to stop, and come back whenever the database did."""
        wait = FIRST_WAIT
        while True:
            if working:
                wait = FIRST_WAIT
                await self._take()
                await self._close()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            working = await self._opened()

    async def _opened(self) -> bool:
        """Open the library and give back what a killed process had taken; return whether that went well."""
        try:
            schema = await bring_up_to_date(self._url)
            app = _app(self._url, schema, self._deliver)
            await app.open_async()
            self._app = app
            await _give_back(app, _queue(self._runner))
        except Exception as problem:  # noqa: BLE001 - whatever it was, it is tried again
            log.warning("the dispatcher cannot be opened; trying again", problem=_said(problem))
            await self._close()
            return False
        return True

    async def _take(self) -> None:
        assert self._app is not None
        try:
            await self._app.run_worker_async(
                queues=[_queue(self._runner)],
                name=self._runner,
                concurrency=AT_ONCE,
                fetch_job_polling_interval=POLL,
                delete_jobs=DeleteJobCondition.ALWAYS,
                update_heartbeat_interval=HEARTBEAT,
                stalled_worker_timeout=STALLED,
                shutdown_graceful_timeout=1.0,
                install_signal_handlers=False,
            )
        except Exception as problem:  # noqa: BLE001 - as above
            log.warning("the dispatcher lost its database; trying again", problem=_said(problem))

    async def _close(self) -> None:
        app, self._app = self._app, None
        if app is not None:
            with suppress(Exception):
                await app.close_async()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._nudging.add(task)
        task.add_done_callback(self._nudging.discard)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for it, again where the cancellation got lost between the library's own tasks."""
    for _ in range(ENDINGS):
        task.cancel()
        await asyncio.wait({task}, timeout=ENDING)
        if task.done():
            if not task.cancelled() and (problem := task.exception()):
                log.warning("the dispatcher ended badly", problem=str(problem))
            return
    log.warning("the dispatcher does not end; it is left behind")


def _queue(runner: str) -> str:
    return f"runner:{runner}"


def _said(problem: Exception) -> str:
    """Return what went wrong, from the error below where the library wraps it."""
    return str(problem.__cause__ or problem).strip().split("\n")[0] or type(problem).__name__


def _app(url: str, schema: str, deliver: Callable[[str], None]) -> App:
    """Return the library on connections that see its tables first."""

    async def configure(connection: AsyncConnection[Any]) -> None:
        await connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        await connection.commit()

    keys = {"connect_timeout": 10, "application_name": "hostler", "keepalives_idle": 10}
    app = App(
        connector=PsycopgConnector(
            conninfo=url, kwargs=keys, min_size=1, max_size=3, timeout=PATIENCE, configure=configure
        )
    )

    async def look(execution: str) -> None:
        deliver(execution)

    app.task(name=TASK)(look)
    return app


async def _give_back(app: App, queue: str) -> None:
    """Put jobs back into our queue that were being worked on: this is the only process of the runner, and new to it."""
    for job in await app.job_manager.list_jobs_async(queue=queue, status=Status.DOING.value):
        try:
            await app.job_manager.retry_job(job)
        except UniqueViolation:  # one like it waits already
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
