"""An export: the whole conversation in one file that stands for itself."""

import json
from typing import Any

from httpx2 import Response

from hostler.core import events as ev
from hostler.core.conversation import Text, ToolCall, Usage
from tests.api.conftest import Api
from tests.api.test_shares import visit
from tests.api.test_signing_in import Browser, browser

__all__ = ["browser"]


async def asked(api: Api, execution: str, query: str, token: str | None = "owner-token") -> Response:
    return await api.http.get(f"{api.url}/api/executions/{execution}/export{query}", headers=api.headers(token=token))


async def as_json(api: Api, execution: str, query: str = "?format=json") -> dict[str, Any]:
    answer = await asked(api, execution, query)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


async def talked(api: Api, name: str = "mend it") -> str:
    execution = await api.prepared()
    await api.send(execution, name)
    log = await api.desk.log(execution)
    waiting = next(one.event.input_id for one in log if isinstance(one.event, ev.InputQueued))
    await api.desk.append(
        execution,
        ev.InputTaken((waiting,)),
        ev.ModelCallStarted("c1", "scripted:demo"),
        ev.ModelReplied("c1", (Text("I look."), ToolCall("x", "bash", '{"command": "make test"}')), Usage(10, 5, 1, 3)),
        ev.ToolStarted("c1.0", "bash", '{"command": "make test"}', "i"),
        ev.ToolFinished("c1.0", "failed", "1 failed\n```\n# loud", 2),
        ev.ModelCallStarted("c2", "scripted:demo"),
        ev.ModelReplied("c2", (Text("It fails **still**."),), Usage(2)),
        ev.TurnEnded(1),
    )
    return execution


async def test_json_holds_the_execution_its_frames_and_its_calls(api: Api) -> None:
    execution = await talked(api)
    export = await as_json(api, execution)
    assert set(export) == {"version", "exportedAt", "execution", "frames", "calls", "subagents"}
    assert (export["version"], export["execution"]["id"], export["subagents"]) == (1, execution, [])
    assert [frame["id"] for frame in export["frames"]] == list(range(1, len(export["frames"]) + 1))
    assert export["frames"][0]["tag"] == 2
    said = [frame["body"]["text"]["content"] for frame in export["frames"] if "text" in frame["body"]]
    assert said == ["I look.", "It fails **still**."]
    assert [call["input"] for call in export["calls"]] == [10, 2]


async def test_markdown_tells_the_conversation_in_order(api: Api) -> None:
    answer = await asked(api, await talked(api), "?format=md")
    text = answer.text
    order = [
        "# mend it",
        "## Turn 1",
        "> mend it",
        "I look.",
        "make test",
        "exit code 2",
        "# loud",
        "It fails **still**.",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "````\n1 failed\n```\n# loud\n````" in text
    assert 'filename="conversation-' in answer.headers["content-disposition"]


async def test_sub_agents_lie_within_who_they_work_for(api: Api) -> None:
    execution, child, grandchild = await talked(api), await talked(api, "a part"), await talked(api, "a smaller part")
    await api.desk.append(child, ev.AnnotationsSet({"hostler/parent": execution}))
    await api.desk.append(grandchild, ev.AnnotationsSet({"hostler/parent": child}))
    assert (await as_json(api, execution))["subagents"] == []
    export = await as_json(api, execution, "?format=json&tree=1")
    (below,) = export["subagents"]
    assert below["execution"]["id"] == child
    assert [one["execution"]["id"] for one in below["subagents"]] == [grandchild]
    text = (await asked(api, execution, "?format=md&tree=1")).text
    assert text.index("# mend it") < text.index("## a part") < text.index("### a smaller part")


async def test_an_execution_without_a_conversation_can_be_exported(api: Api) -> None:
    execution = await api.started()
    assert (await as_json(api, execution))["frames"] == []
    assert (await asked(api, execution, "?format=md")).status_code == 200


async def test_what_cannot_be_exported_is_named(api: Api) -> None:
    execution = await talked(api)
    refused = await asked(api, execution, "?format=docx")
    assert (refused.status_code, refused.json()["message"].split(":")[0]) == (400, "format")
    assert (await asked(api, execution, "?format=md", None)).status_code == 401
    short = (await api.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}))["token"]
    assert (await asked(api, execution, "?format=md", short)).status_code == 200
    assert (await asked(api, execution, "?format=md&tree=1", short)).status_code == 403


async def test_a_secret_that_became_known_later_is_masked(api: Api) -> None:
    execution = await talked(api)
    api.parts.redactor.add(["It fails **still**."])
    for form in ("md", "json"):
        assert "still" not in (await asked(api, execution, f"?format={form}")).text


async def test_a_visitor_takes_along_what_is_shown_and_nothing_around_it(browser: Browser) -> None:
    execution, child = await talked(browser.api), await talked(browser.api, "a part")
    await browser.api.desk.append(execution, ev.AnnotationsSet({"team": "not for visitors"}))
    await browser.api.desk.append(child, ev.AnnotationsSet({"hostler/parent": execution}))
    await visit(browser, execution)
    url = f"{browser.url}/api/executions/{execution}"
    export = (await browser.http.get(f"{url}/export?format=json")).json()
    assert export["execution"]["metadata"]["name"] == "mend it"
    assert set(export["execution"]["status"]) == {"phase"}
    assert (export["calls"], export["subagents"]) == ([], [])
    assert "not for visitors" not in json.dumps(export)
    assert "It fails" in (await browser.http.get(f"{url}/export?format=md")).text
    for closed in ("export?format=json&tree=1", "transcript", "bundle"):
        assert (await browser.http.get(f"{url}/{closed}")).status_code == 403
