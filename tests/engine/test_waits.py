"""Stories of an agent that waits, by the hand clock."""

from collections.abc import Sequence


from hostler.core import interests_events as ie
from hostler.core.events import Recorded
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage


def new_stage(*steps: Step) -> Stage:
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}))


def kinds(log: Sequence[Recorded]) -> list[str]:
    return [type(r.event).__name__ for r in log]


async def waiting(stage: Stage, execution: str) -> ie.Interest:
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.interests.open))
    return state.interests.open[0]


async def pass_time(stage: Stage, seconds: float) -> None:
    """Let time pass; the engine's next look at its rows comes with it."""
    stage.clock.advance(seconds)
    await stage.server.engine.sweep()


async def test_a_timer_ends_the_turn_and_begins_the_next_one():
    stage = new_stage(Step(calls=(Call("wait", {"duration": "5m", "note": "look at CI"}),)), Step(text="CI is green."))
    await stage.boot()
    execution = await stage.start("scripted:story", "watch CI")
    one = await waiting(stage, execution)
    assert (one.duration, one.note) == ("5m", "look at CI")
    await pass_time(stage, 290)
    assert (await stage.state(execution)).phase == "WAITING_FOR_INPUT"
    await pass_time(stage, 15)
    state = await stage.until(execution, lambda s: s.turn == 2 and s.phase == "WAITING_FOR_INPUT")
    assert state.interests.open == ()
    log = await stage.log(execution)
    assert kinds(log).count("InterestFired") == 1
    await stage.kill()
