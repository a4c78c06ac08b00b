"""The budget of a tree of sub-agents: what is set aside for each, so that all together stay within the first one's.

Whoever starts a sub-agent sets its share aside in its own log before the sub-agent is there; when that one has nothing
left to do, what it used takes the share's place. So no log needs another one to know that a limit holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hostler.core.events import Limits
from hostler.core.family import Child
from hostler.core.family_events import Share
from hostler.core.state import State

DEPTH = 3
"""How deep sub-agents may start sub-agents, unless the limits say so."""
SUBAGENTS = 20
"""Sub-agents in one tree, unless the limits say so."""
COUNTED = ("iterations", "input_tokens", "output_tokens", "cost")
"""What is shared; `subagents` is counted apart."""


@dataclass(frozen=True, slots=True)
class NoShare:
    """Nothing can be set aside; `message` says of what, for a model to read."""

    message: str


def own(state: State) -> Share:
    """Return what an execution used itself; calls that were cut off count with what they may have cost."""
    x, tokens = state.external, state.usage + state.external.estimated
    return Share(state.iterations + x.cuts, tokens.whole_input, tokens.output, cost_of(state))


def cost_of(state: State) -> float:
    """Return what an execution's own calls cost in dollars, where prices are known."""
    return sum(spent.cost for spent in state.spending.days.values())


def committed_cost(state: State) -> float:
    """Return what the sub-agents of an execution cost, those at work with what they reported last."""
    return sum(child.used.cost for child in state.family.children)


def committed(state: State) -> Share:
    """Return what all sub-agents used, or may still use of what is set aside for them."""
    whole = Share(subagents=len(state.family.children))
    for child in state.family.children:
        whole = plus(whole, _of(child))
    return whole


def used(state: State) -> Share:
    """Return what an execution and all below it used, as far as it knows."""
    return plus(own(state), committed(state))


def plus(one: Share, other: Share) -> Share:
    """Return the sum."""
    return Share(
        one.iterations + other.iterations,
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cost + other.cost,
        one.subagents + other.subagents,
    )


def _of(child: Child) -> Share:
    """Return what a sub-agent counts as: the larger of its share and its use, while it may still use it."""
    if not child.live:
        return child.used
    bound, spent = child.share, child.used
    return Share(
        max(bound.iterations, spent.iterations),
        max(bound.input_tokens, spent.input_tokens),
        max(bound.output_tokens, spent.output_tokens),
        max(bound.cost, spent.cost),
        max(bound.subagents, spent.subagents),
    )


def only_set_aside(state: State) -> bool:
    """Return whether what is used leaves something of every shared limit, so that only shares stand in the way."""
    spent = own(state)
    for child in state.family.children:
        spent = plus(spent, child.used)
    bounds = shared(state.limits)
    return all(not getattr(bounds, name) or getattr(spent, name) < getattr(bounds, name) for name in COUNTED)


def depth_limit(limits: Limits) -> int:
    """Return how deep a tree may be."""
    return limits.max_depth or DEPTH


def subagents_limit(state: State) -> int:
    """Return how many sub-agents there may be below an execution; a sub-agent has exactly what it was given."""
    given = state.limits.max_subagents
    return given if state.begun.parent else given or SUBAGENTS


def left(state: State) -> Mapping[str, float | None]:
    """Return what is left of each shared counter; None is unlimited."""
    bounds, spent = shared(state.limits), used(state)
    return {
        name: max(0, getattr(bounds, name) - getattr(spent, name)) if getattr(bounds, name) else None
        for name in COUNTED
    }


def shared(limits: Limits) -> Share:
    """Return the limits that are shared with sub-agents; 0 is none."""
    return Share(limits.max_iterations, limits.max_input_tokens, limits.max_output_tokens, limits.max_cost)


def share_for(state: State, asked: Mapping[str, Any]) -> Share | NoShare:
    """Return what a new sub-agent gets: what was asked for, else half of what is left; never more than there is."""
    depth = state.begun.parent.depth if state.begun.parent else 0
    if depth >= (deepest := depth_limit(state.limits)):
        return NoShare(f"limit max_depth reached: sub-agents may be {deepest} deep, and this is one of the deepest.")
    free = subagents_limit(state) - committed(state).subagents - 1
    if free < 0:
        limit = subagents_limit(state)
        return NoShare(f"limit max_subagents reached: {limit} may be started here, all below them included.")
    more = min(free, _number(asked.get("subagents"))) if depth + 1 < deepest else 0
    return _shared(state, asked, Share(subagents=int(more)))


def share_again(state: State, child: Child) -> Share | NoShare:
    """Return the share, in all, with which a sub-agent goes on that had given its own back."""
    if child.live:
        return child.share
    room = _shared(state, {}, Share(subagents=child.used.subagents))
    if isinstance(room, NoShare):
        return room
    more = {name: getattr(child.used, name) + getattr(room, name) if getattr(room, name) else 0 for name in COUNTED}
    free = max(0, subagents_limit(state) - committed(state).subagents)
    again = min(free, max(0, child.share.subagents - child.used.subagents))
    return Share(**more, subagents=child.used.subagents + again)


def _shared(state: State, asked: Mapping[str, Any], share: Share) -> Share | NoShare:
    values: dict[str, Any] = {}
    for name, rest in left(state).items():
        wish = _number(asked.get(name))
        if rest is None:
            values[name] = wish if name == "cost" else int(wish)
            continue
        least = 0.0 if name == "cost" else 1
        if rest <= least:
            return NoShare(f"limit max_{name} leaves nothing to share: it is used up or set aside for sub-agents.")
        given = min(wish, rest - least) if wish else rest / 2
        values[name] = given if name == "cost" else max(1, int(given))
    return Share(**values, subagents=share.subagents)


def _number(given: object) -> float:
    return given if isinstance(given, int | float) and not isinstance(given, bool) and given > 0 else 0


def limits_of(limits: Limits, share: Share, above: Limits) -> Limits:
    """Return the budget of a sub-agent: its share, within its own agent's limits and the clock of its parent's."""
    seconds = [each for each in (limits.max_seconds, above.max_seconds) if each]
    return Limits(
        max_iterations=_least(limits.max_iterations, share.iterations),
        max_input_tokens=_least(limits.max_input_tokens, share.input_tokens),
        max_output_tokens=_least(limits.max_output_tokens, share.output_tokens),
        max_seconds=min(seconds, default=0),
        max_cost=_least(limits.max_cost, share.cost),
        max_subagents=share.subagents,
        max_depth=depth_limit(above),
    )


def _least(one: Any, other: Any) -> Any:
    return min(one, other) if one and other else one or other
