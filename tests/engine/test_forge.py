"""Pull requests, missing credentials, annotations and environments made by agents: stories, cut at every commit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hostler.core import events as ev
from hostler.core import forge_events as fe
from hostler.core.events import Json, Recorded
from hostler.core.kept import WorkKept
from hostler.core.ports import ExecutionQuery
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.projections.blocks import frames
from hostler.projections.row import project
from hostler.testing.link import Died, Link
from hostler.testing.stage import Stage
from tests.engine.stories import Forgetful

HOST = "hub.test"
URL = f"https://{HOST}/shop/till.git"
COMMIT = "1234567890abcdef1234567890abcdef12345678"
NO_USER = f"fatal: could not read Username for 'https://{HOST}': terminal prompts disabled"
OPEN = Call("open_pull_request", {"title": "Mend the till", "body": "It was broken."})


class Git:
    """The git of a workspace: what it was asked for, and whether the host lets it push."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.pushes = 0

    async def __call__(self, line: str) -> tuple[int, str]:
        if "git config --get remote.origin.url" in line:
            return 0, f"{URL}\nmain\nmain\n"
        if "git add" in line:
            return 0, f"{COMMIT}\n"
        if "git push" in line:
            forge = self.stage.forge
            if forge.credential != forge.book.secret:
                return 128, NO_USER
            self.pushes += 1
        return 0, ""


def stage_of(*rules: Rule, worker: bool = False) -> Stage:
    stage = Stage(Registry({}, plans={"story": Script(rules=rules)}))
    stage.world.machine.shell = Git(stage)
    stage.world.machine.files["src/till.py"] = b"one\ntwo\nthree\n"
    if worker:
        stage.worker = Forgetful
    return stage


def of(log: Sequence[Recorded], kind: type[ev.Event]) -> list[ev.Event]:
    return [r.event for r in log if isinstance(r.event, kind)]


def essence(log: Sequence[Recorded]) -> Counter[str]:
    again = (ev.TurnAdopted, ev.EnvironmentReady, ev.ModelCallCut, WorkKept)
    return Counter(type(r.event).__name__ for r in log if not isinstance(r.event, again))


Act = Callable[[Stage, str], Coroutine[Any, Any, None]]


async def nothing(stage: Stage, execution: str) -> None:
    """Let it run to its rest."""
    await stage.rest(execution)


async def tell(stage: Stage, act: Act = nothing, request: Json | None = None) -> Sequence[Recorded]:
    """Tell a story to its end, in another life where the first one died."""
    try:
        execution = await stage.start("scripted:story", "mend it", request=request)
    except Died:
        rows = await stage.executions.find(ExecutionQuery(), limit=1)
        await stage.restart()
        execution = rows[0].id
        if not (await stage.state(execution)).inputs:
            await stage.send(execution, "mend it")
    link = stage.server.link
    dead, done = asyncio.create_task(link.dead.wait()), asyncio.create_task(act(stage, execution))
    await asyncio.wait({dead, done}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set():
        await stage.restart()
    await done
    dead.cancel()
    return await stage.log(execution)


async def in_every_life(
    new: Callable[[], Stage], act: Act = nothing, request: Json | None = None, check: Callable[[Stage], object] = id
) -> Sequence[Recorded]:
    """Tell a story whole, then cut at every commit; return the whole one's log."""
    stage = new()
    await stage.boot()
    whole = await tell(stage, act, request)
    await stage.kill()
    check(stage)
    commits = len(stage.commits)
    for way in ("die_before", "die_after"):
        for number in range(1, commits + 1):
            stage, cut = new(), {way: number}
            await stage.boot(
                Link(stage.executions, die_before=cut.get("die_before", 0), die_after=cut.get("die_after", 0))
            )
            log = await tell(stage, act, request)
            await stage.kill()
            assert essence(log) == essence(whole), (way, number)
            assert len(stage.world.machine.started) == len(set(stage.world.machine.started)), (way, number)
            check(stage)
    return whole


async def test_a_pull_request_is_opened_once_whenever_the_server_dies():
    def check(stage: Stage) -> None:
        assert [(pull.title, pull.base) for pull in stage.forge.book.pulls] == [("Mend the till", "main")]
        git = stage.world.machine.shell
        assert isinstance(git, Git)
        assert git.pushes == 1

    def new() -> Stage:
        return stage_of(Rule(steps=(Step(calls=(OPEN,)), Step(text="Opened."))))

    log = await in_every_life(new, check=check)
    pushed, opened = of(log, fe.BranchPushed), of(log, fe.PullRequestOpened)
    assert isinstance(pushed[0], fe.BranchPushed)
    assert isinstance(opened[0], fe.PullRequestOpened)
    assert pushed[0].branch.startswith("hostler/mend-the-till-")
    assert pushed[0].commit == COMMIT
    assert opened[0].url == f"https://{HOST}/shop/till/pull/1"
    assert not opened[0].existed


async def test_every_step_doubled_opens_one_pull_request():
    stage = stage_of(Rule(steps=(Step(calls=(OPEN,)), Step(text="Opened."))), worker=True)
    await stage.boot(Link(stage.executions, doubled=True))
    log = await tell(stage)
    await stage.kill()
    assert len(stage.forge.book.pulls) == len(of(log, fe.PullRequestOpened)) == 1


async def test_a_push_whose_supervisor_is_lost_is_unknown_and_can_be_looked_at_again():
    again = Step(calls=(Call("open_pull_request", {"title": "Mend the till", "branch": "mend"}),))
    stage = stage_of(Rule(steps=(again, again, Step(text="Opened."))))
    git, lost = Git(stage), [True]

    async def shell(line: str) -> tuple[int, str]:
        done = await git(line)
        if "git push" in line and lost:
            lost.clear()
            stage.world.machine.lose_supervisor()
            await asyncio.Event().wait()
        return done

    stage.world.machine.shell = shell
    await stage.boot()
    log = await tell(stage)
    await stage.kill()
    outcomes = [event.outcome for event in of(log, ev.ToolFinished) if isinstance(event, ev.ToolFinished)]
    assert outcomes == ["unknown", "ok"]
    assert len(stage.forge.book.pulls) == 1


async def test_an_answer_that_was_lost_is_looked_for_and_one_that_is_there_is_not_opened_again():
    stage = stage_of(Rule(steps=(Step(calls=(OPEN,)), Step(text="Opened."))))
    stage.forge.book.lost_answers = 1
    await stage.boot()
    log = await tell(stage)
    assert len(stage.forge.book.pulls) == 1
    opened = of(log, fe.PullRequestOpened)
    assert [event.existed for event in opened if isinstance(event, fe.PullRequestOpened)] == [False]
    await stage.kill()
    stage = stage_of(Rule(steps=(Step(calls=(Call("open_pull_request", {"title": "T", "branch": "b"}),)), Step())))
    stage.forge.book.add("shop/till", "Before", "b")
    await stage.boot()
    log = await tell(stage)
    opened = of(log, fe.PullRequestOpened)
    assert [event.existed for event in opened if isinstance(event, fe.PullRequestOpened)] == [True]
    assert len(stage.forge.book.pulls) == 1
    await stage.kill()


async def set_when_it_waits(stage: Stage, execution: str) -> None:
    """Set the credential when the turn has ended without it."""
    await stage.until(
        execution, lambda state: (bool(state.forge.needs) and state.phase == "WAITING_FOR_INPUT") or state.turn > 1
    )
    stage.forge.set(stage.forge.book.secret)
    await stage.until(execution, lambda state: state.turn > 1)
    await stage.rest(execution)


async def test_a_turn_ends_without_a_credential_and_goes_on_by_itself_when_there_is_one():
    def new() -> Stage:
        stage = stage_of(
            Rule(match="credential", steps=(Step(calls=(OPEN,)), Step(text="Opened."))),
            Rule(steps=(Step(calls=(OPEN,)), Step(text="I wait."))),
        )
        stage.forge.credential = ""
        return stage

    def check(stage: Stage) -> None:
        assert len(stage.forge.book.pulls) == 1

    log = await in_every_life(new, set_when_it_waits, check=check)
    needed = of(log, fe.HostAuthenticationRequired)
    assert [(e.host, e.purpose) for e in needed if isinstance(e, fe.HostAuthenticationRequired)] == [(HOST, "push")]
    assert [type(r.event) for r in log if isinstance(r.event, fe.HostAuthenticated | fe.PullRequestOpened)] == [
        fe.HostAuthenticated,
        fe.PullRequestOpened,
    ]
    blocks = [f.body["hostAuthenticationRequired"] for f in frames("x", log) if "hostAuthenticationRequired" in f.body]
    assert [block["host"] for block in blocks] == [HOST]


async def test_an_execution_that_waits_for_a_credential_needs_somebody_until_it_is_stopped():
    stage = stage_of(Rule(steps=(Step(calls=(OPEN,)), Step(text="I wait."))))
    stage.forge.credential = ""
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.forge.needs))
    shown = project(state)
    assert shown.standing == "needs"
    assert shown.busy
    assert [one["host"] for one in shown.view["hostler"]["needsCredential"]] == [HOST]
    state = await stage.stop(execution)
    assert project(await stage.rest(execution)).view["hostler"]["needsCredential"] == []
    await stage.kill()


async def test_a_refused_credential_does_not_wake_the_agent_but_another_one_does():
    stage = stage_of(
        Rule(match="credential", steps=(Step(calls=(OPEN,)), Step(text="Done."))),
        Rule(steps=(Step(calls=(OPEN,)), Step(text="I wait."))),
    )
    stage.forge.credential = "wrong-123456"
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and bool(s.forge.needs))
    stage.forge.set("wrong-654321")
    state = await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and s.turn == 2)
    assert [need.credential for need in state.forge.needs] == ["wrong-654321"]
    await stage.restart()
    stage.forge.set(stage.forge.book.secret)
    await stage.until(execution, lambda s: s.phase == "WAITING_FOR_INPUT" and s.turn == 3)
    assert len(stage.forge.book.pulls) == 1
    await stage.kill()


async def clone_when_it_waits(stage: Stage, execution: str) -> None:
    """Set the credential when the environment waits for it."""
    await stage.until(execution, lambda state: bool(state.forge.needs) or state.environment.ready)
    stage.world.asks = ""
    stage.forge.set(stage.forge.book.secret)
    await stage.until(execution, lambda state: state.environment.ready)
    await stage.rest(execution)


async def test_a_repository_that_asks_for_a_credential_is_cloned_when_there_is_one():
    def new() -> Stage:
        stage = stage_of(Rule(steps=(Step(text="Done."),)))
        stage.world.asks = URL
        stage.forge.credential = ""
        return stage

    log = await in_every_life(new, clone_when_it_waits)
    kinds = [type(r.event).__name__ for r in log if isinstance(r.event, ev.PartEvent | ev.EnvironmentReady)]
    assert kinds == ["HostAuthenticationRequired", "HostAuthenticated", "EnvironmentReady"]
    assert not of(log, ev.EnvironmentFailed)


async def test_many_restarts_do_not_give_up_an_execution_that_waits_for_a_credential():
    stage = stage_of(Rule(steps=(Step(text="Done."),)))
    stage.world.asks = URL
    stage.forge.credential = ""
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda state: bool(state.forge.needs))
    for _ in range(8):
        await stage.restart()
        await stage.until(execution, lambda state: state.phase == "PENDING")
        await asyncio.sleep(0)
    await clone_when_it_waits(stage, execution)
    assert (await stage.state(execution)).phase == "WAITING_FOR_INPUT"
    await stage.kill()


async def test_a_stop_while_it_waits_for_a_credential_ends_the_waiting():
    stage = stage_of(Rule(steps=(Step(text="Done."),)))
    stage.world.asks = URL
    stage.forge.credential = ""
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.until(execution, lambda state: bool(state.forge.needs))
    await stage.stop(execution)
    state = await stage.rest(execution)
    assert (state.phase, state.forge.needs) == ("STOPPED", ())
    await stage.kill()


async def test_what_git_says_in_a_command_is_understood_as_a_missing_credential():
    stage = stage_of(
        Rule(match="credential", steps=(Step(text="Thank you."),)),
        Rule(steps=(Step(calls=(Call("bash", {"command": "git push"}),)), Step(text="I wait."))),
    )
    stage.forge.credential = ""
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await set_when_it_waits(stage, execution)
    log = await stage.log(execution)
    assert len(of(log, fe.HostAuthenticationRequired)) == 1
    assert (await stage.state(execution)).turn == 2
    await stage.kill()


PULL = {"codeContext": {"contextUrl": {"url": f"https://{HOST}/shop/till/pull/1"}}}


async def test_a_pull_request_is_known_and_at_its_branch_before_the_agent_begins():
    def new() -> Stage:
        stage = stage_of(Rule(steps=(Step(text="Read."),)))
        stage.forge.book.add("shop/till", "Count the coins", "coins")
        return stage

    log = await in_every_life(new, request=PULL)
    given = of(log, fe.PullRequestGiven)
    assert given == [
        fe.PullRequestGiven(
            PULL["codeContext"]["contextUrl"]["url"], "1", "Count the coins", "coins", "main", "ann", checked_out=True
        )
    ]
    kinds = [type(r.event) for r in log]
    assert kinds.index(fe.PullRequestGiven) < kinds.index(ev.ModelCallStarted)


async def test_a_host_that_does_not_answer_keeps_no_turn_from_beginning():
    stage = stage_of(Rule(steps=(Step(text="Read."),)))
    await stage.boot()
    log = await tell(stage, request=PULL)
    given = of(log, fe.PullRequestGiven)[0]
    assert isinstance(given, fe.PullRequestGiven)
    assert given.number == "1"
    assert not given.checked_out
    assert "404" in given.note
    await stage.kill()


async def test_remarks_and_environments_are_made_once_whenever_the_server_dies():
    remark = {"file": "src/till.py", "start": 2, "end": 3, "title": "Off by one", "description": "It counts twice."}
    bad = ({**remark, "file": "../x"}, {**remark, "end": 4}, {**remark, "file": "nothing"}, {**remark, "end": 1})

    def new() -> Stage:
        calls = (Call("annotate", remark), *(Call("annotate", one) for one in bad))
        make = Call("create_environment", {"repository": URL, "name": "till"})
        return stage_of(Rule(steps=(Step(calls=calls), Step(calls=(make,)), Step(text="Done."))))

    def check(stage: Stage) -> None:
        assert [new.name for new in stage.forge.made.values()] == ["till"]

    log = await in_every_life(new, check=check)
    assert of(log, fe.CodeAnnotated) == [
        fe.CodeAnnotated("c1.0", "src/till.py", 2, 3, "Off by one", "It counts twice.")
    ]
    finished = [e.outcome for e in of(log, ev.ToolFinished) if isinstance(e, ev.ToolFinished)]
    assert Counter(finished) == {"ok": 2, "failed": 4}
    made = of(log, fe.EnvironmentCreated)[0]
    assert isinstance(made, fe.EnvironmentCreated)
    shown = {next(iter(set(f.body) - {"id", "createdAt", "phase"})): f.body for f in frames("x", log) if f.tag == 1}
    assert shown["codeAnnotation"]["codeAnnotation"] == {
        "filePath": "src/till.py",
        "startLine": 2,
        "endLine": 3,
        "title": "Off by one",
        "description": "It counts twice.",
    }
    assert shown["environmentCreation"]["environmentCreation"] == {
        "actionId": "c2.0",
        "environmentId": made.environment_id,
    }


async def test_an_agent_makes_only_so_many_environments():
    steps = tuple(Step(calls=(Call("create_environment", {}),)) for _ in range(6))
    stage = stage_of(Rule(steps=(*steps, Step(text="Done."))))
    await stage.boot()
    log = await tell(stage)
    assert len(of(log, fe.EnvironmentCreated)) == len(stage.forge.made) == 5
    await stage.kill()
