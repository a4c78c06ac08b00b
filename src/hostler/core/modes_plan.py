"""What a mode changes in the plan: which tools there are, and what a run goes on with when it has nothing left to do.

A round that begins by itself is an input of Hostler's own, so a person's goes first. After each round the harness looks
at what it left (`LookAtRound`), and rounds without progress stop and ask, whatever had begun them.
"""

import json
import posixpath
import uuid
from dataclasses import dataclass

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.agents import Choice, Goal, Question
from hostler.core.changing import changed as replace
from hostler.core.events import Event
from hostler.core.external_plan import idle_agent
from hostler.core.goals import split
from hostler.core.memory_events import ContextCleared
from hostler.core.modes import GO_ON, HALTED, STOP_HERE
from hostler.core.state import OpenTool, State

PLAN, SPEC = ".hostler/plan.md", ".hostler/spec.md"
SAME = 3
"""Rounds in a row with the same sign that are no progress."""
MOST_ROUNDS = 100
"""Rounds without a person's word after which one is asked, whatever came of them."""
LOOKING = frozenset(
    {"read", "search", "todo", "ask", "next_steps", "skill", "wait", "cancel_waits", "list_agents", "annotate", "goal"}
)
"""Tools that change nothing outside the log, which planning offers."""
OWN = "progress-"
"""How the name of a question begins that Hostler asks by itself."""
SPACE = uuid.UUID("b39f2b1e-3c54-5c43-9a36-0d2f3c8b7a11")

PLANNING = """\
This is for planning only: look, think and propose, and change nothing. Tools that change things are not offered; \
commands can write to /tmp alone. They are back when the person ends planning."""
WRITE_PLAN = f"""\
Work on this task in rounds. In this first round only make the plan: look around as much as you need, then write \
{PLAN} with one line `- [ ] STEP` for each step, small enough that one round can do it and check it. Do not begin \
with the work itself. Then end your turn."""
NO_PLAN = f"There is no {PLAN} with a line `- [ ] STEP` for each step yet. Write it now, then end your turn."
ROUND = f"""\
You work on a task in rounds; this is a new one, and you remember nothing of the earlier ones but what is in the \
workspace. Do the next open step of the plan, check it, tick it off in {PLAN} as `- [x] STEP` only when the check \
passed, and end your turn. Add steps where the plan misses some.

The task:
{{task}}

{PLAN} as it is now:
{{plan}}"""
WRITE_SPEC = f"""\
Before anything is built, write a specification: look around, ask with `ask` what only the person can decide, then \
write {SPEC}: what is to be built, what not, how it is checked, and the steps. Change nothing else. Then end your \
turn, so that the person can read it."""
NO_SPEC = f"There is no {SPEC} yet. Write it now, then end your turn."
PURSUE = """\
Go on towards the goal: {objective}
{budget}When it is reached, and a check shows it, call `goal` with status complete; when you cannot go on without a \
person, call it with status blocked and say why. Otherwise do the next thing."""


@dataclass(frozen=True, slots=True)
class LookAtRound:
    """Look at what round `round` has left in the workspace and in the log; ends in RoundLookedAt or SupervisorLost."""

    round: int
    incarnation: str


Effect = LookAtRound
"""What it may want."""


def looks_only(state: State) -> bool:
    """Return whether nothing may be changed but, for a specification, its own file."""
    return state.modes.now == "planning" or (state.modes.now == "spec" and state.modes.stage == "writing")


def offered(state: State) -> tuple[str, ...]:
    """Return the tools of the built-in agent in its present mode."""
    names = state.begun.agent.tools
    goal = state.external.goal
    if goal is None or goal.status != "active":
        names = tuple(name for name in names if name != "goal")
    if not looks_only(state):
        return names
    able = LOOKING | ({"bash"} if state.environment.read_only else set[str]())
    able |= {"write", "edit"} if state.modes.now == "spec" else set[str]()
    return tuple(name for name in names if name in able)


def refusal(tool: OpenTool, state: State) -> str:
    """Return why a call may not start in the present mode; '' when it may."""
    if not looks_only(state) or tool.name not in ("write", "edit"):
        return ""
    try:
        path = posixpath.normpath(str(json.loads(tool.arguments)["path"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "" if path == SPEC or path.endswith(f"/{SPEC}") else f"Only {SPEC} may be written before it is complete."


def entering(state: State, taken: tuple[str, ...]) -> tuple[Event, ...]:
    """Return what the inputs that are taken now change of the mode."""
    events: list[Event] = []
    goal = state.external.goal
    for asked in (state.modes.asked[i] for i in taken if i in state.modes.asked):
        text = asked.text.strip()
        if state.modes.stuck and text.casefold() == STOP_HERE.casefold():
            events.append(m.ModeEntered("execution", HALTED))
        elif state.modes.stuck and goal and goal.status == "blocked":
            events.append(ae.GoalChanged(replace(goal, status="active")))
        for mode in asked.modes:
            match mode:
                case "spec" | "ralph":
                    events += [m.ModeEntered(mode, "asked for", task=text), *_told(state, mode)]
                case "goal":
                    objective, budget = split(text)
                    events.append(ae.GoalChanged(Goal(objective or text, "active", budget)))
                case "execution":
                    lasts = state.modes.mode != "execution"
                    events.append(m.ModeEntered(mode, "asked for", lasting=lasts))
                case "planning":
                    events += [m.ModeEntered(mode, "asked for", lasting=False), *_told(state, mode)]
                case _:
                    pass
    return tuple(events)


def told_inside(state: State, take: ev.InputTaken) -> tuple[Event, ...]:
    """Return what an agent in the environment is given: it knows nothing of a question that Hostler asked by itself."""
    closed = tuple(ae.QuestionsClosed(ask.ask) for ask in state.external.asks if ask.ask.startswith(OWN))
    said = {state.modes.asked[i].text.strip().casefold() for i in take.input_ids if i in state.modes.asked}
    halts = state.modes.stuck and STOP_HERE.casefold() in said
    return (*closed, take, *((m.ModeEntered(state.modes.mode, HALTED, task=state.modes.task),) if halts else ()))


def _told(state: State, mode: m.Mode) -> tuple[Event, ...]:
    """Return what the model is told when a mode begins, as an input that is taken at once."""
    words = {"planning": PLANNING, "spec": WRITE_SPEC, "ralph": WRITE_PLAN}[mode]
    queued = said(state, words, mode)
    return (queued, ev.InputTaken((queued.input_id,)))


def out_of_budget(state: State) -> tuple[Event, ...]:
    """Return what a used-up token budget of a goal comes to, before another call is made for it."""
    goal = state.external.goal
    if goal is None or goal.status != "active" or not goal.token_budget or goal.tokens_used < goal.token_budget:
        return ()
    return (ae.GoalChanged(replace(goal, status="budget_exhausted")),)


def ended(state: State, status: str) -> tuple[Event, ...]:
    """Return what a stop or a limit makes of the built-in agent's goal, so that it is not called active then."""
    goal = state.external.goal
    if goal is None or goal.status != "active" or state.begun.agent.driver != "builtin":
        return ()
    return (ae.GoalChanged(replace(goal, status=status)),)


def wanted(state: State) -> frozenset[Effect]:
    """Return the look at a round that is over."""
    if not holds(state) or state.killing or not state.environment.ready:
        return frozenset()
    return frozenset({LookAtRound(state.modes.step, state.environment.incarnation)})


def holds(state: State) -> bool:
    """Return whether a round is over and nobody has looked at it yet."""
    if state.phase != "RUNNING" or state.stop is not None or state.modes.looked >= state.modes.step:
        return False
    return _by_itself(state) and quiet(state)


def _by_itself(state: State) -> bool:
    """Return whether there is something that may begin rounds without a person."""
    return not state.modes.halted and (
        state.modes.stage != "" or _pursues(state) or bool(state.judging.conditions or state.begun.agent.requires)
    )


def _pursues(state: State) -> bool:
    goal = state.external.goal
    return goal is not None and goal.status == "active" and state.begun.agent.driver == "builtin"


def quiet(state: State) -> bool:
    """Return whether a running turn has nothing to do, parts apart."""
    if state.external.asks or state.memory.compacting or state.memory.shells:
        return False
    if state.begun.agent.driver != "builtin":
        return idle_agent(state)
    return not (state.call or state.tools or state.fresh or state.queue)


def going_on(state: State) -> tuple[Event, ...]:
    """Return what begins another round of a running turn that has nothing left to do; () when it may end."""
    if not _by_itself(state):
        return ()
    match state.modes.now, state.modes.stage:
        case "ralph", "writing":
            return _planned(state)
        case "ralph", "working":
            return _next_round(state)
        case "spec", "writing":
            return _specified(state)
        case _:
            return _pursue(state) if _pursues(state) else ()


def _planned(state: State) -> tuple[Event, ...]:
    look = state.modes.looks[-1] if state.modes.looks else None
    if look is None or not look.plan_all:
        return (said(state, NO_PLAN),)
    message = f"The plan has {look.plan_all} steps."
    return (m.ModeChanged("ralph", "spec_complete", message), *_round(state, look.plan))


def _next_round(state: State) -> tuple[Event, ...]:
    look = state.modes.looks[-1] if state.modes.looks else None
    if look is None or not look.plan_all:
        return (said(state, NO_PLAN),)
    if not look.plan_open:
        message = f"All {look.plan_all} steps of the plan are done."
        return (m.ModeChanged("ralph", "complete", message), m.ModeEntered("execution", "the plan is done"))
    message = f"{look.plan_all - look.plan_open} of {look.plan_all} steps of the plan are done."
    return (m.ModeChanged("ralph", "iteration_complete", message), *_round(state, look.plan))


def _round(state: State, plan: str) -> tuple[Event, ...]:
    """Return a round that begins with nothing but the task and the plan."""
    return (ContextCleared("a new round"), said(state, ROUND.format(task=state.modes.task, plan=plan)))


def _specified(state: State) -> tuple[Event, ...]:
    look = state.modes.looks[-1] if state.modes.looks else None
    if look is None or not look.spec:
        return (said(state, NO_SPEC),)
    message = f"The specification is in {SPEC}."
    return (m.ModeChanged("spec", "spec_complete", message), m.ModeEntered("execution", "the specification is written"))


def _pursue(state: State) -> tuple[Event, ...]:
    goal = state.external.goal
    assert goal is not None
    if spent := out_of_budget(state):
        return spent
    left = goal.token_budget - goal.tokens_used
    budget = f"{left} of {goal.token_budget} tokens are left for it.\n" if goal.token_budget else ""
    return (said(state, PURSUE.format(objective=goal.objective, budget=budget)),)


def said(state: State, text: str, why: str = "") -> ev.InputQueued:
    """Return an input of Hostler's own; one append has at most one with the same `why`."""
    begun = state.begun
    name = str(uuid.uuid5(SPACE, f"{begun.session_id}/{begun.environment_id}/{state.seq}/{why}"))
    return ev.InputQueued(name, {"inputs": [{"text": {"content": text}}]}, name, "harness")


def broken(state: State) -> tuple[Event, ...]:
    """Return what stops rounds that come to nothing, and asks; () while they may go on."""
    looks = state.modes.looks[-SAME:]
    same = set(looks[0].signs).intersection(*(look.signs for look in looks)) if len(looks) == SAME else set[str]()
    if not same and state.modes.rounds < MOST_ROUNDS:
        return ()
    rounds = SAME if same else state.modes.rounds
    what = ", ".join(sorted(sign.partition(":")[0] for sign in same)) or "many rounds"
    message = f"{rounds} rounds went by without progress ({what})." if same else f"{rounds} rounds went by."
    choices = (Choice(GO_ON, GO_ON), Choice(STOP_HERE, STOP_HERE))
    name = f"{OWN}{state.seq}"
    question = Question(f"{name}.1", f"{message} Shall I go on?", choices, other=True)
    asks = (m.NoProgress(what, rounds, tuple(sorted(same)), message), ae.QuestionsAsked(name, (question,)))
    return (*ended(state, "blocked"), *asks)
