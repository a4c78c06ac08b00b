"""The tools with which the agent waits: one registers what will wake it and ends the turn, one takes that back."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hostler.core.errands import Errand
from hostler.core.interests_events import Interest, InterestsDropped, InterestsRegistered
from hostler.core.timers import after, next_of, seconds_of
from hostler.core.waking import words
from hostler.tools.tool import Answer, Arguments, Inside

MOST = 20
"""Interests of one execution."""
LONGEST = timedelta(hours=24)
"""As the configuration's `wait_hours` has it, where nobody tells."""
SPACE = uuid.UUID("6f0a5c52-3d0a-4c55-9f6e-0f4b9a2c7d11")


class AwaitedEnvironment(BaseModel):
    """An environment, and the phase that it is to be in."""

    model_config = ConfigDict(extra="forbid")

    phase: Literal["running", "stopped", "deleted"]
    environment_id: str = Field("", max_length=36, description="Yours when empty.")


class WaitArguments(Arguments):
    """What to wait for; whichever comes first wakes you, and the others stay."""

    duration: str = Field("", max_length=40, description='A timer, such as "90s", "5m" or "1h30m".')
    cron: str = Field("", max_length=200, description="A timer as a cron line with five fields.")
    time_zone: str = Field("", max_length=60, description='Of the cron line, such as "Europe/Berlin"; else UTC.')
    repeat: bool = Field(False, description="Whether the cron line wakes you again and again.")
    sub_agents: list[str] = Field(
        default_factory=list[str], max_length=MOST, description="Names or ids of your sub-agents."
    )
    environment: AwaitedEnvironment | None = None
    at_most: str = Field("", max_length=40, description="How long to wait for what may never come, such as 30m.")
    note: str = Field("", max_length=500, description="What you want to be reminded of when you are woken.")


class Wait:
    """Registers what the agent waits for; the turn ends with the call."""

    name = "wait"
    description = (
        "Wait without using anything up, instead of sleeping or polling: for a timer, for sub-agents, for an "
        "environment, or with no arguments for the next message of the person. A message always wakes you, too, and "
        "leaves what you wait for standing. Your turn ends with this call, so make it the last one; everything you "
        "know is there when you are woken."
    )
    arguments = WaitArguments
    inside = False

    async def go(self, arguments: WaitArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Register it; times count from the start of the call."""
        try:
            interests = _interests(arguments, errand)
        except ValueError as problem:
            return Answer("failed", f"{problem}.")
        if len(interests) + len(errand.state.interests.open) > MOST:
            return Answer("failed", f"You wait for {MOST} things at most; cancel_wait takes some back.")
        what = "; ".join(described(one) for one in interests) or "the next message"
        text = f"Your turn ends here. You will be woken by: {what}. A message wakes you, too."
        return Answer("ok", text, events=(InterestsRegistered(errand.call_id, interests),))


def _interests(asked: WaitArguments, errand: Errand) -> tuple[Interest, ...]:
    """Return all that is waited for; raises ValueError with what is wrong."""
    made = [*_timers(asked, errand.since), *_children(asked, errand), *_environment(asked, errand)]
    bound = bounded(asked.at_most, errand)
    return tuple(
        _named(one, errand, number, asked.note, None if one.kind == "timer" else bound)
        for number, one in enumerate(made, 1)
    )


def bounded(at_most: str, errand: Errand) -> datetime:
    """Return when something is given up that may never come; raises ValueError."""
    longest = errand.services.waits.longest if errand.services.waits else LONGEST
    asked = timedelta(seconds=seconds_of(at_most)) if at_most else longest
    return errand.since + min(asked, longest)


def _named(one: Interest, errand: Errand, number: int, note: str, until: datetime | None) -> Interest:
    """Return an interest under the id that this call gives it whenever it is carried out."""
    name = str(uuid.uuid5(SPACE, f"{errand.execution}/{errand.call_id}/{number}"))
    return replace(one, id=name, note=note, until=until)


def _timers(asked: WaitArguments, since: datetime) -> Sequence[Interest]:
    if asked.repeat and not asked.cron:
        raise ValueError("only a cron line repeats")
    timers: list[Interest] = []
    if asked.duration:
        timers.append(Interest("", "timer", duration=asked.duration.strip(), fires_at=after(asked.duration, since)))
    if asked.cron:
        due, zone = next_of(asked.cron, asked.time_zone, since), asked.time_zone or "UTC"
        timers.append(Interest("", "timer", cron=asked.cron, zone=zone, fires_at=due, repeats=asked.repeat))
    return timers


def _children(asked: WaitArguments, errand: Errand) -> Sequence[Interest]:
    family, found = errand.state.family, dict[str, str]()
    for asked_for in asked.sub_agents:
        child = family.called(asked_for)
        if child is None or not child.execution:
            names = ", ".join(one.name for one in family.children)
            raise ValueError(f"{asked_for!r} is none of your sub-agents: {names or 'you have none'}")
        found[child.execution] = child.name
    return [Interest("", "sub_agent", subject=execution, name=name) for execution, name in found.items()]


def _environment(asked: WaitArguments, errand: Errand) -> Sequence[Interest]:
    if asked.environment is None:
        return ()
    named = asked.environment.environment_id or errand.state.environment.id
    try:
        subject = str(uuid.UUID(named))
    except ValueError:
        raise ValueError(f"{named!r} is no id of an environment") from None
    return [Interest("", "environment", subject=subject, phase=asked.environment.phase)]


def described(one: Interest) -> str:
    """Return an interest with its id and its time, for the model."""
    moment = one.fires_at or one.until
    when = f" {'at' if one.fires_at else 'until'} {moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""
    return f"{words(one)}{when} [{one.id}]"


class CancelWaitArguments(Arguments):
    """What not to wait for any more."""

    ids: list[str] = Field(default_factory=list[str], max_length=MOST, description="Ids from wait; none means all.")


class CancelWait:
    """Takes back what the agent waits for."""

    name = "cancel_wait"
    description = "Take back what you wait for, by the ids that wait gave you, or all of it. Your turn goes on."
    arguments = CancelWaitArguments
    inside = False

    async def go(self, arguments: CancelWaitArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Take it back; doing so again changes nothing."""
        if errand.services.waits is None:
            return Answer("failed", "Nothing can be waited for here.")
        state = await errand.services.waits.cancel(errand.execution, tuple(arguments.ids))
        left = "; ".join(described(one) for one in state.interests.open) or "nothing but messages"
        unknown = [one for one in arguments.ids if one not in _ever(errand)]
        text = f"You wait for: {left}."
        return Answer("failed" if unknown else "ok", (f"There is no {', '.join(unknown)}. " if unknown else "") + text)


def _ever(errand: Errand) -> frozenset[str]:
    """Return the ids of everything that was ever waited for."""
    registered = (r.event.interests for r in errand.log if isinstance(r.event, InterestsRegistered))
    dropped = (r.event.ids for r in errand.log if isinstance(r.event, InterestsDropped))
    return frozenset(one.id for interests in registered for one in interests).union(*dropped)


class RebuildArguments(Arguments):
    """Nothing but what to be reminded of."""

    note: str = Field("", max_length=500, description="What you want to be reminded of when it is done.")


class RebuildDevcontainer:
    """Has the lifecycle commands of devcontainer.json run again, and waits for them."""

    name = "rebuild_devcontainer"
    description = (
        "Read devcontainer.json again and run its lifecycle commands (onCreateCommand, postCreateCommand, "
        "postStartCommand and their siblings) once more in your environment, after you have changed them or what they "
        "install. Your turn ends with this call; you are woken when they are done, with what failed."
    )
    arguments = RebuildArguments
    inside = False

    async def go(self, arguments: RebuildArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Register it; the commands begin with the wait."""
        if any(one.kind == "devcontainer_rebuild" for one in errand.state.interests.open):
            return Answer("failed", "A rebuild is under way; wait for it.")
        one = Interest("", "devcontainer_rebuild", subject=errand.state.environment.id, phases=("running", "failed"))
        named = _named(one, errand, 1, arguments.note, bounded("", errand))
        text = "The lifecycle commands run now and your turn ends here. You will be woken when they are done."
        return Answer("ok", text, events=(InterestsRegistered(errand.call_id, (named,)),))
