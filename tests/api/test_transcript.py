"""The transcript: every model call with what the model was told and said, as JSON Lines and as Markdown."""

import json
from typing import Any

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Child, FileChange
from hostler.core.conversation import Text, Thinking, ToolCall, Usage
from hostler.core.events import Event
from tests.api.conftest import Api

INSIDE = "00000000-0000-0000-0000-000000007800"


async def got(api: Api, execution: str, query: str = "", token: str | None = "owner-token") -> Any:
    url = f"{api.url}/api/executions/{execution}/transcript{query}"
    return await api.http.get(url, headers=api.headers(token=token))


async def lines(api: Api, execution: str, query: str = "", token: str | None = "owner-token") -> list[dict[str, Any]]:
    answer = await got(api, execution, query, token)
    assert answer.status_code == 200, answer.content
    return [json.loads(line) for line in answer.text.splitlines()]


def replied(call: str, *parts: Any, finish: str = "stop") -> Event:
    return ev.ModelReplied(call, parts, Usage(10, 5, 1, 3), finish)


async def talked(api: Api) -> str:
    """An execution in whose second turn the model gives up and is asked again."""
    execution = await api.prepared()
    await api.send(execution, "mend it")
    await api.desk.append(
        execution,
        ev.InputTaken((await taken(api, execution),)),
        ev.ModelCallStarted("c1", "scripted:demo"),
        replied("c1", Thinking("hm", "proof"), ToolCall("x", "bash", '{"command": "make"}'), finish="tools"),
        ev.ToolStarted("c1.0", "bash", '{"command": "make"}', "i"),
        ev.ToolFinished("c1.0", "failed", "no `rule`", 2),
        ev.ModelCallStarted("c2", "scripted:demo"),
        replied("c2", Text("There is no rule.")),
        ev.TurnEnded(1),
    )
    return execution


async def taken(api: Api, execution: str) -> str:
    """The input that waits."""
    log = await api.desk.log(execution)
    return next(one.event.input_id for one in reversed(log) if isinstance(one.event, ev.InputQueued))


async def test_each_call_is_a_line_with_only_what_is_new_since_the_line_before(api: Api) -> None:
    first, second = await lines(api, await talked(api))
    assert (first["id"], first["number"], first["turn"], first["outcome"]) == ("c1", 1, 1, "finished")
    assert first["usage"] == {"input": 10, "cachedInput": 5, "cacheCreation": 1, "output": 3, "estimated": False}
    assert first["request"]["prefix"] == 0
    assert first["request"]["messages"][0]["parts"] == [{"text": "mend it", "kind": "text"}]
    assert [tool["name"] for tool in first["request"]["tools"]] == ["bash"]
    assert first["reply"]["finish"] == "tools"
    assert [part["kind"] for part in first["reply"]["parts"]] == ["thinking", "tool_call"]
    assert "proof" not in json.dumps(first)
    assert second["request"]["prefix"] == 1
    assert "tools" not in second["request"]
    assistant, results = second["request"]["messages"]
    assert assistant == {"role": "assistant", "parts": first["reply"]["parts"]}
    assert results["results"] == [{"call_id": "x", "name": "bash", "text": "no `rule`", "failed": True}]
    assert second["reply"]["parts"] == [{"text": "There is no rule.", "kind": "text"}]


async def test_the_messages_of_a_call_are_those_before_it_up_to_prefix_and_its_own(api: Api) -> None:
    execution = await talked(api)
    await api.send(execution, "then add one")
    await api.desk.append(
        execution,
        ev.InputTaken((await taken(api, execution),)),
        ev.ModelCallStarted("c3", "scripted:demo"),
        ev.ModelCallFailed("c3", "overloaded", None),
        ev.Stopped(2, "llm_integration", "overloaded"),
    )
    await api.send(execution, "again")
    await api.desk.append(
        execution,
        ev.InputTaken((await taken(api, execution),)),
        ev.ModelCallStarted("c4", "scripted:demo"),
    )
    told: list[Any] = []
    sizes: list[int] = []
    for line in await lines(api, execution):
        request = line["request"]
        told = [*told[: request["prefix"]], *request["messages"]]
        sizes.append(len(told))
    assert sizes == [1, 3, 5, 5]
    assert [part["text"] for part in told[-1]["parts"]] == ["then add one", "again"]


async def test_failed_cut_and_open_calls_say_so(api: Api) -> None:
    execution = await api.prepared()
    await api.send(execution, "go")
    await api.desk.append(
        execution,
        ev.InputTaken((await taken(api, execution),)),
        ev.ModelCallStarted("c1", "scripted:demo"),
        ev.ModelCallFailed("c1", "overloaded", api.clock.now()),
        ev.ModelCallCut("c1", (ev.CutText("b", "I was about"),)),
        ev.Stopped(1),
    )
    (cut,) = await lines(api, execution)
    assert (cut["outcome"], cut["tries"], cut["reply"]) == ("cut", 2, None)
    assert cut["usage"]["estimated"]
    assert cut["said"] == [{"kind": "text", "text": "I was about"}]
    assert [failure["message"] for failure in cut["failures"]] == ["overloaded"]
    await api.send(execution, "go on")
    await api.desk.append(
        execution, ev.InputTaken((await taken(api, execution),)), ev.ModelCallStarted("c2", "scripted:demo")
    )
    assert [line["outcome"] for line in await lines(api, execution)] == ["cut", "running"]


async def test_what_no_call_has_told_the_model_stands_in_the_last_line(api: Api) -> None:
    execution = await talked(api)
    await api.send(execution, "and another thing")
    await api.desk.append(execution, ev.InputTaken((await taken(api, execution),)))
    first, last = await lines(api, execution)
    assert "unsent" not in first
    assert last["unsent"][0]["parts"] == [{"text": "and another thing", "kind": "text"}]


async def test_the_system_prompt_is_for_administrators(api: Api) -> None:
    execution = await talked(api)
    assert (await lines(api, execution))[0]["request"]["system"] == "be kind"
    short = await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution})
    for token in ("bot-token", short["token"]):
        assert "be kind" not in (await got(api, execution, token=token)).text


async def test_an_agent_inside_has_lines_of_what_is_known_of_its_calls(api: Api) -> None:
    agent = ev.Agent(INSIDE, "codex", "codex", "scripted:demo")
    started = ev.Started({}, agent, "e", True, "u", "s")
    execution, _ = await api.desk.executions.create(api.parts.ambient.new_id(), "r", [started], api.clock.now())
    await api.desk.append(execution, ev.EnvironmentReady("e", "i"))
    await api.send(execution, "mend it")
    asked = await taken(api, execution)
    await api.desk.append(
        execution,
        ev.InputTaken((asked,)),
        ae.AgentStarting("p", "i"),
        ae.AgentOpened("p", "thread"),
        ae.InputSeen(asked),
        ae.AgentCallStarted("g1", "openai:gpt", "/v1/responses"),
        ae.AgentCallFinished("g1", Usage(7), "tools"),
        ae.AgentSaid("i1", "I look.", block="b"),
        ae.ActionStarted("i2", "bash", '{"command": "ls"}'),
        ae.ActionFinished("i2", "ok", "a.py", 0),
        ae.AgentCallStarted("g2", "openai:gpt", "/v1/responses"),
        ae.FilesChanged("i3", (FileChange("a.py", "update", "@@"),)),
        ae.ChildReported(Child("k", "helper", "done", 9)),
        ae.AgentCallCut("g2", Usage(3), "the stream broke"),
    )
    first, second = await lines(api, execution)
    assert (first["agent"], first["model"], first["usage"]["input"]) == ("external", "openai:gpt", 7)
    assert (first["request"]["known"], first["request"]["path"]) == (False, "/v1/responses")
    assert "keeps no bodies" in first["request"]["note"]
    assert [item["kind"] for item in first["request"]["heard"]] == ["input"]
    assert [item["kind"] for item in first["reply"]["parts"]] == ["text", "action"]
    assert [item["text"] for item in second["request"]["heard"]] == ["a.py"]
    assert (second["outcome"], second["reason"], second["usage"]["estimated"]) == ("cut", "the stream broke", True)
    assert [item["kind"] for item in second["reply"]["parts"]] == ["files", "subagent"]
    text = (await got(api, execution, "?format=md")).text
    for part in ("> mend it", "I look.", "**Call of `bash`**", "the stream broke", "helper: done, 9 tokens"):
        assert part in text


async def test_markdown_reads_from_top_to_bottom_and_nothing_breaks_out_of_its_fence(api: Api) -> None:
    execution = await talked(api)
    await api.desk.append(execution, ev.AnnotationsSet({"x": "y"}))
    answer = await got(api, execution, "?format=md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    text = answer.text
    order = ["# mend it", "## Call 1, turn 1", "> mend it", "**Call of `bash`**", "## Call 2", "There is no rule."]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "16 tokens in (5 cached), 3 out" in text
    hostile = await api.prepared()
    await api.send(hostile, "go")
    await api.desk.append(
        hostile,
        ev.InputTaken((await taken(api, hostile),)),
        ev.ModelCallStarted("c1", "m"),
        replied("c1", ToolCall("x", "bash", "{}")),
        ev.ToolStarted("c1.0", "bash", "{}", "i"),
        ev.ToolFinished("c1.0", "ok", "```\n# not a heading\n````"),
        ev.ModelCallStarted("c2", "m"),
    )
    assert "`````\n```\n# not a heading\n````\n`````" in (await got(api, hostile, "?format=md")).text


async def test_sub_agents_come_along_when_asked_for(api: Api) -> None:
    execution = await talked(api)
    child, grandchild = await talked(api), await talked(api)
    await api.desk.append(child, ev.AnnotationsSet({"hostler/parent": execution}))
    await api.desk.append(grandchild, ev.AnnotationsSet({"hostler/parent": child}))
    await api.desk.append(execution, ev.AnnotationsSet({"hostler/parent": grandchild}))  # a ring of families
    assert {line["execution"] for line in await lines(api, execution)} == {execution}
    shown = await lines(api, execution, "?tree=1")
    assert [line["execution"] for line in shown[::2]] == [execution, child, grandchild]
    assert [line.get("parent", "") for line in shown[::2]] == ["", execution, child]
    short = await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution})
    refused = await got(api, execution, "?tree=1", token=short["token"])
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


async def test_it_is_shown_to_whoever_may_read_the_conversation(api: Api) -> None:
    execution, other = await talked(api), await talked(api)
    short = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    assert (await got(api, execution, token=short)).status_code == 200
    assert (await got(api, execution, f"?token={short}", token=None)).status_code == 200
    assert (await got(api, other, token=short)).status_code == 404
    assert (await got(api, execution, token=None)).status_code == 401
    assert (await got(api, "0" * 8 + "-0000-0000-0000-000000000000")).status_code == 404
    for query, field in (("?format=html", "format"), ("?tree=perhaps", "tree")):
        refused = await got(api, execution, query)
        assert (refused.status_code, refused.json()["message"].split(":")[0]) == (400, field)


async def test_a_secret_that_became_known_later_is_masked(api: Api) -> None:
    execution = await talked(api)
    api.parts.redactor.add(["There is no rule."])
    assert "There is no rule." not in (await got(api, execution)).text
    assert "There is no rule." not in (await got(api, execution, "?format=md")).text
