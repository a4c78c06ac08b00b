"""A context that is compacted or cleared, and commands that people type: as stories, cut at every commit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from hostler.agents.builtin.context import request
from hostler.api.transcript import Followed
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.commands import Compact, Send
from hostler.core.conversation import ModelMessage, ModelRequest, Text, UserMessage
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Recorded
from hostler.core.memory_events import Skill
from hostler.core.ports import ExecutionQuery
from hostler.core.prompts import Prompt
from hostler.core.state import fold
from hostler.engine.environments.skills import front_matter
from hostler.engine.offering import LibraryOffers
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Rule, Script, Step
from hostler.projections.blocks import frames
from hostler.projections.calls import calls, total
from hostler.projections.items import Note
from hostler.projections.timeline import timeline
from hostler.projections.transcript import Transcript, message_json
from hostler.projections.transcript_text import markdown
from hostler.testing.clock import HandClock
from hostler.testing.desk import MemoryPrompts
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage, said
from tests.engine.stories import Forgetful
from tests.engine.test_crashes import check, essence, tell

SUMMARY = "Summarize this conversation."
WINDOW = 12_000
LONG = "x" * 16_000
"""A result that fills a third of the window."""


def is_summary(asked: ModelRequest) -> bool:
    return any(isinstance(p, Text) and p.text.startswith(SUMMARY) for p in _parts(asked))


def _parts(asked: ModelRequest) -> list[object]:
    return [part for message in asked.messages for part in message.parts]


def worker(steps: int, summary: Step) -> Callable[[ModelRequest], Step]:
    """Play an agent that runs `steps` commands, counted by what the last one printed, and then says that it is done."""

    def plan(asked: ModelRequest) -> Step:
        if is_summary(asked):
            return summary
        text = "\n".join([*(r.text for msg in asked.messages if isinstance(msg, UserMessage) for r in msg.results)])
        heads = "\n".join(p.text for p in _parts(asked) if isinstance(p, Text))
        done = max((n for n in range(steps + 1) if f"step-{n} " in text + heads), default=0)
        if done >= steps:
            return Step(text="All done.")
        return Step(text=f"On to {done + 1}.", calls=(Call("bash", {"command": f"step-{done + 1} go"}),))

    return plan


async def long_shell(line: str) -> tuple[int, str]:
    return 0, f"ran {line} \n{LONG}\nend of {line} "


def stage_with(plan: Callable[[ModelRequest], Step], *, window: int = WINDOW) -> Stage:
    stage = Stage(Registry({}, plans={"story": plan}), window=window)
    stage.world.machine.shell = long_shell
    return stage


GOOD = Step(text="Decided: use tabs. step-1 and step-2 ran.")
BROKEN = Step(faults=(Fault("unavailable", times=99),), text="never said")


async def whole(stage: Stage, task: str = "do the steps") -> Sequence[Recorded]:
    await stage.boot()
    execution = await stage.start("scripted:story", task)
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    return log


async def test_a_context_that_grows_is_compacted_before_it_is_full_and_the_work_goes_on():
    log = await whole(stage_with(worker(6, GOOD)))
    check(log)
    state = fold(log)
    compactions = [r.event for r in log if isinstance(r.event, m.ContextCompacted)]
    assert compactions
    assert all(not one.truncated and "use tabs" in one.summary for one in compactions)
    assert all(one.tokens < one.before for one in compactions)
    assert state.phase == "WAITING_FOR_INPUT"
    assert not state.failure
    assert state.outputs == {}
    replies = [r.event for r in log if isinstance(r.event, ev.ModelReplied)]
    assert replies[-1].parts == (Text("All done."),)
    assert all(reply.usage.whole_input < WINDOW for reply in replies)
    assert state.iterations == len(replies) + len(compactions)
    assert state.usage == total(calls(log))


async def test_a_compaction_survives_a_crash_at_every_commit():
    log = await whole(stage_with(worker(5, GOOD)), "mend it")
    expected = essence(log)
    assert expected["ContextCompacted"]
    stage = stage_with(worker(5, GOOD))
    await stage.boot()
    await tell(stage)
    await stage.kill()
    for way in ("die_before", "die_after"):
        for number in range(1, len(stage.commits) + 1):
            again = stage_with(worker(5, GOOD))
            await again.boot(Link(again.executions, **{way: number}))
            log = await tell(again)
            await again.kill()
            check(log)
            assert essence(log) == expected, (way, number)


async def test_memory_thrown_away_after_every_append_changes_nothing():
    expected = essence(await whole(stage_with(worker(5, GOOD))))
    stage = stage_with(worker(5, GOOD))
    stage.worker = Forgetful
    assert essence(await whole(stage)) == expected


async def test_where_no_summary_can_be_had_the_context_is_cut_and_nothing_of_the_failure_is_told():
    asked: list[ModelRequest] = []

    def plan(request: ModelRequest) -> Step:
        asked.append(request)
        return worker(6, BROKEN)(request)

    log = await whole(stage_with(plan), "do the steps; keep the secret handshake")
    compactions = [r.event for r in log if isinstance(r.event, m.ContextCompacted)]
    assert compactions
    assert all(one.truncated and "not available" in one.problem and not one.model for one in compactions)
    after = [request for request in asked if not is_summary(request)][-1]
    told = "\n".join(part.text for part in _parts(after) if isinstance(part, Text))
    assert "secret handshake" in told
    assert "not available" not in told
    replies = [r.event for r in log if isinstance(r.event, ev.ModelReplied)]
    assert replies[-1].parts == (Text("All done."),)
    assert fold(log).iterations == len(replies)


@pytest.mark.parametrize("refusals", [1, 2, 3])
async def test_a_provider_that_finds_the_conversation_too_long_is_called_again_with_less(refusals: int):
    sizes: list[int] = []

    def plan(asked: ModelRequest) -> Step:
        step = worker(3, GOOD)(asked)
        heard = any(isinstance(msg, UserMessage) and msg.results for msg in asked.messages)
        if is_summary(asked) or not (heard or sizes):
            return step
        sizes.append(sum(len(str(message)) for message in asked.messages))
        return Step(faults=(Fault("overflow"),)) if len(sizes) <= refusals else step

    log = await whole(stage_with(plan, window=0))
    check(log)
    state = fold(log)
    assert sum(isinstance(r.event, m.ContextCompacted) for r in log) == refusals
    assert not state.failure
    assert sizes[: refusals + 1] == sorted(sizes[: refusals + 1], reverse=True)
    assert len(set(sizes[: refusals + 1])) == refusals + 1


async def test_a_model_that_finds_everything_too_long_is_believed_in_the_end():
    log = await whole(stage_with(lambda asked: GOOD if is_summary(asked) else Step(faults=(Fault("overflow"),))))
    state = fold(log)
    assert sum(isinstance(r.event, m.ContextCompacted) for r in log) == 3
    assert state.failure
    assert "longer than the model's context" in state.failure.message


async def test_a_person_compacts_at_rest_and_the_next_turn_goes_on_from_the_summary():
    asked: list[ModelRequest] = []

    def plan(request: ModelRequest) -> Step:
        asked.append(request)
        return GOOD if is_summary(request) else Step(text="Hello.")

    stage = stage_with(plan)
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.until(execution, lambda state: state.environment.ready)
    with pytest.raises(FailedPrecondition, match="nothing to compact"):
        await stage.command(execution, Compact("r0"))
    await stage.send(execution, "use tabs")
    await stage.rest(execution)
    await stage.command(execution, Compact("r1"))
    state = await stage.rest(execution)
    assert (state.phase, state.turn) == ("WAITING_FOR_INPUT", 2)
    assert state.external.compact == ""
    await stage.send(execution, "and now?")
    await stage.rest(execution)
    told = "\n".join(part.text for part in _parts(asked[-1]) if isinstance(part, Text))
    assert "use tabs" in told
    assert GOOD.text in told
    assert told.rstrip().endswith("and now?")
    log = await stage.log(execution)
    wish = next(r.event for r in log if isinstance(r.event, m.CompactionStarted))
    assert wish.request == "r1"
    await stage.kill()


async def test_a_stop_ends_a_compaction_and_the_next_turn_goes_on():
    held = Step(text="never", faults=(Fault("hold", until="never"),))
    stage = stage_with(worker(6, held))
    await stage.boot()
    execution = await stage.start("scripted:story", "do the steps")
    await stage.until(execution, lambda state: bool(state.memory.compacting))
    await stage.stop(execution)
    state = await stage.rest(execution)
    assert (state.phase, state.memory.compacting) == ("STOPPED", "")
    await stage.kill()


def typed(text: str, input_id: str) -> Send:
    """Return what a person typed after an exclamation mark, as the API understands it."""
    return replace(said(text, input_id), local="shell")


async def test_a_typed_command_runs_at_once_without_a_model_call_and_the_model_hears_of_it():
    asked: list[ModelRequest] = []

    def plan(request: ModelRequest) -> Step:
        asked.append(request)
        return Step(text="I see.")

    stage = Stage(Registry({}, plans={"story": plan}))
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.command(execution, typed("!make test", "i1"))
    state = await stage.rest(execution)
    assert (state.phase, state.iterations, asked) == ("WAITING_FOR_INPUT", 0, [])
    await stage.send(execution, "what do you think?")
    await stage.rest(execution)
    told = [part.text for part in _parts(asked[-1]) if isinstance(part, Text)]
    assert "$ make test" in told[0]
    assert told[1] == "what do you think?"
    shown = [list(frame.body) for frame in frames(execution, await stage.log(execution))]
    assert any("actionStarted" in keys for keys in shown)
    assert any("actionCompleted" in keys for keys in shown)
    await stage.kill()


async def test_a_typed_command_has_one_result_with_a_crash_at_every_commit():
    async def story(stage: Stage, link: Link | None = None) -> Counter[str]:
        await stage.boot(link)
        execution = "" if link else await stage.start("scripted:story")
        try:
            execution = execution or await stage.start("scripted:story")
            await stage.command(execution, typed("!make test", "i1"))
        except Died:
            await stage.restart()
            execution = (await stage.executions.find(ExecutionQuery(), limit=1))[0].id
            await stage.command(execution, typed("!make test", "i1"))
        resting = asyncio.create_task(stage.rest(execution))
        dead = asyncio.create_task(stage.server.link.dead.wait())
        await asyncio.wait({resting, dead}, return_when=asyncio.FIRST_COMPLETED)
        if stage.server.link.dead.is_set():
            await stage.restart()
        await resting
        dead.cancel()
        await stage.kill()
        return essence(await stage.log(execution))

    def fresh() -> Stage:
        return Stage(Registry({}, plans={"story": lambda _: Step(text="never asked")}))

    first = fresh()
    expected = await story(first)
    assert expected["ShellFinished"] == expected["ShellStarted"] == 1
    for way in ("die_before", "die_after"):
        for number in range(1, len(first.commits) + 1):
            stage = fresh()
            assert await story(stage, Link(stage.executions, **{way: number})) == expected, (way, number)
            assert len(stage.world.machine.started) == 1, (way, number)


async def test_a_stop_gives_a_typed_command_its_one_result():
    forever = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await forever.wait()
        return 0, ""

    stage = Stage(Registry({}, plans={"story": lambda _: Step(text="hm")}))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.command(execution, typed("!sleep 100", "i1"))
    await stage.until(execution, lambda state: any(one.incarnation for one in state.memory.shells))
    await stage.stop(execution)
    state = await stage.rest(execution)
    results = [r.event for r in await stage.log(execution) if isinstance(r.event, m.ShellFinished)]
    assert [one.outcome for one in results] == ["cancelled"]
    assert (state.phase, state.memory.shells) == ("STOPPED", ())
    assert stage.world.kills
    await stage.kill()


async def test_a_typed_command_runs_beside_the_agent_and_is_unknown_when_its_supervisor_is_lost():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "late"

    stage = Stage(Registry({}, plans={"story": lambda _: Step(text="hm")}))
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story")
    await stage.command(execution, typed("!make", "i1"))
    await stage.until(execution, lambda state: any(one.incarnation for one in state.memory.shells))
    await stage.send(execution, "meanwhile, think")
    await stage.until(execution, lambda state: state.iterations == 1)
    stage.world.machine.lose_supervisor()
    await stage.rest(execution)
    results = [r.event for r in await stage.log(execution) if isinstance(r.event, m.ShellFinished)]
    assert [one.outcome for one in results] == ["unknown"]
    await stage.kill()


async def test_a_cleared_context_remembers_nothing_and_a_turn_that_runs_is_not_cleared():
    asked: list[ModelRequest] = []
    held = Step(text="slow", faults=(Fault("hold", until="never", reached="there"),))

    def plan(request: ModelRequest) -> Step:
        asked.append(request)
        return held if "hold" in str(request.messages[-1]) else Step(text="yes")

    stage = stage_with(plan)
    await stage.boot()
    execution = await stage.start("scripted:story", "my cat is called Mitzi")
    await stage.rest(execution)
    state = await stage.command(execution, replace(said("/clear", "i2"), local="clear"))
    assert state.phase == "WAITING_FOR_INPUT"
    assert state.context_length == 0
    await stage.send(execution, "what is my cat called?")
    await stage.rest(execution)
    assert asked[-1].messages == (UserMessage((), (Text("what is my cat called?"),)),)
    await stage.send(execution, "hold on")
    await stage.until(execution, lambda state: state.call is not None)
    with pytest.raises(FailedPrecondition, match="at work"):
        await stage.command(execution, replace(said("/clear", "i4"), local="clear"))
    assert "i4" not in (await stage.state(execution)).inputs
    await stage.stop(execution)
    await stage.rest(execution)
    await stage.kill()


async def test_a_resident_agent_hears_with_the_next_input_what_a_typed_command_came_to():
    stage = Stage(Registry({}))
    stage.world.machine.script = (("say", "Done."),)
    await stage.boot()
    execution = await stage.start("scripted:none", "first", driver="resident")
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    await stage.command(execution, typed("!make test", "i1"))
    await stage.until(execution, lambda state: (state.turn, state.phase) == (2, "WAITING_FOR_INPUT"))
    await stage.command(execution, replace(said("/greet Anna", "i2"), expansion="Say hello to Anna."))
    await stage.until(execution, lambda state: (state.turn, state.phase) == (3, "WAITING_FOR_INPUT"))
    thread = stage.world.machine.thread
    assert any("$ make test" in note for note in thread.notes)
    assert thread.texts[-1] == "Say hello to Anna."
    with pytest.raises(FailedPrecondition, match="cannot clear"):
        await stage.command(execution, replace(said("/clear", "i3"), local="clear"))
    await stage.kill()


async def test_the_transcript_shows_what_each_call_was_told_also_after_compactions():
    log = await whole(stage_with(worker(6, GOOD)))
    told = [
        [message_json(message) for message in request(fold(log[:place]), log[:place], ()).messages]
        for place, recorded in enumerate(log)
        if isinstance(recorded.event, ev.ModelCallStarted)
    ]
    following = Transcript("e", Followed(), admin=True)
    lines = [line for recorded in log for line in following.feed(recorded)] + following.finish()
    shown: list[list[dict[str, Any]]] = []
    for line in (line["request"] for line in lines if line["request"]["known"]):
        before = shown[-1][: line["prefix"]] if shown else []
        shown.append([*before, *line["messages"]])
    assert shown == told
    summaries = [line for line in lines if not line["request"]["known"]]
    compactions = [r.event for r in log if isinstance(r.event, m.ContextCompacted)]
    assert [line["reply"]["parts"][0]["text"] for line in summaries] == [one.summary for one in compactions]
    assert all(markdown(line) for line in lines)


async def test_a_person_sees_that_the_conversation_was_shortened_and_why_without_a_summary():
    log = await whole(stage_with(worker(6, BROKEN)))
    notes = [one for one in timeline("e", log).items if isinstance(one, Note) and one.kind == "compacted"]
    assert notes
    assert all("shortened without a summary" in one.text and "not available" in one.detail for one in notes)
    shown = [frame.body for frame in frames("e", log)]
    begun = [body["actionStarted"]["actionId"] for body in shown if "actionStarted" in body]
    ended = [body["actionCompleted"]["actionId"] for body in shown if "actionCompleted" in body]
    assert sorted(begun) == sorted(ended)
    assert "k1" in begun


async def test_skills_are_offered_by_description_and_loaded_on_use_with_a_crash_at_every_commit():
    asked: list[ModelRequest] = []

    def plan(told: ModelRequest) -> Step:
        asked.append(told)
        replies = sum(isinstance(message, ModelMessage) for message in told.messages)
        names = ("migrations", "tea", "nothing")
        return Step(calls=(Call("skill", {"name": names[replies]}),)) if replies < 3 else Step(text="Done.")

    async def fresh() -> Stage:
        prompts = MemoryPrompts()
        now = HandClock().now()
        given = ("Boil the water first.", False, True, "brew", True, "me", "user", now, now)
        await prompts.save(Prompt("p1", "tea", "How tea is made", *given), new=True)
        stage = Stage(Registry({}, plans={"story": plan}), offers=LibraryOffers(prompts))
        stage.world.skills = (Skill("migrations", "How the schema changes", "skills/m/SKILL.md"),)
        stage.world.machine.files = {"skills/m/SKILL.md": b"Make a file in db."}
        return stage

    first = await fresh()
    expected = essence(await whole(first, "mend it"))
    assert "- migrations: How the schema changes\n- brew: How tea is made" in asked[0].system
    texts = [
        result.text for message in asked[-1].messages if isinstance(message, UserMessage) for result in message.results
    ]
    assert "Make a file in db." in texts[0]
    assert "skills/m" in texts[0]
    assert texts[1:] == [
        "There is no skill 'tea'. There are: migrations, brew.",
        "There is no skill 'nothing'. There are: migrations, brew.",
    ]
    assert expected["CommandsAnnounced"] == 1
    for way in ("die_before", "die_after"):
        for number in range(1, len(first.commits) + 1):
            stage = await fresh()
            await stage.boot(Link(stage.executions, **{way: number}))
            log = await tell(stage)
            await stage.kill()
            check(log)
            assert essence(log) == expected, (way, number)


async def test_a_skill_of_the_library_is_read_when_it_is_loaded_and_bounded():
    prompts = MemoryPrompts()
    now = HandClock().now()
    given = ("w" * 70_000, False, False, "", True, "me", "user", now, now)
    await prompts.save(Prompt("p1", "tea", "How tea is made", *given), new=True)
    steps = (Step(calls=(Call("skill", {"name": "tea"}),)), Step(text="Done."))
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), offers=LibraryOffers(prompts))
    log = await whole(stage)
    (result,) = [r.event for r in log if isinstance(r.event, ev.ToolFinished)]
    assert result.outcome == "ok"
    assert result.text.endswith("[the rest is left out]")
    assert len(result.text) < 66_000


def test_the_beginning_of_a_skill_file_is_read_in_its_usual_forms():
    text = "---\nname: 'a b'\ndescription: |\n  One\n  two: three\nallowed: [x]\n---\nname: not this\n"
    assert front_matter(text) == {"name": "a b", "description": "One two: three", "allowed": "[x]"}
    assert front_matter("# A heading\n---\nname: x\n---\n") == {}
    assert front_matter("---\nname: never closed\n") == {}
    assert front_matter("---\r\nname: x\r\ndescription: y\r\n---\r\n") == {"name": "x", "description": "y"}
    assert front_matter("") == {}
