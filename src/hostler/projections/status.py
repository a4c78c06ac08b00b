"""The view of an execution: the API's AgentExecution as JSON, without URLs and without what only its owner knows."""

from datetime import datetime
from typing import Any

from hostler.core.budget import committed_cost, cost_of
from hostler.core.events import OutputScalar
from hostler.core.external import External
from hostler.core.state import State
from hostler.projections import family_status
from hostler.projections.forge_status import (
    forge_warning,
    needs_credential,
    pull_requests,
    used_environments,
    waits_for_credential,
)
from hostler.projections.mcp_status import integrations
from hostler.projections.waits import interests, waits

PHASES = {phase: f"PHASE_{phase}" for phase in ("PENDING", "RUNNING", "WAITING_FOR_INPUT", "STOPPED")}
FAILURE = "AGENT_EXECUTION_FAILURE_REASON_"
PRINCIPALS = {"user": "PRINCIPAL_USER", "service_account": "PRINCIPAL_SERVICE_ACCOUNT"}
HEADLINE = 100
"""Characters of a goal that stand for a name, where nobody gave one."""


def view(state: State) -> dict[str, Any]:
    """Return {metadata, spec, status} as the API's JSON; `hostler` beside them holds what it has no name for."""
    return {
        "metadata": metadata(state),
        "spec": spec(state),
        "status": status(state),
        "hostler": {
            "agent": state.begun.agent.name,
            "model": state.begun.agent.model,
            "turn": state.turn,
            "queue": [q.id for q in state.queue],
            "baseCommit": state.environment.base_commit,
            "notes": list(state.notes),
            **spent(state),
            "missingOutputs": list(state.judging.missing),
            "conditionReasons": {one.id: one.reason for one in state.judging.results if not one.met},
            "judgementFailed": state.judging.failed,
            "refusedHosts": list(state.refused_hosts),
            "needsCredential": needs_credential(state),
            "pullRequests": pull_requests(state),
            "hostsAllowed": state.hosts_allowed,
            "turnSince": stamp(state.turn_since),
            "limit": state.failure.limit if state.failure else "",
            "kept": kept(state),
            "notKept": state.not_kept,
            "openQuestions": open_questions(state),
            "waits": waits(state, stamp),
            "nextSteps": [{"title": step.title, "prompt": step.prompt} for step in state.next_steps],
            **({"tree": tree} if (tree := family_status.tree(state)) else {}),
            **agent_facts(state),
        },
    }


def metadata(state: State) -> dict[str, Any]:
    """Return who started it, when, and what it is called."""
    begun, goal = state.begun, state.external.goal
    headline = state.headline or (goal.objective.strip().partition("\n")[0][:HEADLINE] if goal else "")
    return _full(
        name=begun.name or headline,
        description=headline,
        creator={"id": begun.creator_id, "principal": PRINCIPALS[begun.creator_kind]},
        createdAt=stamp(state.created_at),
        updatedAt=stamp(state.updated_at),
        role="AGENT_EXECUTION_ROLE_WORKFLOW" if "workflowActionId" in begun.request else "AGENT_EXECUTION_ROLE_DEFAULT",
        workflowActionId=begun.request.get("workflowActionId"),
        annotations=dict(state.annotations),
        sessionId=begun.session_id,
    )


def spec(state: State) -> dict[str, Any]:
    """Return what was asked for."""
    begun, limits = state.begun, state.limits
    bounds = _full(
        maxIterations=_number(limits.max_iterations),
        maxInputTokens=_number(limits.max_input_tokens),
        maxOutputTokens=_number(limits.max_output_tokens),
    )
    return _full(
        specVersion=str(state.spec_version),
        session=state.session,
        desiredPhase=PHASES["STOPPED" if state.phase == "STOPPED" else "RUNNING"],
        agentId=begun.agent.id,
        codeContext=begun.request.get("codeContext"),
        limits=bounds,
        codexSettings=begun.request.get("codexSettings"),
        mode=begun.request.get("mode"),
        loopConditions=[
            _full(id=one.id, expression=one.expression, description=one.description) for one in state.judging.conditions
        ],
    )


def status(state: State) -> dict[str, Any]:
    """Return where it stands. Counters are sums over the log, `statusVersion` is its last seq."""
    usage, failure = state.usage, state.failure
    return _full(
        statusVersion=str(state.seq),
        session=state.session,
        phase=PHASES[state.phase],
        failureMessage=failure.message if failure else "",
        failureReason=f"{FAILURE}{failure.reason.upper()}" if failure and failure.reason else None,
        warningMessage=warning(state),
        iterations=_number(state.iterations),
        inputTokensUsed=_number(usage.input),
        outputTokensUsed=_number(usage.output),
        cachedCreationTokensUsed=_number(usage.cache_creation),
        cachedInputTokensUsed=_number(usage.cached_input),
        contextWindowLength=_number(state.context_length),
        contextWindowLimit=_number(state.external.context_limit or state.begun.agent.context_window),
        currentOperation=operation(state),
        usedEnvironments=used_environments(state),
        currentActivity=activity(state),
        outputs={key: output(value) for key, value in state.outputs.items()},
        supportedModel=state.begun.agent.supported_model,
        llmCapabilities=capabilities(state.begun.agent.disabled_capabilities),
        mode=mode(state),
        waitingInfo=waiting(state),
        goal=goal(state),
        judgement=state.judging.text,
        loopConditionResults=condition_results(state),
        codexSettings=dict(state.external.settings),
        mcpIntegrationStatuses=integrations(state),
        subagents=[*subagents(state), *family_status.children(state)],
    )


def warning(state: State) -> str:
    """Return what may still mend itself, and what people should know about the environment."""
    hosts = ", ".join(state.refused_hosts)
    refused = f"refused by the allow list: {hosts}" if hosts else ""
    agent = state.external.warning if state.phase == "RUNNING" else ""
    return "; ".join(part for part in (state.warning, agent, *state.notes, refused, forge_warning(state)) if part)


def operation(state: State) -> dict[str, Any] | None:
    """Return what a running turn does at this moment."""
    if state.phase != "RUNNING":
        return None
    base: dict[str, Any] = {"session": state.session}
    if state.memory.compacting:
        return {**base, "llm": {"complete": False}}
    if state.call:
        return {**base, "retries": str(state.call.attempt), "llm": {"complete": False}}
    if state.tools or state.external.actions:
        name = (*state.tools, *state.external.actions)[0].name
        return {**base, "toolUse": {"toolName": name, "complete": False}}
    if state.external.calls:
        return {**base, "llm": {"complete": False}}
    return {**base, "llm": {"complete": True}}


def activity(state: State) -> str:
    """Return one line about what happens now."""
    if waits := waits_for_credential(state):
        return waits
    if state.phase == "PENDING":
        return "preparing the environment" if not state.environment.ready else "waiting for the first input"
    if state.phase != "RUNNING":
        return ""
    if state.stop is not None:
        return "stopping"
    if not state.environment.ready:
        return "bringing back the environment"
    if state.memory.compacting:
        return "shortening the conversation"
    if state.call:
        return (
            f"waiting to try the model again (attempt {state.call.attempt + 1})" if state.call.attempt else "thinking"
        )
    if running := (*state.tools, *state.external.actions):
        return ", ".join(f"running {action.name}" for action in running)
    if state.memory.shells:
        return "running a command that a person typed"
    return "finishing" if state.begun.agent.driver == "builtin" else agent_activity(state.external)


def agent_activity(x: External) -> str:
    """Return what an agent in the environment does while it runs nothing."""
    if not x.opened:
        return "starting the agent"
    if x.compact:
        return "compacting the context"
    return "thinking" if x.turn or x.calls or x.given else "finishing"


def agent_facts(state: State) -> dict[str, Any]:
    """Return what the contract has no name for of an agent in the environment."""
    x = state.external
    if state.begun.agent.driver == "builtin":
        return {}
    cut = x.estimated
    return _full(
        driver=state.begun.agent.driver,
        agentVersion=x.version,
        thread=x.thread,
        subagents=[
            {
                "id": child.id,
                "name": child.name,
                "state": child.state,
                "asked": child.asked,
                "said": child.said,
                "totalTokens": child.total_tokens,
            }
            for child in x.children
        ],
        cutCallsEstimate={"input": cut.whole_input, "output": cut.output} if cut.whole_input or cut.output else None,
    )


def open_questions(state: State) -> list[dict[str, Any]]:
    """Return the questions that wait for a person, the same for every agent; `ask` is what they were asked in."""
    return [
        {
            "id": one.id,
            "ask": ask.ask,
            "text": one.text,
            "choices": [{"label": c.label, "text": c.text, "description": c.description} for c in one.choices],
            "allowOther": one.other,
        }
        for ask in state.external.asks
        if not ask.answer
        for one in ask.questions
    ]


def mode(state: State) -> str:
    """Return the mode that the agent works in; one that pursues a goal is in GOAL unless its turn says otherwise."""
    pursued = state.external.goal
    pursues = pursued is not None and pursued.status == "active" and state.modes.now == "execution"
    return f"AGENT_MODE_{'GOAL' if pursues else state.modes.now.upper()}"


def condition_results(state: State) -> list[dict[str, Any]]:
    """Return what each loop condition came to when it was evaluated last."""
    part = state.judging
    return [
        {
            "conditionId": one.id,
            "iteration": part.rounds.get(one.id, 0),
            "lastEvaluatedAt": stamp(part.at),
            "met": one.met,
        }
        for one in part.results
    ]


def spent(state: State) -> dict[str, Any]:
    """Return what it cost in dollars, itself and with its sub-agents, as far as prices are known."""
    unpriced = sum(one.unpriced for one in state.spending.days.values())
    if not state.begun.agent.prices:
        return {}
    own, below = cost_of(state), committed_cost(state)
    return {"cost": round(own, 6), "treeCost": round(own + below, 6), "unpricedCalls": unpriced}


def goal(state: State) -> dict[str, Any] | None:
    """Return what the agent works towards over turns."""
    now = state.external.goal
    if now is None:
        return None
    since, at = state.external.times.get("goal", (None, None))
    return _full(
        objective=now.objective,
        status=f"GOAL_STATUS_{now.status.upper()}",
        createdAt=stamp(since),
        updatedAt=stamp(at),
        timeUsed=f"{now.seconds_used:g}s",
        tokensUsed=_number(now.tokens_used),
        tokenBudget=_number(now.token_budget),
    )


def subagents(state: State) -> list[dict[str, Any]]:
    """Return the sub-agents that the agent runs itself."""
    phases = {"running": "RUNNING", "done": "STOPPED", "failed": "STOPPED"}
    return [
        _full(
            id=child.id,
            name=child.name,
            phase=PHASES[phases[child.state]],
            currentActivity=next(
                (f"running {a.name}" for a in state.external.actions if a.item.startswith(f"{child.id}/")), ""
            ),
            statusMessage="failed" if child.state == "failed" else child.said.strip().partition("\n")[0][:HEADLINE],
            createdAt=stamp(state.external.times[child.id][0]),
            updatedAt=stamp(state.external.times[child.id][1]),
        )
        for child in state.external.children
    ]


def capabilities(disabled: tuple[str, ...]) -> dict[str, Any]:
    """Return which of the contract's capabilities the model does not offer here."""
    return {"disabledCapabilities": [f"LLM_DISABLED_CAPABILITY_{name}" for name in disabled]} if disabled else {}


def waiting(state: State) -> dict[str, Any] | None:
    """Return what an idle execution waits for: always a message of the user, and what the agent asked for."""
    if state.phase != "WAITING_FOR_INPUT":
        return None
    return {
        "waitId": f"{state.turn}",
        "interests": interests(state, stamp),
        "waitingSince": stamp(state.waiting_since),
    }


def output(value: OutputScalar) -> dict[str, Any]:
    """Return a typed output as the contract's OutputValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"floatValue": value}
        case str():
            return {"stringValue": value}


def kept(state: State) -> dict[str, Any] | None:
    """Return what is kept of the work outside the environment; None when nothing is, or nothing differs."""
    if state.kept is None or not state.kept.work.commit:
        return None
    work = state.kept.work
    return {
        "turn": work.turn,
        "commit": work.commit,
        "base": work.base,
        "files": work.files,
        "at": stamp(state.kept.at),
        "pushed": work.pushed,
        "applied": state.kept.applied,
        "leftOut": list(work.left_out),
    }


def stamp(moment: datetime | None) -> str | None:
    """Return a time as RFC 3339 in UTC."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _number(value: int) -> str | None:
    return str(value) if value else None


def _full(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value, as proto JSON leaves the others out."""
    empty: tuple[object, ...] = (None, "", {}, [])
    return {key: value for key, value in fields.items() if value not in empty or isinstance(value, bool)}
