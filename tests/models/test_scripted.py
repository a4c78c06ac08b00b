"""Scripts: which step answers a request, and how it streams and fails."""

import asyncio
import json
from pathlib import Path

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.core.conversation import (
    Delta,
    Message,
    ModelMessage,
    ModelRequest,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from hostler.core.errors import ModelUnavailable
from hostler.core.ports import Model
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Rule, Script, Step
from hostler.models.scripted import Gates
from hostler.testing.model_suite import ask, fails


def opened(*steps: Step, gates: Gates | None = None) -> Model:
    return script(Rule(steps), gates=gates)


def script(*rules: Rule, gates: Gates | None = None, chunk: int = 24) -> Model:
    return Registry({}, plans={"test": Script(rules, chunk=chunk)}, gates=gates).get("scripted:test")


def user(text: str) -> UserMessage:
    return UserMessage(parts=(Text(text),))


class Conversation:
    """Talks to a model as an agent would, with results that the test gives."""

    def __init__(self, model: Model, text: str) -> None:
        self.model = model
        self.messages: list[Message] = [user(text)]

    async def next(self, *results: str, steer: str = "") -> ModelMessage:
        if results:
            calls = self._calls()
            answers = tuple(ToolResult(call.id, call.name, text) for call, text in zip(calls, results, strict=True))
            self.messages.append(UserMessage(answers, (Text(steer),) if steer else ()))
        reply = await self.model.call(ModelRequest("", tuple(self.messages)), lambda _: None)
        message = ModelMessage(reply.parts)
        self.messages.append(message)
        return message

    def _calls(self) -> list[ToolCall]:
        last = self.messages[-1]
        assert isinstance(last, ModelMessage)
        return [part for part in last.parts if isinstance(part, ToolCall)]


def text_of(message: ModelMessage) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, Text))


BASH = Call("bash", {"command": "ls"})


async def test_steps_follow_one_another_and_then_the_script_ends() -> None:
    talk = Conversation(opened(Step("one", (BASH,)), Step("two", (BASH,)), Step("three")), "go")
    assert [text_of(await talk.next()), text_of(await talk.next("a")), text_of(await talk.next("b"))] == [
        "one",
        "two",
        "three",
    ]
    assert "ends here" in text_of(await talk.next())


async def test_a_new_text_begins_again_with_the_rule_it_matches() -> None:
    model = script(Rule((Step("ships"),), match="ship"), Rule((Step("anything"),)))
    talk = Conversation(model, "a ship")
    assert text_of(await talk.next()) == "ships"
    talk.messages.append(user("something else"))
    assert text_of(await talk.next()) == "anything"


async def test_no_rule_is_said() -> None:
    reply, _ = await ask(script(Rule((Step("ships"),), match="ship")), ModelRequest("", (user("a car"),)))
    assert "no answer" in str(reply.parts)


async def test_a_text_beside_results_goes_on_unless_a_rule_steers() -> None:
    rules = (
        Rule((Step("one", (BASH,)), Step("two", (BASH,)), Step("three"))),
        Rule((Step("as you wish"),), "stop", True),
    )
    talk = Conversation(script(*rules), "go")
    await talk.next()
    assert text_of(await talk.next("a", steer="faster")) == "two"
    assert text_of(await talk.next("b", steer="stop that")) == "as you wish"


async def test_values_come_from_the_users_text_and_from_results() -> None:
    steps = (
        Step("look", (Call("bash", {"command": "grep -n ${word} *", "list": ["${word}", 3, None]}),)),
        Step("${word} is in ${file}", (BASH,), captures=(r"(?P<file>\w+\.py):(?P<line>\d+)",)),
        Step("still ${file}:${line}, not ${unknown} or $HOME or ${HOME}"),
    )
    talk = Conversation(script(Rule(steps, match=r"find (?P<word>\w+)")), "find tea")
    first = await talk.next()
    assert json.loads(first.parts[1].arguments) == {"command": "grep -n tea *", "list": ["tea", 3, None]}  # type: ignore[union-attr]
    assert text_of(await talk.next("a.py:7: tea")) == "tea is in a.py"
    assert text_of(await talk.next("b.py:9: tea")) == "still a.py:7, not ${unknown} or $HOME or ${HOME}"


async def test_the_newest_result_that_matches_gives_the_value() -> None:
    steps = (Step("1", (BASH,)), Step("2", (BASH,)), Step("${n}", captures=(r"n=(?P<n>\d)",)))
    talk = Conversation(opened(*steps), "go")
    await talk.next()
    await talk.next("n=1")
    assert text_of(await talk.next("n=2")) == "2"


async def test_an_expectation_that_fails_ends_the_turn_in_words() -> None:
    steps = (
        Step("try", (BASH,)),
        Step("good", (BASH,), expect=r"(?m)^OK$", otherwise="It said ${all}", captures=(r"(?P<all>.+)",)),
    )
    talk = Conversation(opened(*steps), "go")
    await talk.next()
    message = await talk.next("FAILED")
    assert message.parts == (Text("It said FAILED"),)
    again = Conversation(opened(*steps), "go")
    await again.next()
    assert text_of(await again.next("all\nOK")) == "good"


async def test_another_server_goes_on_with_the_same_step_and_the_same_ids() -> None:
    steps = (Step("one", (BASH,)), Step("two", (BASH, BASH)))
    talk = Conversation(opened(*steps), "go")
    await talk.next()
    second = await talk.next("a")
    request = ModelRequest("", tuple(talk.messages[:-1]))
    restarted, _ = await ask(opened(*steps), request)
    assert restarted.parts == second.parts


async def test_ids_differ_within_a_conversation() -> None:
    talk = Conversation(opened(Step("", (BASH, BASH)), Step("", (BASH,)), Step("", (BASH,))), "go")
    replies = [await talk.next(), await talk.next("a", "b"), await talk.next("a")]
    ids = [part.id for reply in replies for part in reply.parts if part.kind == "tool_call"]
    assert len(set(ids)) == 4


async def test_texts_stream_in_pieces_of_the_scripts_size() -> None:
    reply, pieces = await ask(script(Rule((Step("abcdefgh", thinking="xyz"),)), chunk=3))
    assert [(piece.part, piece.kind, piece.text) for piece in pieces] == [
        (0, "thinking", "xyz"),
        (1, "text", "abc"),
        (1, "text", "def"),
        (1, "text", "gh"),
    ]
    assert len(reply.parts) == 2


async def test_the_usage_grows_as_with_a_provider_that_caches() -> None:
    talk = Conversation(opened(Step("one" * 40, (BASH,)), Step("two", (BASH,)), Step("three")), "go " * 50)
    used: list[Usage] = []
    for results in ((), ("a" * 400,), ("b" * 40,)):
        await talk.next(*results)
        reply = await talk.model.call(ModelRequest("", tuple(talk.messages[:-1])), lambda _: None)
        used.append(reply.usage)
    first, second, third = used
    assert (first.cached_input, first.cache_creation) == (0, 0)
    assert second.cached_input == first.whole_input
    assert third.cached_input == second.whole_input
    assert 100 < second.input < 200
    assert all(usage.output > 0 for usage in used)


async def test_a_step_fails_as_often_as_it_says() -> None:
    model = opened(Step("at last", faults=(Fault("unavailable", times=2, retry_after=3.0),)))
    for _ in range(2):
        failure = await fails(model)
        assert isinstance(failure, ModelUnavailable)
        assert failure.retry_after == 3.0
    reply, _ = await ask(model)
    assert reply.parts == (Text("at last"),)


async def test_a_cut_step_has_said_something_before() -> None:
    model = script(Rule((Step("abcdef", faults=(Fault("cut", after=2),)),)), chunk=2)
    pieces: list[Delta] = []
    with pytest.raises(ModelUnavailable):
        await model.call(ModelRequest("", (user("go"),)), pieces.append)
    assert [piece.text for piece in pieces] == ["ab", "cd"]
    reply, _ = await ask(model, ModelRequest("", (user("go"),)))
    assert reply.parts == (Text("abcdef"),)


async def test_a_step_waits_at_a_gate_after_what_it_has_said() -> None:
    gates = Gates()
    model = opened(
        Step("first, and then the rest of it", faults=(Fault("hold", after=1, until="go", reached="there"),)),
        gates=gates,
    )
    pieces: list[Delta] = []
    call = asyncio.ensure_future(model.call(ModelRequest("", (user("x"),)), pieces.append))
    await gates.wait("there")
    assert len(pieces) == 1
    assert not call.done()
    gates.open("go")
    assert (await call).parts


async def test_a_step_waits_for_a_file_of_another_process(tmp_path: Path) -> None:
    there, go = tmp_path / "there", tmp_path / "go"
    model = opened(Step("x", faults=(Fault("hold", until=str(go), reached=str(there)),)))
    call = asyncio.ensure_future(ask(model))
    await Gates().wait(str(there))
    assert not call.done()
    go.touch()
    reply, _ = await call
    assert reply.parts == (Text("x"),)


async def test_a_gate_behind_the_end_of_a_short_step_still_holds() -> None:
    gates = Gates()
    model = opened(Step("x", faults=(Fault("hold", after=99, until="go", reached="there"),)), gates=gates)
    call = asyncio.ensure_future(ask(model))
    await gates.wait("there")
    assert not call.done()
    gates.open("go")
    await call


async def test_a_function_may_choose_the_step() -> None:
    model = Registry({}, plans={"f": lambda request: Step(f"{len(request.messages)} messages")}).get("scripted:f")
    reply, _ = await ask(model, ModelRequest("", (user("a"), user("b"))))
    assert reply.parts == (Text("2 messages"),)


async def test_a_script_may_keep_a_human_pace() -> None:
    class Clock(SystemAmbient):
        waits = 0

        async def until(self, moment: object) -> None:
            self.waits += 1

    clock = Clock()
    plan = Script((Rule((Step("abcd"),)),), chunk=1, pace=0.5)
    reply, pieces = await ask(Registry({}, plans={"slow": plan}, ambient=clock).get("scripted:slow"))
    assert reply.parts
    assert clock.waits == len(pieces) == 4


async def test_a_script_file_works_as_the_classes_do(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    body = {
        "chunk": 4,
        "rules": [
            {
                "match": "mend (?P<file>\\S+)",
                "steps": [
                    {"text": "I look at ${file}.", "calls": [{"name": "read", "arguments": {"path": "${file}"}}]},
                    {"text": "${word}", "captures": ["(?P<word>\\w+)"], "usage": {"input": 3, "output": 2}},
                ],
            }
        ],
    }
    file.write_text(json.dumps(body))
    talk = Conversation(Registry({}).get(f"scripted:{file}"), "mend a.py")
    assert text_of(await talk.next()) == "I look at a.py."
    assert text_of(await talk.next("hello")) == "hello"
