"""Hosts that somebody allows while environments run: for one until it stops, or for all of a class, for good.

What was allowed once lies in the environment's row and goes when it stops; what was allowed for a class has a table of
its own. The proxy asks `patterns` whenever the settings alone would refuse, so a change holds at once.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.commands import ReportHostAllowed
from hostler.core.egress import Allowed, ClassHost, ClassHosts, Until, host_pattern, matches, split_port
from hostler.core.errors import EnvironmentFailed, FailedPrecondition, HostlerError, NotFound
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Executions, Principal
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.rows import LEAVING, Ledger
from hostler.engine.environments.shape import Shapes
from hostler.environments.egress import Refusal, check_address
from hostler.projections.status import stamp

log = structlog.get_logger(__name__)

MOST = 200
"""Hosts that may be allowed once for one environment, and for one class."""
RUNNING = ("creating", "starting", "running")
Report = Callable[[str, ReportHostAllowed], Awaitable[object]]
"""Gives an execution a command."""


class Hosts:
    """Implements `hostler.core.egress.HostDesk`."""

    def __init__(
        self,
        runner: str,
        rows: EnvironmentRows,
        class_hosts: ClassHosts,
        executions: Executions,
        shapes: Shapes,
        journal: Journal,
        report: Report,
        ambient: Ambient,
    ) -> None:
        self._runner = runner
        self._ledger = Ledger(rows, ambient)
        self._class_hosts = class_hosts
        self._executions = executions
        self._shapes = shapes
        self._journal = journal
        self._report = report
        self._ambient = ambient

    async def patterns(self, environment: str) -> Sequence[str]:
        """Return what was allowed for an environment beyond its settings, for the proxy; nothing where that fails."""
        try:
            row = await self._ledger.rows.get(environment)
            if row is None or row.phase in LEAVING:
                return ()
            of_class = await self._class_hosts.find(row.class_id)
        except HostlerError as problem:
            log.warning("what is allowed could not be looked up", environment=environment, problem=problem.message)
            return ()
        return (*(one["host"] for one in once(row)), *(one.host for one in of_class))

    async def of_environment(self, environment: str) -> tuple[Allowed, ...]:
        """Return what an environment may reach."""
        row = await self._ledger.get(environment)
        until_stopped = (
            Allowed(one["host"], "once", one["by"], datetime.fromisoformat(one["at"])) for one in once(row)
        )
        return (*self._shapes.allowed(row), *await self._of_class(row.class_id), *until_stopped)

    async def of_class(self, class_id: str) -> tuple[Allowed, ...]:
        """Return what was allowed for a class beyond the settings."""
        return await self._of_class(self._known(class_id))

    async def _of_class(self, class_id: str) -> tuple[Allowed, ...]:
        found = await self._class_hosts.find(class_id)
        return tuple(Allowed(one.host, "class", one.by, one.at) for one in found)

    def _known(self, class_id: str) -> str:
        """Return the id of a class that is named by its id or its name."""
        for cls in self._shapes.classes.values():
            if class_id in (cls.id, cls.name):
                return cls.id
        raise NotFound("there is no such environment class", field="environment_class_id")

    async def allow(self, environment: str, host: str, until: Until, by: Principal) -> bool:
        """Allow a host for an environment, or for its class."""
        row = await self._ledger.staying(environment)
        if until == "class":
            return await self.allow_class(row.class_id, host, by)
        pattern = self._public(host_pattern(host))
        at, new = str(stamp(self._ambient.now())), False

        def added(now: EnvironmentRow) -> Mapping[str, Any]:
            nonlocal new
            if now.phase not in RUNNING:
                raise FailedPrecondition(f"the environment is {now.phase}; start it first, or allow it for its class")
            known = once(now)
            new = all(one["host"] != pattern for one in known)
            if new and len(known) >= MOST:
                raise FailedPrecondition(f"{MOST} hosts are allowed for this environment already", field="host")
            return {"hosts": [*known, {"host": pattern, "by": by.name, "at": at}] if new else list(known)}

        try:
            await self._ledger.amend(environment, added)
        except EnvironmentFailed as problem:
            raise FailedPrecondition(problem.message) from None
        if new:
            await self._journal.say(environment, f"{by.name} allowed {pattern} until the environment stops")
        await self._tell((environment,), ReportHostAllowed(pattern, "once", by.name))
        return new

    async def allow_class(self, class_id: str, host: str, by: Principal) -> bool:
        """Allow a host for a class."""
        class_id, pattern = self._known(class_id), self._public(host_pattern(host))
        if len(await self._class_hosts.find(class_id)) >= MOST:
            raise FailedPrecondition(f"{MOST} hosts are allowed for this class already", field="host")
        new = await self._class_hosts.add(ClassHost(class_id, pattern, by.name, self._ambient.now()))
        of_class = [row for row in await self._ledger.rows.find(runner=self._runner) if row.class_id == class_id]
        staying = [row.id for row in of_class if row.phase not in LEAVING]
        if new:
            for row in of_class:
                if row.phase in RUNNING:
                    await self._journal.say(row.id, f"{by.name} allowed {pattern} for environments of this class")
        await self._tell(staying, ReportHostAllowed(pattern, "class", by.name))
        return new

    async def forbid(self, environment: str, host: str) -> bool:
        """Take back what was allowed once."""
        await self._ledger.staying(environment)
        pattern, there = host_pattern(host), False

        def removed(now: EnvironmentRow) -> Mapping[str, Any]:
            nonlocal there
            left = [one for one in once(now) if one["host"] != pattern]
            there = len(left) < len(once(now))
            return {"hosts": left}

        try:
            await self._ledger.amend(environment, removed)
        except EnvironmentFailed as problem:
            raise FailedPrecondition(problem.message) from None
        if there:
            await self._journal.say(environment, f"{pattern} is not allowed any more")
        return there

    async def forbid_class(self, class_id: str, host: str) -> bool:
        """Take back what was allowed for a class."""
        return await self._class_hosts.remove(self._known(class_id), host_pattern(host))

    def _public(self, pattern: str) -> str:
        """Refuse what the proxy would refuse whatever is allowed: an address or name of this machine or network."""
        name, port = split_port(pattern)
        if any(matches(private, name, port or 0, ()) for private in self._shapes.private):
            return pattern
        try:
            check_address(str(ipaddress.ip_address(name)))
        except Refusal as refusal:
            raise FailedPrecondition(f"{name} can not be allowed: {refusal}", field="host") from None
        except ValueError:
            pass
        if name.removeprefix("*.").rpartition(".")[2] in ("localhost", "local", "internal"):
            reason = "it is a name of this machine or network; list the host in private_hosts"
            raise FailedPrecondition(f"{name} can not be allowed: {reason}", field="host")
        return pattern

    async def _tell(self, environments: Sequence[str], report: ReportHostAllowed) -> None:
        """Note it in the log of every execution that uses one of the environments and had the host refused."""
        for environment in environments:
            for execution in await self._ledger.rows.users(environment):
                row = await self._executions.row(execution)
                if row is None or row.deleted_at is not None or not row.view.get("hostler", {}).get("refusedHosts"):
                    continue
                try:
                    await self._report(execution, report)
                except HostlerError as problem:
                    log.info("an allowed host could not be noted", execution=execution, problem=problem.message)


def once(row: EnvironmentRow) -> Sequence[Mapping[str, str]]:
    """Return what was allowed for an environment until it stops."""
    return row.status.get("hosts") or ()
