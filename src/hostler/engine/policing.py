"""The organization's policy where work begins: what is refused, what is added to agents, and who has used up a cap.

Everything that starts an execution, a turn or an environment passes here, whoever asks: a person, an agent, a timer.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import structlog

from hostler.core.ambient import Ambient
from hostler.core.commands import Command, Exhaust
from hostler.core.desk import NewEnvironment, NewExecution
from hostler.core.errors import HostlerError, ResourceExhausted
from hostler.core.people import People, authorship
from hostler.core.policy import Policies, Policy, Used
from hostler.core.ports import EnvironmentRows, ExecutionQuery, Executions, Principal
from hostler.core.projects import repository_key
from hostler.core.spending import SpendingBook

log = structlog.get_logger(__name__)

GIB = 1 << 30
PAGE = 100
MOST_COUNTED = 10_000

Taken = Callable[[Sequence[str]], Awaitable[int]]
"""Returns how many bytes environments take of the disk."""
Give = Callable[[str, Command], Awaitable[object]]
"""Gives an execution a command."""


class Gate(Protocol):
    """What the desk asks before work begins."""

    async def admit(self, new: NewExecution) -> NewExecution:
        """Return the execution as it may be started; FailedPrecondition or ResourceExhausted when it may not be."""
        ...

    async def admit_turn(self, creator: str) -> None:
        """Raise ResourceExhausted when a person has used up what turns may take."""
        ...


class OpenGate:
    """Lets everything in."""

    async def admit(self, new: NewExecution) -> NewExecution:
        """Return it as it is."""
        return new

    async def admit_turn(self, creator: str) -> None:
        """Let it begin."""


class Policing:
    """Holds the policy; keeps only a copy of it, for what cannot wait for the database."""

    def __init__(
        self,
        policies: Policies,
        spending: SpendingBook,
        executions: Executions,
        environments: EnvironmentRows,
        people: People,
        taken: Taken,
        ambient: Ambient,
    ) -> None:
        self._policies = policies
        self._spending = spending
        self._executions = executions
        self._environments = environments
        self._people = people
        self._taken = taken
        self._ambient = ambient
        self.policy = Policy()

    async def refresh(self) -> Policy:
        """Return the policy that holds now, and keep it."""
        self.policy = (await self._policies.current()).policy
        return self.policy

    def turns_of(self, person: str) -> int:
        """Return how many turns a person may have running at once, as far as is known; 0: all."""
        return self.policy.caps_for(person).running

    def denies(self, host: str, port: int) -> bool:
        """Return whether no environment may reach a host, as far as is known."""
        return self.policy.denies(host, port)

    async def admit(self, new: NewExecution) -> NewExecution:
        """Return the execution with the policy's rules before those of its agent."""
        policy = await self.refresh()
        policy.check_agent(new.agent.id, new.agent.name)
        policy.check_model(new.agent.model)
        await self._check_tokens(policy, new.creator.id)
        rules = tuple(rule for rule in policy.rules() if rule not in new.agent.permissions)
        return replace(new, agent=replace(new.agent, permissions=(*rules, *new.agent.permissions)))

    async def admit_turn(self, creator: str) -> None:
        """Check the tokens of the day."""
        await self._check_tokens(await self.refresh(), creator)

    async def admit_environment(self, new: NewEnvironment, creator: Principal) -> NewEnvironment:
        """Return an environment as it may be made; git commits as its creator there, unless it names another."""
        await self._check_environment(new, creator)
        person = await self._people.get(creator.id)
        return replace(new, variables={**authorship(person), **(new.variables or {})}) if person else new

    async def _check_environment(self, new: NewEnvironment, creator: Principal) -> None:
        """Check where an environment's code comes from, and the disk that its creator's take."""
        policy = await self.refresh()
        key = repository_key(new.source)
        if key:
            policy.check_repository(key, of="code_context")
        most = policy.caps_for(creator.id).disk_gib
        if not most:
            return
        mine = [row.id for row in await self._environments.find() if row.creator_id == creator.id]
        taken = await self._taken(mine)
        if taken >= most * GIB:
            raise ResourceExhausted(
                f"your environments take {taken / GIB:.1f} of {most} GiB (caps.disk_gib of the organization's policy); "
                "delete some that you do not need"
            )

    async def used(self, person: str) -> Used:
        """Return what a person uses now."""
        mine = [row.id for row in await self._environments.find() if row.creator_id == person]
        query = ExecutionQuery(creator_ids=(person,), phases=("RUNNING",))
        running = await self._executions.count(query, MOST_COUNTED)
        return Used(running, await self.spent_today(person), await self._taken(mine))

    async def spent_today(self, person: str) -> int:
        """Return the tokens of all kinds that a person's executions took since midnight, UTC."""
        return (await self._spending.by_person(_day(self._ambient.now()))).get(person, 0)

    async def enforce(self, give: Give) -> None:
        """Stop what runs beyond its creator's tokens of the day."""
        policy = await self.refresh()
        if not policy.caps.tokens_a_day and not any(caps.tokens_a_day for caps in policy.caps_of.values()):
            return
        for person, tokens in (await self._spending.by_person(_day(self._ambient.now()))).items():
            most = policy.caps_for(person).tokens_a_day
            if most and tokens >= most:
                await self._stop(person, Exhaust("tokens_a_day", _said(most, tokens)), give)

    async def _stop(self, person: str, command: Exhaust, give: Give) -> None:
        before = ""
        query = ExecutionQuery(creator_ids=(person,), phases=("RUNNING",))
        while rows := await self._executions.find(query, before, PAGE):
            for row in rows:
                try:
                    await give(row.id, command)
                except HostlerError as problem:
                    log.warning("an execution beyond its cap goes on", execution=row.id, problem=problem.message)
            before = rows[-1].id

    async def _check_tokens(self, policy: Policy, person: str) -> None:
        most = policy.caps_for(person).tokens_a_day
        if most and (tokens := await self.spent_today(person)) >= most:
            raise ResourceExhausted(_said(most, tokens))


def _said(most: int, used: int) -> str:
    return (
        f"the tokens of the day are used up: {used} of {most} since midnight UTC (caps.tokens_a_day of the "
        "organization's policy). Send an input tomorrow, or ask an administrator for more"
    )


def _day(now: datetime) -> str:
    return f"{now:%Y-%m-%d}"
