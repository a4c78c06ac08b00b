"""Who sees what: one decision, by the person, whose thing it is, and the organization's policy.

Administrators see everything. Others see what everybody started, or, when the policy says `own`, what they started
themselves. What somebody does not see is answered as if it were not there.
"""

from hostler.api.call import Caller, current
from hostler.core.errors import NotFound
from hostler.core.policy import Policies
from hostler.core.ports import EnvironmentRow, EnvironmentRows, Executions, Principal, Row

EVERYBODY = ""
"""Whose things are seen by those who see everything."""


class Sight:
    """Decides; it asks anew each time, so that a change holds from the next look on."""

    def __init__(self, policies: Policies, executions: Executions, rows: EnvironmentRows) -> None:
        self._policies = policies
        self._executions = executions
        self._rows = rows

    async def bound(self, caller: Caller | None = None) -> str:
        """Return whose things alone a caller (the one of the call) sees; EVERYBODY for those of everybody."""
        caller = caller or current().caller
        if caller is None:
            raise NotFound("there is nothing here for nobody")
        return await self.of(caller.sees_as)

    async def of(self, principal: Principal) -> str:
        """Return whose things alone a person sees; EVERYBODY for those of everybody."""
        if principal.admin or (await self._policies.current()).policy.sight == "organization":
            return EVERYBODY
        return principal.id

    async def sees(self, creator: str, caller: Caller | None = None) -> bool:
        """Return whether a caller sees what a person has started or made."""
        return await self.bound(caller) in (EVERYBODY, creator)

    async def sees_execution(self, caller: Caller, execution: str) -> bool:
        """Return whether a caller may know of an execution; yes where there is none."""
        bound = await self.bound(caller)
        if bound == EVERYBODY:
            return True
        row = await self._executions.row(execution)
        return row is None or creator_of(row) == bound

    async def sees_environment(self, caller: Caller, environment: str) -> bool:
        """Return whether a caller may know of an environment; yes where there is none."""
        bound = await self.bound(caller)
        if bound == EVERYBODY:
            return True
        row = await self._rows.get(environment)
        return row is None or row.creator_id == bound

    async def check_execution(self, execution: str, caller: Caller | None = None) -> None:
        """Raise NotFound for an execution that the caller does not see, in the same words for one that is not there."""
        caller = caller or current().caller
        if caller is None or (bound := await self.bound(caller)) == EVERYBODY:
            return
        row = await self._executions.row(execution)
        if row is None or creator_of(row) != bound:
            raise NotFound("there is no such agent execution", field="agent_execution_id")

    async def check_environment(
        self, environment: str, caller: Caller | None = None, field: str = "environment_id"
    ) -> None:
        """Raise NotFound for an environment that the caller does not see; one that is not there is told the same."""
        caller = caller or current().caller
        if caller is None or (bound := await self.bound(caller)) == EVERYBODY:
            return
        row = await self._rows.get(environment)
        if row is None or row.creator_id != bound:
            raise NotFound("there is no such environment", field=field)


def creator_of(row: Row | EnvironmentRow) -> str:
    """Return the id of who started an execution or made an environment."""
    if isinstance(row, EnvironmentRow):
        return row.creator_id
    return str(row.view.get("metadata", {}).get("creator", {}).get("id", ""))
