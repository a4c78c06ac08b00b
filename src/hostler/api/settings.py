"""How a turn is to be run: modes, annotations with a meaning, and settings of one agent only.

What comes with a later release is refused by name, never ignored.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from hostler.agents.codex.settings import MODELS
from hostler.contract.gitpod.v1.agent_settings_pb import AgentMode, CodexOpenAIModel, CodexSettings
from hostler.core.commands import MAX_ANNOTATIONS
from hostler.core.errors import FailedPrecondition, HostlerError, InvalidArgument, Unimplemented
from hostler.core.events import Agent, Limits
from hostler.core.expressions import check
from hostler.core.ports import Models

LONGEST_KEY = 256
LONGEST_VALUE = 4096
OURS = "hostler/"
MODEL, LIMITS, UNTIL = "hostler/model", "hostler/limits", "hostler/until"
REQUIRES = "hostler/requires"


def check_modes(modes: Sequence[AgentMode], field: str) -> None:
    """Raise InvalidArgument for modes that contradict one another."""
    if AgentMode.UNSPECIFIED in modes:
        raise InvalidArgument("UNSPECIFIED is no mode of a turn", field=field)
    if len(set(modes)) != len(modes):
        raise InvalidArgument("a mode is repeated", field=field)
    if AgentMode.EXECUTION in modes and AgentMode.PLANNING in modes:
        raise InvalidArgument("EXECUTION and PLANNING exclude each other", field=field)


def check_codex(settings: CodexSettings | None, agent: Agent, models: Models, allowed: Callable[[str], bool]) -> str:
    """Return the model that settings of the Codex agent choose, as PROVIDER:NAME, empty when they leave it open.

    InvalidArgument when they are given to another agent, FailedPrecondition for a model that is not configured.
    """
    if settings is None:
        return ""
    field = "codex_settings"
    if agent.driver != "codex":
        raise InvalidArgument(f"agent {agent.name} is not a Codex agent", field=field)
    if settings.model == CodexOpenAIModel.UNSPECIFIED:
        return ""
    provider = agent.model.partition(":")[0]
    name = f"{provider}:{MODELS[f'CODEX_OPEN_AI_MODEL_{settings.model.name}']}"
    if not allowed(name):
        raise FailedPrecondition(f"model {name} is not allowed here", field=f"{field}.model")
    try:
        models.get(name)
    except HostlerError as problem:
        raise FailedPrecondition(f"model {name} is not configured: {problem.message}", field=f"{field}.model") from None
    return name


def check_annotations(annotations: Mapping[str, str], field: str, *, empty: bool = False) -> None:
    """Raise InvalidArgument for annotations out of bounds; `empty` values are allowed where they delete."""
    if len(annotations) > MAX_ANNOTATIONS:
        raise InvalidArgument(f"at most {MAX_ANNOTATIONS} pairs are kept", field=field)
    for key, value in annotations.items():
        if not 1 <= len(key) <= LONGEST_KEY:
            raise InvalidArgument(f"a key has 1 to {LONGEST_KEY} characters", field=f"{field}[{key[:40]}]")
        if len(value) > LONGEST_VALUE:
            raise InvalidArgument(f"a value has at most {LONGEST_VALUE} characters", field=f"{field}[{key}]")
        if key == UNTIL and value:
            check(value, f"{field}[{key}]")
        if key.startswith(OURS) and key not in (MODEL, LIMITS, UNTIL, REQUIRES):
            raise InvalidArgument(f"known are {MODEL}, {LIMITS}, {UNTIL} and {REQUIRES}", field=f"{field}[{key}]")
        if key in (MODEL, LIMITS, REQUIRES) and empty:
            raise Unimplemented("it can be set at the start only", field=f"{field}[{key}]")


def with_limits(agent: Agent, annotations: Mapping[str, str]) -> Agent:
    """Return the agent with the budget of the annotation `hostler/limits`, a JSON object of whole numbers."""
    text = annotations.get(LIMITS)
    if text is None:
        return agent
    field = f"annotations[{LIMITS}]"
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument("a JSON object is needed", field=field) from None
    if not isinstance(given, dict):
        raise InvalidArgument("a JSON object is needed", field=field)
    known = [f.name for f in fields(Limits)]
    for key, value in cast("dict[str, object]", given).items():
        if key not in known:
            raise InvalidArgument(f"there is no limit {key!r}; known are {', '.join(known)}", field=field)
        whole = type(value) is int or (key == "max_cost" and type(value) is float)
        if not whole or not 0 <= cast("float", value) < 1 << 63:
            raise InvalidArgument(f"{key} must be a whole number from 0 on", field=field)
    return replace(agent, limits=replace(agent.limits, **given))


def check_priced(agent: Agent) -> None:
    """Refuse a limit of cost where a model has no price, as its calls would not count."""
    judges = (agent.judgement_model or agent.model,) if agent.judgement_prompt else ()
    for model in (agent.model, *judges):
        if agent.limits.max_cost and model not in agent.prices:
            raise FailedPrecondition(
                f'max_cost needs the price of {model}: set [models."{model}"] price in hostler.toml',
                field="agent.limits.max_cost",
            )
