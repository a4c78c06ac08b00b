import json
from collections.abc import Mapping
from typing import Any

import pytest

from hostler.core.conversation import Usage
from hostler.models.script import Call, Fault, Rule, Script, Step
from hostler.testing.ledger import Finished, WasCut
from tests.models.gateway.stand import Stand, standing

SCRIPT = Script(
    rules=(
        Rule((Step(text="Too much.", faults=(Fault("overflow"),)),), match="overflow"),
        Rule((Step(text="Not now.", faults=(Fault("unavailable", retry_after=0.5),)),), match="busy"),
        Rule((Step(text="Half of it.", faults=(Fault("cut", after=1),)),), match="half"),
        Rule(
            (
                Step(text="I look at ${name}.", thinking="Hm.", calls=(Call("bash", {"command": "cat ${name}"}),)),
                Step(captures=("the (?P<what>\\w+)",), text="It holds the ${what}.", usage=Usage(1, 2, 3, 4)),
            ),
            match="look at (?P<name>\\w+)",
        ),
    ),
    chunk=4,
)
SHELL = {"type": "object", "properties": {"cmd": {"type": "string"}}}
MODEL = "scripted:story"


def responses(*items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    tools = [{"type": "function", "name": "exec_command", "parameters": SHELL}]
    return {"model": "story", "stream": True, "input": list(items), "tools": tools, **more}


def person(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def ready(stand: Stand) -> None:
    stand.models.register("story", SCRIPT)
    stand.allow(MODEL)


async def test_the_responses_protocol_goes_through_a_whole_turn() -> None:
    async with standing([], environ={}) as stand:
        ready(stand)
        client = stand.client()
        talk = [person("<environment_context>\n look at nothing\n</environment_context>"), person("look at notes")]
        first = await client.ask("/v1/responses", responses(*talk))
        assert first.headers["x-hostler-scripted"] == "true"
        kinds = [event["type"] for event in first.events]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        said = "".join(e["delta"] for e in first.events if e["type"] == "response.output_text.delta")
        assert said == "I look at notes."
        done = [event["item"] for event in first.events if event["type"] == "response.output_item.done"]
        assert done == first.events[-1]["response"]["output"]
        assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]
        call = done[-1]
        assert (call["name"], json.loads(call["arguments"])) == ("exec_command", {"cmd": "cat notes"})

        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "the moon"}
        second = await client.ask("/v1/responses", responses(*talk, *done, output))
        assert second.events[-1]["response"]["output"][0]["content"][0]["text"] == "It holds the moon."
        assert isinstance(end := stand.ledger.entries[-1], Finished)
        assert (end.usage, end.finish, end.call.model) == (Usage(1, 2, 3, 4), "stop", MODEL)


async def test_the_other_protocols_say_the_same() -> None:
    async with standing([], environ={}) as stand:
        ready(stand)
        tool = {"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}
        asked = {"model": "story", "messages": [{"role": "user", "content": "look at notes"}], "tools": [tool]}
        whole = (await stand.client().ask("/v1/messages", asked)).json
        assert [block["type"] for block in whole["content"]] == ["thinking", "text", "tool_use"]
        assert whole["content"][-1]["input"] == {"command": "cat notes"}
        streamed = await stand.client().ask("/v1/messages", {**asked, "stream": True})
        assert [e["delta"]["stop_reason"] for e in streamed.events if e["type"] == "message_delta"] == ["tool_use"]
        result = {"type": "tool_result", "tool_use_id": whole["content"][-1]["id"], "content": "the sun"}
        talk = [*asked["messages"], {"role": "assistant", "content": whole["content"]}]
        more = {**asked, "messages": [*talk, {"role": "user", "content": [result]}]}
        assert (await stand.client().ask("/v1/messages", more)).json["content"][0]["text"] == "It holds the sun."

        function = {"type": "function", "function": {"name": "bash", "parameters": {}}}
        chat = {"model": MODEL, "messages": asked["messages"], "tools": [function]}
        message = (await stand.client().ask("/v1/chat/completions", chat)).json["choices"][0]["message"]
        assert message["tool_calls"][0]["function"] == {"name": "bash", "arguments": '{"command": "cat notes"}'}
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "the star"}
        more = {**chat, "stream": True, "messages": [*asked["messages"], message, result]}
        streamed = await stand.client().ask("/v1/chat/completions", more)
        said = "".join(c["delta"].get("content", "") for e in streamed.events for c in e["choices"])
        assert said == "It holds the star."
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        assert "usage" not in streamed.events[-1]  # nobody asked for it
        ends = [entry for entry in stand.ledger.entries if isinstance(entry, Finished | WasCut)]
        assert all(isinstance(end, Finished) for end in ends)
        assert len(ends) == 5


async def test_a_request_without_tools_gets_words_and_moves_nothing_on() -> None:
    async with standing([], environ={}) as stand:
        ready(stand)
        asked = responses(person("look at notes"), tools=[], stream=False)
        answer = await stand.client().ask("/v1/responses", asked)
        assert [item["type"] for item in answer.json["output"]] == ["reasoning", "message"]


@pytest.mark.parametrize(
    ("task", "status", "code"), [("overflow", 400, "context_length_exceeded"), ("busy", 503, "server_error")]
)
async def test_a_scripts_faults_look_as_a_providers_do(task: str, status: int, code: str) -> None:
    async with standing([], environ={}) as stand:
        ready(stand)
        answer = await stand.client().ask("/v1/responses", responses(person(task)))
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
        assert isinstance(stand.ledger.entries[-1], WasCut)
        assert stand.ledger.entries[-1].estimate == Usage()


async def test_a_script_that_breaks_off_breaks_the_stream() -> None:
    async with standing([], environ={}) as stand:
        ready(stand)
        answer = await stand.client().ask("/v1/responses", responses(person("half")))
        assert answer.cut
        assert isinstance(end := stand.ledger.entries[-1], WasCut)
        assert end.estimate.output == 1


async def test_calls_take_the_shape_in_which_their_tool_is_offered() -> None:
    calls = (Call("apply_patch", "*** Begin Patch"), Call("spawn_agent", {"message": "help"}), Call("todo", {}))
    async with standing([], environ={}) as stand:
        stand.models.register("story", Script((Rule((Step(calls=calls),)),)))
        stand.allow(MODEL)
        grouped = {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn_agent"}]}
        asked = responses(person("go"), tools=[{"type": "custom", "name": "apply_patch"}, grouped], stream=False)
        patch, spawn = (await stand.client().ask("/v1/responses", asked)).json["output"]
        assert (patch["type"], patch["input"]) == ("custom_tool_call", "*** Begin Patch")
        assert (spawn["name"], spawn["namespace"]) == ("spawn_agent", "agents")


async def test_a_step_whose_tools_are_all_missing_still_goes_on() -> None:
    steps = (Step(text="First.", calls=(Call("todo", {}), Call("ask", {}))), Step(text="Second."))
    async with standing([], environ={}) as stand:
        stand.models.register("story", Script((Rule(steps),)))
        stand.allow(MODEL)
        first = (await stand.client().ask("/v1/responses", responses(person("go"), stream=False))).json["output"]
        assert [json.loads(item["arguments"]) for item in first if "arguments" in item] == [{"cmd": "true"}]


TWO = Script(
    (
        Rule((Step(text="First.", calls=(Call("bash", {"command": "one"}),)), Step(text="Steered on.")), match="one"),
        Rule((Step(text="Second."),), match="two"),
        Rule((Step(text="As you wish."),), match="instead", steer=True),
    )
)


@pytest.mark.parametrize(
    ("later", "answer"),
    [
        ([person("two")], "Second."),
        (
            [person("one"), person("Another language model started to solve this problem: one"), person("two")],
            "Second.",
        ),
        ([person("<turn_aborted>\nnote</turn_aborted>"), person("two")], "Second."),
        ([person("quicker, two")], "Steered on."),
        ([person("instead")], "As you wish."),
    ],
)
async def test_what_is_said_last_chooses_the_answer_as_it_was_meant(later: list[dict[str, Any]], answer: str) -> None:
    async with standing([], environ={}) as stand:
        stand.models.register("story", TWO)
        stand.allow(MODEL)
        talk: list[dict[str, Any]] = [person("one")]
        if len(later) < 3 and later != [person("two")]:  # an agent that has made its call, and is told something
            first = (await stand.client().ask("/v1/responses", responses(*talk, stream=False))).json["output"]
            output = {"type": "function_call_output", "call_id": first[-1]["call_id"], "output": "done"}
            talk += [*first, output]
        said = await stand.client().ask("/v1/responses", responses(*talk, *later, stream=False))
        assert said.json["output"][0]["content"][0]["text"] == answer
