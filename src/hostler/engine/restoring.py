"""What people do with kept work: see it although its environment is gone, and go on from it in a new one."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hostler.core.ambient import Ambient
from hostler.core.commands import ReportApplied, Restore
from hostler.core.desk import Desk, NewEnvironment
from hostler.core.errors import EnvironmentError_, FailedPrecondition, NotFound, RequestError, Unavailable
from hostler.core.kept import WorkKept
from hostler.core.machines import Patch
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Principal, Row
from hostler.core.providers import KeptSource
from hostler.core.runners import RunnerPeers
from hostler.core.state import fold, unchanged
from hostler.engine.away import Moves
from hostler.engine.desk import Homes
from hostler.engine.likeness import Likeness
from hostler.environments.keeping import KeptWork, Record

DIFF_LIMIT = 8 << 20


class KeptDesk:
    """The front for kept work."""

    def __init__(
        self,
        desk: Desk,
        homes: Homes,
        rows: EnvironmentRows,
        kept: KeptWork,
        classes: Sequence[str],
        ambient: Ambient,
        *,
        peers: RunnerPeers | None = None,
        moves: Moves | None = None,
    ) -> None:
        self._peers = peers
        self._moves = moves
        self._likeness = Likeness(rows)
        self._desk = desk
        self._homes = homes
        self._rows = rows
        self._kept = kept
        self._classes = tuple(classes)
        """Environment classes that there are, the default one first."""
        self._ambient = ambient

    async def work(self, execution: str, turn: int = 0) -> WorkKept:
        """Return what is kept of a turn, or of the last one; FailedPrecondition when nothing is."""
        await self._desk.seen(execution)
        log = [one.event for one in await self._desk.log(execution) if isinstance(one.event, WorkKept)]
        found = [one for one in log if one.turn == turn] if turn else log
        if not found:
            which = f"of turn {turn}" if turn else "of the execution's work"
            raise FailedPrecondition(f"nothing is kept {which}", field="turn")
        return found[-1]

    async def diff(self, execution: str, turn: int = 0) -> tuple[WorkKept, Patch]:
        """Return the kept change as a patch, and what is known of it."""
        work = await self.work(execution, turn)
        if not work.commit:
            return work, Patch(b"")
        try:
            return work, await self._kept.diff(execution, work.base, work.commit, DIFF_LIMIT)
        except EnvironmentError_ as problem:
            raise FailedPrecondition(problem.message) from None

    async def applied(self, execution: str, commit: str) -> None:
        """Note that a kept commit was brought into somebody's repository."""
        await self._desk.command(execution, ReportApplied(commit))

    async def new_environment(self, execution: str, turn: int = 0, class_id: str = "") -> NewEnvironment:
        """Return an environment to be made from kept work; FailedPrecondition when it cannot be."""
        work = await self.work(execution, turn)
        record = await self._kept.record(execution, work.turn) if work.commit else None
        if record is None:
            raise FailedPrecondition(
                f"turn {work.turn} changed nothing that could be brought back"
                if not work.commit
                else "what was kept of the execution's work is not there any more"
            )
        return _like(record, execution, work.turn, class_id or self._class(record))

    def _class(self, record: Record) -> str:
        """Return the class of the first environment, or the default one when it is not configured any more."""
        first = str(record.origin.get("class", ""))
        return first if first in self._classes else self._classes[0]

    async def restore(self, execution: str, turn: int, caller: Principal) -> EnvironmentRow:
        """Let an execution whose environment is gone go on in a new one made from its kept work.

        Where nothing was ever changed inside, that is one like the first.
        """
        seen = await self._desk.seen(execution)
        used: Sequence[Mapping[str, Any]] = seen.row.view.get("status", {}).get("usedEnvironments", ())
        old = str(used[0]["environmentId"]) if used else ""
        if old and await self._is_there(old):
            await self._refuse_while_held(seen.row, old)
            raise FailedPrecondition(
                "the execution's environment is still there, and goes on with the next input; "
                f"for another one beside it: hostler env create --from {execution}"
            )
        if self._peers is not None and seen.row.runner != self._peers.me:
            await self._kept.fetch(execution, anew=True)
        new = await self._anew(execution, turn, old)
        source = new.source if isinstance(new.source, KeptSource) else None
        environment = self._ambient.new_id()
        await self._homes.write(environment, new, caller, owner=execution)
        try:
            await self._take_over(execution)
            kept = (source.turn, source.commit) if source else (0, "")
            await self._desk.command(execution, Restore(environment, *kept))
        except BaseException:
            await self._homes.forget(environment)
            raise
        await self._homes.use(environment, execution)
        if old:
            with contextlib.suppress(NotFound):
                await self._rows.release(old, execution)
        row = await self._rows.get(environment)
        assert row is not None, "it was just written"
        return row

    async def _anew(self, execution: str, turn: int, old: str) -> NewEnvironment:
        """Return the environment to go on in."""
        if turn or not unchanged(fold(await self._desk.log(execution))) or await self._rows.get(old) is None:
            return await self.new_environment(execution, turn)
        new = await self._likeness(old)
        return new if new.class_id in self._classes else replace(new, class_id=self._classes[0])

    async def _refuse_while_held(self, row: Row, environment: str) -> None:
        """Refuse to go on beside an environment that a runner holds which is away, and name the way."""
        if self._peers is not None and row.runner != self._peers.me and not await self._peers.lives(row.runner):
            raise FailedPrecondition(
                f"the execution's environment is on runner {self._peers.said(row.runner)}, which is away: "
                f"wait for it, or give the environment up first: hostler env lost {environment}"
            )

    async def _take_over(self, execution: str) -> None:
        """Make the execution one of this runner, if its own does not live; with a new fence, so that it stays away."""
        row = (await self._desk.seen(execution)).row
        if self._peers is None or self._moves is None or row.runner == self._peers.me:
            return
        if await self._peers.lives(row.runner):
            raise Unavailable(f"runner {self._peers.said(row.runner)} holds the execution; ask it")
        if await self._moves.move(execution, row.fence, self._peers.me) is None:
            raise Unavailable("the execution changed meanwhile; try again")

    async def _is_there(self, environment: str) -> bool:
        try:
            await self._homes.revivable(environment)
        except RequestError:
            return False
        return True


def _like(record: Record, execution: str, turn: int, class_id: str) -> NewEnvironment:
    """Return an environment like the one that the work was done in."""
    origin, snapshot = record.origin, record.snapshot
    first: Mapping[str, Any] = origin.get("source", {})
    source = KeptSource(
        execution,
        turn,
        snapshot.commit,
        snapshot.base,
        record.anchor,
        snapshot.head,
        snapshot.branch,
        snapshot.repository,
        snapshot.files,
        str(first.get("url", "")),
        str(first.get("path", "")),
    )
    return NewEnvironment(
        class_id,
        source,
        str(origin.get("name", "")),
        variables=origin.get("variables") or {},
        project_id=str(origin.get("project", "")),
        setup=tuple(origin.get("setup", ())),
        devcontainer=str(origin.get("devcontainer", "")),
    )
