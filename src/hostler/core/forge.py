"""Pull requests, annotations and hosts that ask for a credential: a part of the state."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.core import forge_events as m
from hostler.core.changing import changed as replace
from hostler.core.events import Event, Recorded

if TYPE_CHECKING:
    from hostler.core.state import State


@dataclass(frozen=True, slots=True)
class Forge:
    """What is known; see the module."""

    unauthenticated: tuple[str, ...] = ()
    """Hosts that wait for a credential."""
    environments: tuple[str, ...] = ()
    """Environments that the agent made."""


def follow(part: Forge, state: "State", recorded: Recorded) -> Forge:
    """Return what is known after one more event; `state` is the rest of the state after it."""
    event = recorded.event
    match event:
        case m.HostAuthenticationRequired(_, host):
            return (
                part if host in part.unauthenticated else replace(part, unauthenticated=(*part.unauthenticated, host))
            )
        case m.HostAuthenticated(host):
            return replace(part, unauthenticated=tuple(one for one in part.unauthenticated if one != host))
        case m.EnvironmentCreated(_, environment):
            return replace(part, environments=(*part.environments, environment))
        case _:
            return part


HEARD: tuple[type[Event], ...] = (
    m.HostAuthenticationRequired,
    m.HostAuthenticated,
    m.EnvironmentCreated,
)
"""Kinds of events that change it."""
