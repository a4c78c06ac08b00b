"""What a run is held to: loop conditions, required outputs and limits, as requests and annotations give them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hostler.contract.gitpod.v1.agent_execution_pb import AgentExecution
from hostler.contract.gitpod.v1.agent_execution_requests_pb import UpdateAgentExecutionRequest
from hostler.core.commands import SetTerms
from hostler.core.errors import InvalidArgument
from hostler.core.expressions import check
from hostler.core.judging_events import Condition, OutputRule

MOST = 25
"""Conditions, and required outputs, of one execution."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=128)
    type: str = Field("", pattern="^(string|integer|number|boolean)?$")
    accept: str = ""
    description: str = Field("", max_length=500)


_RULES = TypeAdapter(list[_Rule])


def terms_of(spec: UpdateAgentExecutionRequest.Spec) -> SetTerms:
    """Return what a changed spec asks for; a spec without conditions takes them all away, one without limits none."""
    limits = spec.limits
    named = (
        {}
        if limits is None
        else {
            "max_iterations": limits.max_iterations,
            "max_input_tokens": limits.max_input_tokens,
            "max_output_tokens": limits.max_output_tokens,
        }
    )
    for name, value in named.items():
        if value < 0:
            raise InvalidArgument("a limit is a whole number from 0 on; 0 is none", field=f"spec.limits.{name}")
    alone = limits is not None and not spec.loop_conditions
    return SetTerms(None if alone else conditions_of(spec.loop_conditions, "spec.loop_conditions"), named)


def conditions_of(given: Sequence[AgentExecution.Spec.LoopCondition], field: str) -> tuple[Condition, ...]:
    """Return conditions; InvalidArgument, with the position, for an expression that cannot be evaluated."""
    if len(given) > MOST:
        raise InvalidArgument(f"at most {MOST} conditions are kept", field=field)
    found: dict[str, Condition] = {}
    for number, one in enumerate(given):
        check(one.expression, f"{field}[{number}].expression")
        name = one.id or f"condition-{number + 1}"
        if name in found:
            raise InvalidArgument("two conditions have this id", field=f"{field}[{number}].id")
        found[name] = Condition(name, one.expression, one.description)
    return tuple(found.values())


def required_outputs(text: str, field: str) -> tuple[OutputRule, ...]:
    """Return the required outputs that an annotation names, a JSON list of {key, type, accept, description}."""
    try:
        given: Any = json.loads(text)
        rules = _RULES.validate_python(given)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidArgument(f"{where}: {first['msg']}", field=field) from None
    except (ValueError, RecursionError):
        raise InvalidArgument("a JSON list of {key, type, accept, description} is needed", field=field) from None
    return rules_of([rule.model_dump() for rule in rules], field)


def rules_of(given: Sequence[Mapping[str, Any]], field: str) -> tuple[OutputRule, ...]:
    """Return required outputs whose expressions are sound."""
    if len(given) > MOST:
        raise InvalidArgument(f"at most {MOST} outputs can be required", field=field)
    for rule in given:
        if rule["accept"]:
            check(str(rule["accept"]), field, of="value")
    return tuple(OutputRule(**rule) for rule in given)
