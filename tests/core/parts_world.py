"""A world for plans in which every part of the state is at work: rounds, waits, sub-agents, approvals, judges."""

import contextlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hostler.core import agent_events as ae
from hostler.core import (
    approvals_plan,
    family_plan,
    forge_plan,
    interests_plan,
    judging_plan,
    mcp_plan,
    memory_plan,
    modes_plan,
    plan,
)
from hostler.core import events as ev
from hostler.core import family_events as f
from hostler.core import judging_events as j
from hostler.core import memory_events as m
from hostler.core.agents import GoalChange, Question
from hostler.core.approvals_events import Permission
from hostler.core.approving import DenyLate
from hostler.core.commands import ChangeGoal, Command, Compact, decide
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.core.errors import RequestError
from hostler.core.events import Agent, Event, Limits, Recorded, Started
from hostler.core.family_commands import HearChild
from hostler.core.family_events import Parent
from hostler.core.forge_events import HostAuthenticationRequired, PullRequestGiven
from hostler.core.interests_events import Interest, InterestsRegistered
from hostler.core.judging_events import Condition, OutputRule
from hostler.core.kept import WorkKept
from hostler.core.mcp_events import McpChanged, McpStatus
from hostler.core.memory import shell_id
from hostler.core.modes_events import RoundLookedAt
from hostler.core.plan import Effect, Session, due, wanted
from hostler.core.state import State, evolve, fold
from hostler.core.waking import GiveUp, Wake
from hostler.projections.row import project

SESSION = Session("life-1", 0.0)
START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 200
TOOLS = ("bash", "ask", "wait", "spawn_agent", "goal", "write", "push")
CALLS = (
    ("bash", '{"command": "make"}'),
    ("bash", '{"command": "git push origin main"}'),
    ("ask", "{}"),
    ("wait", '{"duration": "5m"}'),
    ("spawn_agent", '{"task": "t"}'),
    ("goal", '{"status": "complete"}'),
    ("bash", '{"command": "rm -rf x"}'),
    ("mcp__docs__read", "{}"),
    ("unknown", "{}"),
)
PASSIVE = (forge_plan.AwaitCredential, plan.Purge)
"""Effects that wait for a person, or are the end."""


NO_LIMITS = Limits()


def agent(limits: Limits, kind: int) -> Agent:
    """Return an agent; the bits of `kind` say what it has to put up with."""
    return Agent(
        "a",
        "a",
        "builtin",
        "m:m",
        limits=limits,
        context_window=100 if kind & 1 else 0,
        tools=TOOLS,
        tools_inside=("bash", "write"),
        judgement_prompt="judge it" if kind & 2 else "",
        conditions=(Condition("c", "outputs.a == 1", max_iterations=2),) if kind & 4 else (),
        requires=(OutputRule("b"),) if kind & 8 else (),
        permissions=(Permission("bash", "ask", "git push *"), Permission("bash", "deny", "rm *")),
        mcp=("docs",),
    )


class Story:
    """An engine without a world: it appends what it is told and holds what must always hold."""

    def __init__(self, limits: Limits = NO_LIMITS, kind: int = 0) -> None:
        self.log: list[Recorded] = []
        self.state = State()
        self.supervisors = 1
        request = {"codeContext": {"pullRequest": {"url": "https://x.test/o/r/pull/1"}}} if kind & 32 else {}
        parent = Parent("p", "c1.0", 1) if kind & 16 else None
        self.append(Started(request, agent(limits, kind), "env", True, "me", "s", parent=parent))

    def append(self, *events: Event) -> None:
        for event in events:
            recorded = Recorded(len(self.log) + 1, START + timedelta(seconds=len(self.log)), event)
            self.state = evolve(self.state, recorded)
            self.log.append(recorded)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=len(self.log))

    def settle(self) -> None:
        for _ in range(PATIENCE):
            if not (decisions := due(self.state, SESSION)):
                return self.hold()
            self.append(*decisions)
        raise AssertionError(f"decisions without end: {[type(r.event).__name__ for r in self.log[-6:]]}")

    def ask(self, command: Command) -> None:
        match command:
            case Compact():
                command = Compact(f"r{len(self.log)}")
            case ChangeGoal(_, change):
                command = ChangeGoal(f"g{len(self.log)}", change)
            case _:
                pass
        with contextlib.suppress(RequestError):
            self.append(*decide(self.state, command, SESSION))
        self.settle()

    def happen(self, way: int, which: int) -> None:
        """Let an effect end in one of its ways, a sub-agent report, or the owner change."""
        effects = sorted(wanted(self.state), key=repr)
        running = [child for child in self.state.family.children if child.execution and child.doing == "running"]
        at = which % (len(effects) + len(running) + 1)
        if at < len(effects):
            self.carry_out(effects[at], way)
        elif at < len(effects) + len(running):
            self.report(running[at - len(effects)].call_id, ("rests", "asks", "stopped", "waits")[way % 4])
        elif self.state.phase == "RUNNING" and way == 0:
            self.supervisors += which % 2
            self.append(ev.TurnAdopted("life-2", START))
        self.settle()

    def report(self, call_id: str, rest: f.Rest) -> None:
        child = self.state.family.child(call_id)
        if child is None or self.state.deleted:
            return
        said = f.SubAgentReported(call_id, child.execution, child.turn + 1, rest, f.Share(1, 1, 1), child.grant)
        self.ask(HearChild(said, {"senderExecutionId": child.execution, "payload": rest}, rest))

    def carry_out(self, effect: Effect, way: int) -> None:
        before = len(self.log)
        if command := self.command_of(effect):
            self.ask(command)
            assert before < len(self.log) or effect not in wanted(self.state), f"{effect} comes to nothing for ever"
            return
        self.append(*self.facts_of(effect, way))
        self.settle()

    def command_of(self, effect: Effect) -> Command | None:
        match effect:
            case approvals_plan.DenyAtDeadline(call_id):
                return DenyLate(call_id)
            case interests_plan.FireTimer(interest, due_at):
                return Wake(interest, self.now, {"interestId": interest, "timer": {}}, due_at)
            case interests_plan.GiveUpWaiting(interest):
                return GiveUp(interest, self.now)
            case interests_plan.WatchChild(interest):
                return Wake(interest, self.now, {})
            case _:
                return None

    def facts_of(self, effect: Effect, way: int) -> tuple[Event, ...]:
        match effect:
            case plan.PrepareEnvironment():
                return self._prepared(way)
            case plan.CallModel(call_id):
                return self._replied(call_id, way)
            case plan.RunTool():
                return self._ran(effect, way)
            case plan.EndTurn():
                return plan.ending(self.state)
            case plan.EnforceTime():
                return plan.out_of_time(self.state, START + timedelta(days=1)) if way == 9 else ()
            case plan.KillGroup(turn):
                return (ev.GroupGone(turn),)
            case plan.KeepWork(turn):
                return (WorkKept(turn, "c" * 40),)
            case _:
                return self._of_part(effect, way)

    def _prepared(self, way: int) -> tuple[Event, ...]:
        if way == 9:
            return (ev.EnvironmentFailed("no"),)
        if way == 8 and not self.state.forge.needs:
            return (HostAuthenticationRequired("", "x.test", purpose="clone"),)
        return (ev.EnvironmentReady("env", f"supervisor-{self.supervisors}"),)

    def _replied(self, call_id: str, way: int) -> tuple[Event, ...]:
        if way == 9:
            return (ev.ModelCallFailed(call_id, "long", None, overflow=True),)
        number = 0 if way == 0 else len(self.log) % 3
        calls = tuple(ToolCall(f"t{n}", *CALLS[(way + n) % len(CALLS)]) for n in range(number))
        status = McpStatus("docs", "docs", "ready", tools=("read",))
        known = () if self.state.mcp.servers else (McpChanged((status,)),)
        return (*known, ev.ModelReplied(call_id, (Text("hi"), *calls), Usage(20, 2, 0, 4)))

    def _ran(self, effect: plan.RunTool, way: int) -> tuple[Event, ...]:
        call_id, name = effect.call_id, effect.name
        if way == 9 and effect.incarnation:
            self.supervisors += 1
            return (ev.SupervisorLost(effect.incarnation),)
        done = ev.ToolFinished(call_id, "ok", "done")
        match name:
            case "ask":
                return (done, ae.QuestionsAsked(call_id, (Question("q", "Why?"),)))
            case "wait":
                timer = Interest(f"w{call_id}", "timer", duration="5m", fires_at=self.now)
                kids = [one for one in self.state.family.children if one.execution]
                subs = [Interest(f"s{call_id}", "sub_agent", subject=one.execution, until=self.now) for one in kids[:1]]
                return (done, InterestsRegistered(call_id, (timer, *subs) if way % 2 else tuple(subs)))
            case "spawn_agent" if way != 8:
                return (done, f.SubAgentStarted(call_id, f"x{call_id}", "a", "env"))
            case "goal" if (goal := self.state.external.goal) and goal.status == "active":
                status = "completed" if way % 2 else "blocked"
                return (done, ae.GoalChanged(replace(goal, status=status)))
            case "bash" if way == 7:
                why = "fatal: could not read Username for 'https://git.test'"
                return (ev.ToolFinished(call_id, "failed", why),)
            case "bash" if way == 6:
                return (done, ev.OutputsSet({"a": 1, "b": 1}))
            case _:
                return (done if way != 8 else ev.ToolFinished(call_id, "failed", "no"),)

    def _of_part(self, effect: Effect, way: int) -> tuple[Event, ...]:
        match effect:
            case memory_plan.Compact(id_):
                return (
                    m.ContextCompacted(id_, "short", tokens=way, model="m" if way else "", usage=Usage(1, 0, 0, 1)),
                )
            case memory_plan.RunShell(call_id):
                return (m.ShellFinished(call_id, "ok", "done"),)
            case modes_plan.LookAtRound(number):
                plan_all, plan_open = (2, way % 3) if way < 7 else (0, 0)
                return (RoundLookedAt(number, "- [ ] x", min(plan_open, plan_all), plan_all, way % 2 == 0, ("same",)),)
            case judging_plan.EvaluateConditions(step):
                conditions = self.state.judging.conditions
                results = tuple(j.ConditionResult(one.id, "a" in self.state.outputs, "no") for one in conditions)
                missing = [rule.key for rule in self.state.begun.agent.requires if rule.key not in self.state.outputs]
                return (j.ConditionsEvaluated(step, results, tuple(missing)),)
            case judging_plan.Judge(turn):
                return (
                    (j.JudgementFailed(turn, "no"),) if way == 9 else (j.Judged(turn, "good", "m", Usage(1, 0, 0, 1)),)
                )
            case family_plan.StopChild(call_id):
                return (f.SubAgentEnded(call_id, "stopped", f.Share(1, 1, 1)),)
            case family_plan.RemoveChild(call_id):
                return (f.SubAgentEnded(call_id, "removed"),)
            case family_plan.NotifyParent(turn, rest):
                return (f.ParentNotified(turn, rest, gone=way == 9),)
            case family_plan.AskShare(grant):
                return (
                    (f.ShareDenied("nothing is left"),) if way > 6 else (f.ShareGranted(f.Share(9, 999, 999), grant),)
                )
            case forge_plan.NoteAuthentication(call_id, host):
                return (HostAuthenticationRequired(call_id, host),)
            case forge_plan.LookAtPullRequest(url):
                return (PullRequestGiven(url),)
            case mcp_plan.RestMcp():
                return (McpChanged((McpStatus("docs", "docs", "unavailable"),)),)
            case _:
                return ()

    def come_to_rest(self) -> None:
        """Let everything come to its end, and look at the whole of it."""
        self.leave_alone()
        self.hold()
        assert fold(self.log) == self.state

    def leave_alone(self) -> None:
        """Let everything that is under way come to its end; fail when it does not."""
        for _ in range(PATIENCE):
            for child in self.state.family.children:
                if child.execution and child.doing == "running" and not child.stop:
                    self.report(child.call_id, "rests")
            effects = sorted((one for one in wanted(self.state) if not isinstance(one, PASSIVE)), key=repr)
            if not effects:
                return
            before = len(self.log)
            for effect in effects:
                if effect in wanted(self.state) and not isinstance(effect, plan.EnforceTime):
                    self.carry_out(effect, 0)
            assert before != len(self.log) or self._waits_for_a_person(), f"stuck with {effects}"
            if before == len(self.log):
                return  # A person is waited for.
        raise AssertionError(f"no rest: {[type(r.event).__name__ for r in self.log[-12:]]}")

    def _waits_for_a_person(self) -> bool:
        return self.state.phase in ("PENDING", "RUNNING") and forge_plan.blocks(self.state)

    def hold(self) -> None:
        log, state = [recorded.event for recorded in self.log], self.state
        assert project(state).busy == bool(wanted(state))
        self._hold_calls(log)
        self._hold_inputs(log)
        if state.phase == "RUNNING":
            passive = (*PASSIVE, plan.EnforceTime, mcp_plan.WatchMcp)
            moving = {one for one in wanted(state) if not isinstance(one, passive)}
            assert moving or forge_plan.blocks(state), f"stuck with {wanted(state)}"
        if state.phase in ("WAITING_FOR_INPUT", "STOPPED"):
            assert not [*state.memory.shells, *filter(None, (state.call, state.memory.compacting))]
            assert not state.tools or (state.phase == "WAITING_FOR_INPUT" and state.approvals.asked)
        if state.phase == "WAITING_FOR_INPUT":
            assert state.approvals.asked or not (state.queue or state.fresh), "an input waits in an execution at rest"
            assert not (state.approvals.asked and state.approvals.said), "an answer waits in an execution at rest"
        if state.phase == "STOPPED":
            assert not [*state.interests.open, *state.approvals.asked, *state.approvals.given]
            assert not (state.external.goal and state.external.goal.status == "active"), "a stopped goal is active"
            allowed = (plan.KillGroup, plan.KeepWork, plan.Purge, mcp_plan.RestMcp)
            allowed = (*allowed, family_plan.StopChild, family_plan.RemoveChild, family_plan.NotifyParent)
            assert all(isinstance(one, allowed) for one in wanted(state)), wanted(state)

    def _hold_calls(self, log: list[Event]) -> None:
        replies = [one for one in log if isinstance(one, ev.ModelReplied)]
        asked = [f"{one.call_id}.{n}" for one in replies for n, _ in enumerate(_calls(one))]
        finished = [one.call_id for one in log if isinstance(one, ev.ToolFinished)]
        assert sorted([*finished, *(tool.id for tool in self.state.tools)]) == sorted(asked)
        typed = [shell_id(one.input_id) for one in log if isinstance(one, ev.InputQueued) and one.local == "shell"]
        ended = [one.call_id for one in log if isinstance(one, m.ShellFinished)]
        assert sorted([*ended, *(one.call_id for one in self.state.memory.shells)]) == sorted(typed)
        started = [one.call_id for one in log if isinstance(one, ev.ToolStarted)]
        assert len(started) == len(set(started))
        given = Counter(one.call_id for one in log if type(one).__name__ == "ApprovalGiven")
        assert not given or max(given.values()) == 1

    def _hold_inputs(self, log: list[Event]) -> None:
        queued = [one.input_id for one in log if isinstance(one, ev.InputQueued) and not one.local]
        fates = [name for one in log for name in _consumed(one)]
        assert len(queued) == len(set(queued))
        assert sorted([*fates, *(one.id for one in self.state.queue)]) == sorted(queued)


def _calls(reply: ev.ModelReplied) -> list[ToolCall]:
    return [part for part in reply.parts if isinstance(part, ToolCall)]


def _consumed(event: Event) -> tuple[str, ...]:
    match event:
        case ev.InputTaken(input_ids):
            return input_ids
        case ev.InputDropped(input_id) | ev.InputDeleted(input_id):
            return (input_id,)
        case _:
            return ()


def goal(action: str) -> ChangeGoal:
    """Return a wish about the goal."""
    return ChangeGoal("", GoalChange(action, "win", token_budget=90) if action == "set" else GoalChange(action))  # type: ignore[arg-type]
