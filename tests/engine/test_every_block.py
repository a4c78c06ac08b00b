"""Every kind of block that the contract knows comes out of a story that an agent really runs."""

from hostler.contract.gitpod.v1.agent_response_pb import AgentResponseBlock
from hostler.core import events as ev
from hostler.core.commands import DeleteInput, Send
from hostler.core.conversation import ModelRequest
from hostler.core.desk import NewEnvironment, NewExecution
from hostler.core.events import Agent
from hostler.core.memory_events import Announced
from hostler.core.offers import Offered
from hostler.core.providers import Scratch
from hostler.models.registry import Registry
from hostler.models.script import Call, Step
from hostler.projections.blocks import frames
from hostler.testing.stage import SOMEBODY, Stage, said
from hostler.tools.registry import INSIDE, TOOLS
from tests.engine.test_forge import OPEN, Git

QUESTION = {"question": "Which?", "choices": [{"label": "A"}, {"label": "B"}]}


def todo(state: str) -> Call:
    return Call("todo", {"todos": [{"title": "Look", "state": state}]})


STEPS = (
    Step(thinking="Hm.", text="I write what is to be built.", calls=(todo("in_progress"),)),
    Step(calls=(Call("write", {"path": ".hostler/spec.md", "content": "Build it."}), todo("done"))),
    Step(text="Read it."),
    Step(calls=(Call("annotate", {"file": "src/till.py", "start": 1, "title": "T", "description": "D"}),)),
    Step(calls=(Call("create_environment", {"name": "second"}), OPEN)),
    Step(calls=(Call("ask", {"questions": [QUESTION]}),)),
    Step(calls=(Call("next_steps", {"actions": [{"title": "Test", "prompt": "Test it."}]}),)),
    Step(text="Done."),
)


class Library:
    """A prompt library with one command."""

    async def offered(self) -> Offered:
        return Offered((Announced("review", "Review the change"),))

    async def command(self, name: str) -> str | None:
        return None

    async def skill(self, name: str) -> str | None:
        return None


class Script:
    """Says its steps one after another, whatever it is told."""

    def __init__(self) -> None:
        self.said = 0

    def __call__(self, asked: ModelRequest) -> Step:
        if "You judge" in asked.system:
            return Step(text="Not shown.")
        self.said += 1
        return STEPS[min(self.said, len(STEPS)) - 1]


async def test_every_kind_of_block_is_produced():
    stage = Stage(Registry({}, plans={"story": Script()}), offers=Library())
    stage.world.machine.shell = Git(stage)
    stage.world.machine.files["src/till.py"] = b"one\n"
    stage.forge.set("")
    await stage.boot()
    agent = Agent(
        "agent",
        "stage",
        "builtin",
        "scripted:story",
        tools=tuple(TOOLS),
        tools_inside=INSIDE,
        judgement_prompt="Judge.",
    )
    new = NewExecution({}, agent, NewEnvironment("class", Scratch()), SOMEBODY, "session", name="story")
    execution = await stage.server.desk.start(new)
    first = said("Build it.", "i-1")
    await stage.command(execution, Send(first.input_id, first.block, first.digest, modes=("spec",)))
    await stage.send(execution, "not this", "i-2")
    await stage.command(execution, DeleteInput("i-2"))
    await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT")
    for text in ("Go on.", "A"):
        await stage.send(execution, text)
        await stage.until(execution, lambda state: state.phase == "WAITING_FOR_INPUT" and not state.queue)
    log = await stage.log(execution)
    await stage.kill()
    [output] = AgentResponseBlock.desc().oneofs
    known = {field.proto.json_name for field in output.fields}
    kinds = {name for frame in frames(execution, log) if frame.tag == 1 for name in frame.body if name in known}
    assert kinds == known
    assert not [r for r in log if isinstance(r.event, ev.ModelCallFailed)]
