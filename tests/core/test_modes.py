"""Whatever the model does and leaves behind, a mode that goes on by itself comes to rest within its caps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.agents import GoalChange
from hostler.core.commands import ChangeGoal, Command, Send, decide
from hostler.core.conversation import Text, Usage
from hostler.core.modes_plan import MOST_ROUNDS, LookAtRound
from hostler.core.plan import CallModel, Session, due, ending, wanted
from hostler.core.state import State, evolve

SESSION = Session("life-1", 0.0)
START = datetime(2026, 1, 1, tzinfo=UTC)
Looks = Callable[[int], m.RoundLookedAt]


def send(mode: m.Mode) -> Send:
    return Send("i-1", {"inputs": [{"text": {"content": "Build it"}}]}, "i-1", modes=(mode,))


class Run:
    """A log and its state, without a world."""

    def __init__(self) -> None:
        self.log: list[ev.Recorded] = []
        self.state = State()
        agent = ev.Agent("a", "a", "builtin", "m:m", tools=("write", "goal"))
        self.append(ev.Started({}, agent, "env", True, "me", "s"), ev.EnvironmentReady("env", "inc"))

    def append(self, *events: ev.Event) -> None:
        for event in events:
            recorded = ev.Recorded(len(self.log) + 1, START + timedelta(seconds=len(self.log)), event)
            self.state = evolve(self.state, recorded)
            self.log.append(recorded)

    def play(self, command: Command, looks: Looks, usage: Usage) -> None:
        """Answer each call and each look until the turn ends."""
        self.append(*decide(self.state, command, SESSION))
        self.append(ev.EnvironmentReady("env", "inc"))
        for _ in range(20 * MOST_ROUNDS):
            while events := due(self.state, SESSION):
                self.append(*events)
            if self.state.phase != "RUNNING":
                return
            effects = wanted(self.state)
            if look := next((one for one in effects if isinstance(one, LookAtRound)), None):
                self.append(looks(look.round))
            elif call := next((one for one in effects if isinstance(one, CallModel)), None):
                self.append(ev.ModelReplied(call.call_id, (Text("On."),), usage))
            else:
                self.append(*ending(self.state))
        raise AssertionError("it never comes to rest")

    def of(self, kind: type[ev.Event]) -> list[ev.Event]:
        return [recorded.event for recorded in self.log if isinstance(recorded.event, kind)]

    def rounds(self) -> int:
        return sum(isinstance(r.event, ev.InputQueued) and r.event.origin == "harness" for r in self.log)


def test_rounds_that_always_change_something_are_capped_all_the_same():
    run = Run()
    command = ChangeGoal("g-1", GoalChange("set", "never done"))
    run.play(command, lambda number: m.RoundLookedAt(number, signs=(f"same changes:{number}",)), Usage(1, 0, 0, 1))
    [stuck] = run.of(m.NoProgress)
    assert isinstance(stuck, m.NoProgress)
    assert (stuck.what, stuck.rounds) == ("many rounds", MOST_ROUNDS)
    assert run.rounds() == MOST_ROUNDS
    assert run.state.external.goal is not None
    assert run.state.external.goal.status == "blocked"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["ralph", "spec", "goal"]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 2)), max_size=40),
    st.integers(1, 50),
)
def test_whatever_is_found_after_its_rounds_a_mode_comes_to_rest(
    mode: m.Mode, found: list[tuple[int, int, bool, int]], tokens: int
):
    def look(number: int) -> m.RoundLookedAt:
        opened, done, spec, sign = found[number % len(found)] if found else (1, 0, False, 0)
        return m.RoundLookedAt(number, "- [ ] x", opened, opened + done, spec, (f"same changes:{sign}",))

    run = Run()
    command = ChangeGoal("g-1", GoalChange("set", "win", token_budget=1000)) if mode == "goal" else send(mode)
    run.play(command, look, Usage(tokens, 0, 0, 0))
    assert run.rounds() <= MOST_ROUNDS + 1
    assert run.state.phase == "WAITING_FOR_INPUT"
    goal = run.state.external.goal
    if goal is not None:
        assert goal.status in ("budget_exhausted", "blocked")
        assert goal.tokens_used < 1000 + tokens
    if run.of(m.NoProgress):
        assert run.of(ae.QuestionsAsked)
