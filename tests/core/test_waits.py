"""Whatever happens in whatever order: each interest fires once or is dropped, never both, and never comes back."""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostler.core import events as ev
from hostler.core import interests_events as ie
from hostler.core.commands import CancelWaits, Command, GiveUp, Send, Stop, Wake, decide
from hostler.core.errors import RequestError
from hostler.core.events import Agent, Event, Recorded
from hostler.core.interests_plan import (
    FireTimer,
    GiveUpWaiting,
    RebuildDevcontainer,
    WatchChild,
    WatchEnvironment,
    wanted,
)
from hostler.core.plan import Session, due, ending
from hostler.core.state import State, evolve, fold
from hostler.core.timers import next_of

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = Session("s", 0.0)
STARTED = ev.Started({}, Agent("a", "a", "builtin", "m"), "e", owns_environment=True, creator_id="c", session_id="s")


@dataclass
class History:
    """One execution on which the moves of an owner, its effects and other people are played."""

    now: datetime = BEGAN
    log: list[Recorded] = field(default_factory=list[Recorded])
    state: State = field(default_factory=State)
    made: int = 0

    def add(self, *events: Event) -> None:
        for event in events:
            recorded = Recorded(self.state.seq + 1, self.now, event)
            self.log.append(recorded)
            self.state = evolve(self.state, recorded)

    def ask(self, command: Command) -> None:
        with contextlib.suppress(RequestError):
            self.add(*decide(self.state, command, SESSION))

    def plan(self) -> None:
        """Do what an owner would: append what is due, and reply to calls without asking for anything."""
        while True:
            if self.state.call:
                self.add(ev.ModelReplied(self.state.call.id, (), ev.Usage()))
            elif events := due(self.state, SESSION) or ending(self.state):
                self.add(*events)
            elif self.state.phase == "RUNNING" and not self.state.environment.ready:
                self.add(ev.EnvironmentReady("e", "i"))
            else:
                return

    def register(self, kind: ie.InterestKind, *, repeats: bool, bound: bool) -> None:
        """Register an interest, as the tool does in a running turn."""
        self.ask(Send(f"i{self.made}", {"inputs": [{"text": {"content": "wait"}}]}, "d"))
        if self.state.phase != "RUNNING":
            return
        self.made += 1
        name = f"n{self.made}"
        until = self.now + timedelta(hours=1) if bound and kind != "timer" else None
        cron = "*/5 * * * *" if repeats and kind == "timer" else ""
        fires = (next_of(cron, "", self.now) if cron else self.now + timedelta(minutes=7)) if kind == "timer" else None
        one = ie.Interest(
            name,
            kind,
            cron=cron,
            fires_at=fires,
            subject=f"of-{name}",
            repeats=bool(cron),
            until=until,
            phase="stopped",
        )
        self.add(ie.InterestsRegistered(f"w{self.made}", (one,)))

    def effects(self, *, world: bool) -> None:
        """Carry out what is wanted and due; with `world`, what is watched has come."""
        for effect in sorted(wanted(self.state), key=repr):
            match effect:
                case FireTimer(name, at) if at <= self.now:
                    one = self.state.interests.one(name)
                    again = next_of(one.cron, "", self.now) if one and one.repeats else None
                    self.ask(Wake(name, self.now, {"interestId": name, "timer": {}}, at, again))
                case GiveUpWaiting(name, at) if at <= self.now:
                    self.ask(GiveUp(name, self.now))
                case WatchChild(name) | WatchEnvironment(name) | RebuildDevcontainer(name) if world:
                    self.ask(Wake(name, self.now, {"interestId": name, "environment": {"phase": "stopped"}}))
                case _:
                    pass


KINDS = st.sampled_from(["timer", "sub_agent", "environment", "devcontainer_rebuild"])
NAMES = st.integers(1, 4).map(lambda number: f"n{number}")
MOVES = st.one_of(
    *[st.tuples(st.just("register"), KINDS, st.booleans(), st.booleans())] * 3,
    st.tuples(st.just("pass"), st.sampled_from([60, 600, 4000])),
    *[st.tuples(st.just("effects"), st.sampled_from(["", "world"]))] * 3,
    st.tuples(st.just("outside"), NAMES),
    st.tuples(st.just("again"), NAMES),
    st.tuples(st.just("message"), NAMES),
    st.tuples(st.sampled_from(["plan", "stop", "cancel", "restart", "say", "adopted"]), st.just("")),
)


def play(history: History, move: tuple[Any, ...]) -> None:
    what, name = move[0], str(move[1])
    match what:
        case "register":
            history.register(move[1], repeats=move[2], bound=move[3])
        case "pass":
            history.now += timedelta(seconds=move[1])
        case "effects":
            history.effects(world=bool(name))
        case "outside":
            history.ask(Wake(name, history.now, {"interestId": name, "timer": {}}, outside=True))
        case "again":
            # An owner that wakes up too late tells once more what was true when it fell asleep.
            history.ask(Wake(name, history.now, {"interestId": name, "timer": {}}, BEGAN))
            history.ask(GiveUp(name, history.now))
        case "message":
            block = {"payload": "done", "senderExecutionId": f"of-{name}"}
            history.ask(Send(f"m{len(history.log)}", block, "d", "agent"))
        case "plan":
            history.plan()
        case "stop":
            history.ask(Stop())
        case "cancel":
            history.ask(CancelWaits())
        case "say":
            history.ask(Send(f"s{len(history.log)}", {"inputs": [{"text": {"content": "hi"}}]}, "d"))
        case "adopted" if history.state.phase == "RUNNING":
            history.add(ev.TurnAdopted("t"))
        case _:
            history.state = fold(history.log)


@settings(max_examples=150, deadline=None)
@given(st.lists(MOVES, min_size=5, max_size=30))
@example([("register", "timer", True, False), ("outside", "n1"), ("plan", ""), ("outside", "n1")])
def test_each_interest_fires_once_or_is_dropped_and_never_both(moves: list[tuple[Any, ...]]) -> None:
    history = History()
    history.add(STARTED, ev.EnvironmentReady("e", "i"))
    for move in moves:
        play(history, move)
        check(history)
    history.ask(Stop())
    history.plan()
    check(history)
    registered = {one.id for one in _registered(history)}
    fired, dropped = _ends(history)
    assert set(fired) | set(dropped) == registered
    assert not history.state.interests.open


def check(history: History) -> None:
    fired, dropped = _ends(history)
    open_ = {one.id for one in history.state.interests.open}
    assert all(times == 1 for times in (fired + dropped).values())
    assert not open_ & (set(fired) | set(dropped))
    assert open_ | set(fired) | set(dropped) == {one.id for one in _registered(history)}
    inputs = Counter(r.event.input_id for r in history.log if isinstance(r.event, ev.InputQueued))
    assert all(times == 1 for times in inputs.values())
    if history.state.phase == "STOPPED":
        assert not open_
        assert not wanted(history.state)
    occurrences = Counter(
        (r.event.id, r.event.due) for r in history.log if isinstance(r.event, ie.InterestFired) and r.event.due
    )
    assert all(times == 1 for times in occurrences.values())


def _registered(history: History) -> list[ie.Interest]:
    return [one for r in history.log if isinstance(r.event, ie.InterestsRegistered) for one in r.event.interests]


def _ends(history: History) -> tuple[Counter[str], Counter[str]]:
    fired = Counter(r.event.id for r in history.log if isinstance(r.event, ie.InterestFired) and not r.event.again)
    dropped = Counter(one for r in history.log if isinstance(r.event, ie.InterestsDropped) for one in r.event.ids)
    return fired, dropped
