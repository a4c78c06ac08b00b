"""Follows what this process appends to logs, and counts what ended.

Appends only put the events in a queue; they are read here, beside the work. Of an execution whose beginning was not
seen (another process, an earlier life), the log is read first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import structlog

from hostler.core import events as ev
from hostler.core.errors import HostlerError
from hostler.core.events import Recorded
from hostler.core.meters import Meters
from hostler.core.pieces import Piece, Tale

log = structlog.get_logger(__name__)

REMEMBERED = 2048
"""Executions whose beginning is known without reading their log."""
WAITING = 20_000
"""Appends that may wait to be counted; beyond it they are left out, rather than fill the memory."""
Read = Callable[[str, int], Awaitable[Sequence[Recorded]]]
"""Returns the log of an execution behind a seq."""
Tell = Callable[[str, Piece], None]


class Following:
    """Turns appended events into pieces; `tell` gets each with its execution's id."""

    def __init__(self, read: Read, meters: Meters, *tell: Tell) -> None:
        self._read = read
        self._meters = meters
        self._tell = tell
        self._tales: OrderedDict[str, Tale] = OrderedDict()
        self._queue: asyncio.Queue[tuple[str, Sequence[Recorded]]] = asyncio.Queue(WAITING)

    def heard(self, execution: str, recorded: Sequence[Recorded]) -> None:
        """Take what was appended to one log."""
        if recorded and not self._queue.full():
            self._queue.put_nowait((execution, recorded))

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            execution, recorded = await self._queue.get()
            try:
                await self._follow(execution, recorded)
            except HostlerError as problem:
                log.debug("an append was not counted", execution=execution, problem=problem.message)
            except Exception:
                log.exception("an append was not counted", execution=execution)
            finally:
                self._queue.task_done()

    async def settled(self) -> None:
        """Wait until everything that was appended so far is counted."""
        await self._queue.join()

    async def _follow(self, execution: str, recorded: Sequence[Recorded]) -> None:
        tale = await self._tale(execution, recorded[0].seq - 1)
        for one in recorded:
            if one.seq <= tale.seq:
                continue
            self._count(one.event)
            for piece in tale.after(one):
                if piece.kind == "turn":
                    seconds = round(piece.seconds, 3)
                    log.info("turn ended", execution=execution, turn=piece.turn, reason=piece.outcome, seconds=seconds)
                self._measure(piece)
                for tell in self._tell:
                    tell(execution, piece)

    async def _tale(self, execution: str, upto: int) -> Tale:
        """Return what is known of an execution up to a seq."""
        tale = self._tales.pop(execution, None) or Tale()
        self._tales[execution] = tale
        if len(self._tales) > REMEMBERED:
            self._tales.popitem(last=False)
        if tale.seq < upto:
            for one in await self._read(execution, tale.seq):
                if one.seq <= upto:
                    tale.after(one)
        return tale

    def _count(self, event: ev.Event) -> None:
        match event:
            case ev.Started():
                self._meters.executions_started.add()
            case ev.TurnStarted():
                self._meters.turns_started.add()
            case ev.EgressRefused():
                self._meters.egress_refused.add()
            case _:
                pass

    def _measure(self, piece: Piece) -> None:
        m, name = self._meters, piece.name or "unknown"
        match piece.kind:
            case "turn":
                m.turns_ended.add(piece.outcome)
                m.turn_seconds.see(piece.seconds)
            case "tool":
                m.tool_calls.add(name, piece.outcome)
                m.tool_seconds.see(piece.seconds, name)
            case "model":
                m.model_calls.add(name, piece.outcome)
                if piece.outcome == "ok":
                    m.model_seconds.see(piece.seconds, name)
                counter, usage = (m.guessed_tokens if piece.guessed else m.tokens), piece.usage
                for kind in ("input", "cached_input", "cache_creation", "output"):
                    if tokens := getattr(usage, kind):
                        counter.add(name, kind, by=tokens)
                if piece.cost:
                    m.cost.add(name, by=piece.cost)
