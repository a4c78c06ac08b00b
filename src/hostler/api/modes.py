"""Modes on the wire: which an agent can work in, those of one turn, and texts that begin with /ona:MODE."""

import re
from collections.abc import Sequence
from dataclasses import replace

from hostler.api.inputs import parts_of
from hostler.api.settings import check_modes
from hostler.contract.gitpod.v1.agent_input_pb import UserInputBlock
from hostler.contract.gitpod.v1.agent_settings_pb import AgentMode, TurnOptions
from hostler.core.commands import Send
from hostler.core.errors import FailedPrecondition, InvalidArgument
from hostler.core.events import Agent

DRIVING = (AgentMode.RALPH, AgentMode.SPEC, AgentMode.GOAL)
"""Modes that go on by themselves; a turn has one of them at most."""
OF_OTHERS = (AgentMode.EXECUTION, AgentMode.GOAL)
"""Modes of agents that live in the environment; they cannot be kept from writing, and plan for themselves."""
_MODE = re.compile(r"\s*/ona:(execution|planning|spec|ralph)(?:\s+|$)")


def names_mode(part: object) -> bool:
    """Return whether a part of an input is a text that sets the mode of its turn."""
    return isinstance(part, UserInputBlock.TextInput) and _MODE.match(part.content) is not None


def check_able(modes: Sequence[AgentMode], agent: Agent, field: str) -> None:
    """Raise InvalidArgument for modes that make no sense together, FailedPrecondition for what the agent has not."""
    check_modes(modes, field)
    if sum(mode in DRIVING for mode in modes) > 1:
        raise InvalidArgument("RALPH, SPEC and GOAL exclude one another", field=field)
    for mode in modes:
        if agent.driver != "builtin" and mode not in OF_OTHERS:
            raise FailedPrecondition(f"agent {agent.name} does not support mode {mode.name}", field=field)


def check_start(mode: AgentMode, options: TurnOptions | None, agent: Agent) -> None:
    """Raise what `check_able` raises for the modes of a start; the goal of another agent comes with its input."""
    modes = [mode] if mode != AgentMode.UNSPECIFIED else []
    check_able(modes, agent, "mode")
    more = list(options.modes) if options else []
    check_able(more, agent, "turn_options.modes")
    if agent.driver != "builtin" and AgentMode.GOAL in (*modes, *more):
        text = f"agent {agent.name} takes its goal with an input: begin it with /ona:goal"
        raise FailedPrecondition(text, field="mode" if modes else "turn_options.modes")


def in_mode(send: Send, block: UserInputBlock, options: TurnOptions | None, agent: Agent) -> Send:
    """Return an input with the modes of its turn; a text that begins with /ona:MODE is heard without it."""
    modes = list(options.modes) if options else []
    match parts_of(block):
        case [(field, UserInputBlock.TextInput(content=text)), *_] if found := _MODE.match(text):
            rest = text[found.end() :].strip()
            if not rest:
                raise InvalidArgument(f"say after /ona:{found[1]} what is to be done", field=field)
            modes = [*modes, AgentMode[found[1].upper()]]
            send = replace(send, expansion=send.expansion or rest)
        case _:
            pass
    check_able(modes, agent, "turn_options.modes")
    return replace(send, modes=tuple(mode.name.lower() for mode in modes))
