"""Telling what an agent that lives in the environment says, does and asks."""

from hostler.core import agent_events as ae
from hostler.core.agents import Child, FileChange, Goal, Question
from hostler.core.asking import answers
from hostler.core.events import Event
from hostler.projections.changes import of_change
from hostler.projections.items import Questions, SubAgent
from hostler.projections.telling import Telling
from hostler.projections.telling_inputs import InputTeller
from hostler.projections.telling_steps import StepTeller


class AgentTeller:
    """Follows questions and sub-agents; text and actions are told as those of the built-in agent are."""

    def __init__(self, telling: Telling, steps: StepTeller, inputs: InputTeller) -> None:
        self._telling = telling
        self._steps = steps
        self._inputs = inputs
        self._asks: dict[str, str] = {}
        self._children: dict[str, str] = {}
        self._said = 0

    def tell(self, event: Event) -> None:
        """Tell of an event; most kinds say nothing to people."""
        match event:
            case ae.AgentSaid(_, text, thinking, block):
                self._steps.say(text, block, thinking=thinking)
            case ae.ActionStarted(item, name, arguments):
                self._steps.start(item, name, arguments)
            case ae.FilesChanged(item, changes):
                self._changed(item, changes)
            case ae.ActionFinished(item):
                if self._steps.action(item) is None:
                    return
                self._steps.finish(event)
            case ae.QuestionsAsked(ask, questions):
                self._ask(ask, questions)
            case ae.QuestionsClosed(ask):
                self._close(ask)
            case ae.ChildReported(child):
                self._child(child)
            case _:
                self._noted(event)

    def _noted(self, event: Event) -> None:
        note = self._telling.note
        match event:
            case ae.AgentEnded(_, message, True):
                note("agent_ended", "The agent's program ended by itself; it is started again.", "ask", message)
            case ae.AgentFault(_, message):
                note("agent_ended", "The agent cannot go on.", "bad", message)
            case ae.AgentNoted(_, body, True):
                first = (body.strip().splitlines() or [""])[0][:200]
                note("warning", f"The agent warns: {first}", "ask", body if body.strip() != first else "")
            case ae.CompactRequested():
                note("compacted", "The context will be compacted.")
            case ae.Compacted(problem):
                said = "The context could not be compacted." if problem else "The context was compacted."
                note("compacted", said, "ask" if problem else "", problem)
            case ae.GoalChanged(goal):
                self._goal(goal)
            case _:
                pass

    def _changed(self, item: str, changes: tuple[FileChange, ...]) -> None:
        action = self._steps.action(item)
        if action is None:
            self._steps.start(item, "edit", "")
            action = self._steps.action(item)
        if action is not None:
            told = tuple(
                (one.moved_to or one.path, one.kind, of_change(one), one.path if one.moved_to else "")
                for one in changes
            )
            self._steps.changed(action, told)
            if told:
                self._steps.forget(item)

    def _ask(self, ask: str, questions: tuple[Question, ...]) -> None:
        telling = self._telling
        name = self._asks.setdefault(ask, telling.name("ask"))
        telling.put(Questions(name, telling.turn, telling.at, ask, questions))

    def _close(self, ask: str) -> None:
        item = self._telling.items.get(self._asks.get(ask, ""))
        if not isinstance(item, Questions) or item.state != "open":
            return
        answer = self._inputs.answered.get(ask, "")
        said = self._inputs.said(answer)
        self._inputs.seen(answer)
        if not said:
            self._telling.change(item.id, state="closed")
            return
        given = answers(item.questions, said)
        told = tuple((one.text, given[one.id]) for one in item.questions)
        self._telling.change(item.id, state="answered", answer=said, answers=told)

    def end(self) -> None:
        """Take questions back that nobody answered: the execution stopped."""
        for ask in self._asks:
            self._close(ask)

    def _child(self, child: Child) -> None:
        telling = self._telling
        known = telling.items.get(self._children.get(child.id, ""))
        name = self._children.setdefault(child.id, telling.name("child"))
        began = known.at if known else telling.at
        turn = known.turn if known else telling.turn
        ended = None if child.state == "running" else telling.at
        telling.put(SubAgent(name, turn, began, child.id, child.name, child.state, child.total_tokens, ended))

    def _goal(self, goal: Goal | None) -> None:
        before = self._telling.before.external.goal
        if (goal and goal.status) == (before and before.status) and (goal and goal.objective) == (
            before and before.objective
        ):
            return
        said = f"Goal ({goal.status.replace('_', ' ')}): {goal.objective}" if goal else "The goal was cleared."
        self._telling.note("goal", said)
