"""Finding out whether a run is done: conditions and outputs evaluated, and a judge asked about what the log shows."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from hostler.core import events as ev
from hostler.core import judging_events as m
from hostler.core.conversation import Delta, ModelRequest, Text, UserMessage
from hostler.core.errors import HostlerError
from hostler.core.expressions import unmet
from hostler.core.judging_plan import EvaluateConditions, Judge
from hostler.core.modes import whole_text
from hostler.core.ports import Fact, Models
from hostler.core.redaction import Redactor
from hostler.core.state import State
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene
from hostler.projections.receipts import receipts

log = structlog.get_logger(__name__)
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
TASK, RECEIPTS, VERDICT = 8_000, 40_000, 4_000
"""Characters of the task and of the receipts that the judge reads, and of its verdict that is kept."""
JUDGE = """\
You judge the work of a software engineering agent. You are given the task, and receipts that the harness recorded: \
which commands ran with which exit codes, which of them were checks, which files changed, and the outputs that were \
set. You are not given what the agent claims. Say in a few sentences whether the task is done as far as the receipts \
show it, name the receipts that your verdict rests on, and what is not shown by any.

"""


@dataclass(frozen=True, slots=True)
class Evaluating:
    """Evaluates every condition and every required output, once a round, over the outputs as they stand."""

    redactor: Redactor

    async def __call__(self, effect: EvaluateConditions, scene: Scene) -> Outcome:
        """Return one fact."""
        results, missing = await asyncio.to_thread(evaluated, scene.state)
        done = m.ConditionsEvaluated(
            effect.step,
            tuple(m.ConditionResult(one.id, one.met, self.redactor.text(one.reason)) for one in results),
            tuple(self.redactor.text(one) for one in missing),
        )
        return Outcome((Fact(f"conditions/{effect.step}/{scene.state.seq}", done),))


def evaluated(state: State) -> tuple[tuple[m.ConditionResult, ...], tuple[str, ...]]:
    """Return what each condition came to, and which required outputs are missing, and why."""
    outputs = dict(state.outputs)
    results: list[m.ConditionResult] = []
    for one in state.judging.conditions:
        values = {"outputs": outputs, "iteration": state.judging.rounds.get(one.id, 0) + 1}
        why = unmet(one.expression, values)
        results.append(m.ConditionResult(one.id, not why, why))
    missing = [f"{rule.key}: {why}" for rule in state.begun.agent.requires if (why := _wrong(rule, outputs))]
    return tuple(results), tuple(missing)


def _wrong(rule: ev.OutputRule, outputs: Mapping[str, ev.OutputScalar]) -> str:
    """Return why a required output is not as it must be; '' when it is."""
    about = f" ({rule.description})" if rule.description else ""
    if rule.key not in outputs:
        return f"it is not set{about}"
    value = outputs[rule.key]
    is_bool = isinstance(value, bool)
    if rule.type and not (isinstance(value, TYPES[rule.type]) and is_bool == (rule.type == "boolean")):
        return f"it must be of type {rule.type}{about}"
    if rule.accept and (why := unmet(rule.accept, {"value": value}, of="value")):
        return f"{rule.accept} must hold, but {why}{about}"
    return ""


@dataclass(frozen=True, slots=True)
class Judging:
    """Asks a model that sees what the harness recorded and nothing that the agent says of itself."""

    models: Models
    redactor: Redactor

    async def __call__(self, effect: Judge, scene: Scene) -> Outcome:
        """Return the verdict, or why there is none: the run ends all the same."""
        key, agent = f"judge/{effect.turn}/{effect.step}", scene.state.begun.agent
        name = agent.judgement_model or agent.model
        try:
            model = await self.models.prepare(name)
            reply = await model.call(await asyncio.to_thread(question, scene), _unseen)
        except HostlerError as problem:
            return Outcome((Fact(key, m.JudgementFailed(effect.turn, self.redactor.text(problem.message))),))
        except Exception as fault:
            log.exception("a judge failed")
            said = f"the judge failed inside Hostler: {type(fault).__name__}"
            return Outcome((Fact(key, m.JudgementFailed(effect.turn, said)),))
        text = "\n".join(part.text for part in reply.parts if isinstance(part, Text)).strip()
        verdict = self.redactor.text(text[:VERDICT]) or "The judge said nothing."
        return Outcome((Fact(key, m.Judged(effect.turn, verdict, name, reply.usage)),))


def question(scene: Scene) -> ModelRequest:
    """Return what the judge is asked: the task, the receipts, the outputs."""
    said = [r.event for r in scene.log if isinstance(r.event, ev.InputQueued) and r.event.origin == "user"]
    goal = scene.state.external.goal
    tasks = [*(whole_text(one.block) for one in said), *([goal.objective] if goal else [])]
    shown = json.dumps(receipts(scene.log).to_json(), ensure_ascii=False, default=str)
    body = {
        "The task": "\n---\n".join(tasks)[:TASK],
        "Receipts": shown if len(shown) <= RECEIPTS else f"{shown[: RECEIPTS // 2]} … {shown[-RECEIPTS // 2 :]}",
        "Outputs": json.dumps(dict(scene.state.outputs), ensure_ascii=False),
    }
    text = "\n\n".join(f"# {name}\n\n{part}" for name, part in body.items())
    return ModelRequest(JUDGE + scene.state.begun.agent.judgement_prompt, (UserMessage((), (Text(text),)),))


def _unseen(delta: Delta) -> None:
    """Show nobody what a verdict says while it is written."""


def performers(models: Models, redactor: Redactor) -> dict[type[object], Performer]:
    """Return who finds out what judging wants to know."""
    return {EvaluateConditions: Evaluating(redactor), Judge: Judging(models, redactor)}
