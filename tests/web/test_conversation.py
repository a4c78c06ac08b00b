"""The page of one conversation over HTTP: what it shows, to whom, and how it goes on."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Choice, Question
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.core.ports import OpenBlock
from tests.api.conftest import api
from tests.api.test_signing_in import Browser, browser

__all__ = ["api", "browser"]
PNG = "iVBORw0KGgo="
BLOCK = "0b0c0000-0000-4000-8000-000000000001"


@pytest.fixture
async def owner(browser: Browser) -> Browser:
    """A browser of the owner, signed in."""
    await browser.sign_in()
    return browser


async def said(browser: Browser, text: str = "Do <b>it</b>.") -> str:
    """Return an execution whose first input was taken and answered with a command that runs."""
    execution = await browser.api.prepared()
    await browser.api.send(execution, text)
    first = browser.api.desk.commands[-1]
    await browser.api.desk.append(execution, ev.InputTaken((getattr(first, "input_id", ""),)))
    await ran(browser, execution, "c1", "pytest -q")
    return execution


async def ran(browser: Browser, execution: str, call: str, command: str) -> None:
    arguments = json.dumps({"command": command})
    parts = (Text(f"I run *{command}*."), ToolCall("x", "bash", arguments))
    await browser.api.desk.append(
        execution,
        ev.ModelCallStarted(call, "m"),
        ev.ModelReplied(call, parts, Usage(100, 50, 0, 7), "tools"),
        ev.ToolStarted(f"{call}.0", "bash", arguments, "i"),
    )


async def ended(browser: Browser, execution: str, call: str, code: int = 0, **result: Any) -> None:
    outcome: Any = "ok" if code == 0 else "failed"
    text = result.pop("text", "1 passed")
    await browser.api.desk.append(execution, ev.ToolFinished(f"{call}.0", outcome, text, code, **result))


async def panel(browser: Browser, execution: str, query: str = "") -> dict[str, Any]:
    answer = await browser.get(f"/executions/{execution}/panel{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


@asynccontextmanager
async def following(browser: Browser, execution: str, after: str) -> AsyncGenerator[Any]:
    """Yield what gives the next event of the page's stream as (name, data)."""
    url = f"{browser.url}/executions/{execution}/events?after={after}"
    async with browser.http.stream("GET", url) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()

        async def following_event() -> tuple[str, dict[str, Any]]:
            told: dict[str, str] = {}
            async for line in lines:
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    continue
                if line:
                    told[name] = value
                elif "event" in told:
                    return told["event"], json.loads(told["data"])
            raise AssertionError("the stream ended")

        yield following_event


async def test_a_script_that_plays_the_model_is_named_beside_the_state_for_visitors_too(owner: Browser):
    execution = await said(owner)
    for query in ("", "?as=visitor"):
        assert "Scripted, no real model" in (await panel(owner, execution, query))["html"]["glance"]
    row = await owner.api.desk.seen(execution)
    row.row.view["hostler"]["model"] = "openai-chat:some-model"
    assert "Scripted" not in (await panel(owner, execution))["html"]["glance"]


async def test_the_page_answers_the_four_questions(owner: Browser):
    execution = await said(owner)
    page = await owner.get(f"/executions/{execution}")
    assert page.status_code == 200
    assert '<span class="badge run" id="state">Working</span>' in page.text
    assert "the command <code>pytest -q</code>" in page.text
    assert "no limit" in page.text
    assert "Nothing to judge yet" in page.text
    assert "Do &lt;b&gt;it&lt;/b&gt;." in page.text
    assert "<em>pytest -q</em>" in page.text


async def test_a_page_allows_no_script_but_ours_and_no_frame(owner: Browser):
    page = await owner.get(f"/executions/{await said(owner)}")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "style=" not in page.text
    assert page.text.count("<script") == 1


async def test_without_a_credential_a_page_leads_to_sign_in_and_elsewhere_is_nothing(browser: Browser):
    execution = await said(browser)
    answer = await browser.get(f"/executions/{execution}", accept="text/html")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next=/executions/{execution}")
    assert (await browser.get(f"/executions/{execution}/events")).status_code == 401
    await browser.sign_in()
    assert (await browser.get("/executions/00000000-0000-4000-8000-000000000000")).status_code == 404


async def test_receipts_back_what_is_claimed(owner: Browser):
    execution = await said(owner)
    details = {"file": "a.py", "old": "1", "new": "2", "line": 1}
    await owner.api.desk.append(
        execution,
        ev.ToolFinished("c1.0", "failed", "1 failed", 1),
        ev.ModelCallStarted("c2", "m"),
        ev.ModelReplied("c2", (ToolCall("y", "edit", "{}"),), Usage(1, 0, 0, 1), "tools"),
        ev.ToolStarted("c2.0", "edit", "{}", "i"),
        ev.ToolFinished("c2.0", "ok", "edited", details=details),
    )
    await ran(owner, execution, "c3", "pytest -q")
    await ended(owner, execution, "c3")
    await owner.api.desk.append(execution, ev.TurnEnded(1))
    html = (await panel(owner, execution))["html"]
    assert "Backed by checks" in html["glance"]
    assert "a.py" in html["more"]
    assert html["more"].count('<li class="passed">') == 1
    assert html["more"].count('<li class="failed">') == 1
    assert "Your" in html["glance"] or "your next message" in html["glance"]


async def test_the_true_owner_wins_over_the_log(owner: Browser):
    execution = await said(owner)
    owner.api.desk.live = "recovering"
    assert (await panel(owner, execution))["word"] == "Recovering"
    owner.api.desk.live = "gone"
    assert (await panel(owner, execution))["word"] == "Its runner is away"


async def test_only_the_tail_is_shown_and_the_rest_comes_on_demand(owner: Browser):
    execution = await said(owner)
    await ended(owner, execution, "c1")
    for number in range(2, 60):
        await ran(owner, execution, f"c{number}", f"echo {number}")
        await ended(owner, execution, f"c{number}", text=str(number))
    page = await owner.get(f"/executions/{execution}")
    assert page.text.count('class="item ') == 60
    first = page.text.partition('data-before="')[2].partition('"')[0]
    counted = 60
    while first:
        answer = await owner.get(f"/executions/{execution}/earlier?before={first}")
        counted += answer.text.count('class="item ')
        first = answer.headers["x-first"] if int(answer.headers["x-more"]) else ""
    assert counted == 58 * 2 + 5
    assert (await owner.get(f"/executions/{execution}/earlier?before=none")).status_code == 404
    whole = await owner.get(f"/executions/{execution}?all=1")
    assert whole.text.count('class="item ') == counted
    tail = await owner.get(f"/executions/{execution}/tail")
    assert tail.text.count('class="item ') == 60
    assert int(tail.headers["x-seq"]) > 100


async def test_what_happens_is_put_into_the_open_page(owner: Browser):
    execution = await said(owner)
    seq = (await panel(owner, execution))["seq"]
    async with following(owner, execution, str(seq)) as event:
        await ended(owner, execution, "c1", 1, text="1 failed")
        name, told = await event()
        assert (name, told["id"]) == ("put", "action-8")
        assert "exit 1" in told["html"]
        assert await event() == ("panel", {"seq": seq + 1})


async def test_text_that_is_being_said_comes_in_pieces_and_is_then_replaced(owner: Browser):
    execution = await said(owner)
    await ended(owner, execution, "c1")
    await owner.api.desk.append(execution, ev.ModelCallStarted("c2", "m"))
    seq = (await panel(owner, execution))["seq"]
    block = owner.api.desk.say(OpenBlock(BLOCK, "c2", 0, "text", 1, "Hel"))
    async with following(owner, execution, str(seq)) as event:
        assert await event() == ("text", {"id": f"block-{BLOCK}", "kind": "text", "offset": 0, "text": "Hel"})
        owner.api.desk.say_more(block, "lo **there**")
        assert (await event())[1] == {"id": f"block-{BLOCK}", "kind": "text", "offset": 3, "text": "lo **there**"}
        reply = ev.ModelReplied("c2", (Text("Hello **there**"),), Usage(1, 0, 0, 1), blocks=(BLOCK,))
        await owner.api.desk.append(execution, reply)
        name, told = await event()
        assert (name, told["id"]) == ("put", f"block-{BLOCK}")
        assert "<strong>there</strong>" in told["html"]


async def test_new_items_say_behind_which_they_belong(owner: Browser):
    execution = await said(owner)
    seq = (await panel(owner, execution))["seq"]
    async with following(owner, execution, str(seq)) as event:
        await owner.api.desk.append(execution, ev.EgressRefused("example.org:443", "it is not on the list"))
        name, told = await event()
        assert (name, told["after"]) == ("put", "action-8")
        assert 'data-allow="class" data-host="example.org"' in told["html"]


async def test_a_long_output_and_an_image_come_on_demand(owner: Browser):
    execution = await owner.api.prepared()
    picture = {"image": {"data": PNG, "mimeType": "image/png"}}
    await owner.api.call(
        "SendToAgentExecution",
        {"agentExecutionId": execution, "userInput": {"inputs": [{"text": {"content": "see"}}, picture]}},
    )
    await owner.api.desk.append(execution, ev.InputTaken((getattr(owner.api.desk.commands[-1], "input_id", ""),)))
    await ran(owner, execution, "c1", "seq 1000")
    output = "\n".join(map(str, range(1000)))
    await ended(owner, execution, "c1", text="cut", output=await owner.api.parts.blobs.put(execution, output.encode()))
    page = (await owner.get(f"/executions/{execution}")).text
    image = page.partition('<img src="/executions')[2].partition('"')[0]
    answer = await owner.get(f"/executions{image}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "sandbox" in answer.headers["content-security-policy"]
    load = page.partition('data-load="')[2].partition('"')[0]
    assert "\n999" in (await owner.get(load)).text
    assert (await owner.get(f"/executions{image[:-1]}7")).status_code == 404


async def test_the_queue_can_be_changed_only_by_who_may(owner: Browser):
    execution = await said(owner)
    await owner.api.send(execution, "Second.")
    html = (await panel(owner, execution))["html"]["queue"]
    assert "1 message in the queue" in html
    assert 'data-queue="edit"' in html


async def test_an_open_question_is_a_card_with_its_choices(owner: Browser):
    execution = await said(owner)
    question = Question("q", "Which <way>?", (Choice("Left", "Left"), Choice("Right", "Right", "the long one")))
    await owner.api.desk.append(execution, ae.QuestionsAsked("a", (question,)))
    page = (await owner.get(f"/executions/{execution}")).text
    assert "Which &lt;way&gt;?" in page
    assert page.count('type="radio"') == 3
    assert "your answer: Which &lt;way&gt;?" in page


async def test_a_visitor_sees_the_conversation_and_nothing_else(owner: Browser):
    execution = await said(owner)
    page = (await owner.get(f"/executions/{execution}?as=visitor")).text
    assert "<em>pytest -q</em>" in page
    for hidden in ('id="composer"', 'id="share"', "/environments/", "Started by", "Support bundle", "Sign out"):
        assert hidden not in page, hidden
    assert "/environments/" not in (await panel(owner, execution, "?as=visitor"))["html"]["more"]


async def test_compacting_is_offered_where_the_agent_can_and_otherwise_says_why(owner: Browser):
    execution = await owner.api.prepared()
    controls = (await panel(owner, execution))["html"]["controls"]
    assert 'disabled title="There is nothing to shorten yet' in controls
    controls = (await panel(owner, await said(owner)))["html"]["controls"]
    assert 'id="compact"' in controls
    assert "disabled title=" not in controls


async def test_a_stopped_conversation_offers_to_continue(owner: Browser):
    execution = await said(owner)
    assert 'id="stop"' in (await panel(owner, execution))["html"]["controls"]
    await owner.api.call("StopAgentExecution", {"agentExecutionId": execution})
    await owner.api.desk.append(execution, ev.ToolFinished("c1.0", "cancelled", ""), ev.Stopped(1))
    assert 'id="continue"' in (await panel(owner, execution))["html"]["controls"]
    assert "Stopped on request" in (await owner.get(f"/executions/{execution}")).text


async def test_what_a_run_changed_is_shown_file_by_file(owner: Browser):
    execution = await said(owner)
    answer = await owner.get(f"/executions/{execution}/changes")
    assert answer.status_code == 200
    assert "<h1>Changes</h1>" in answer.text


async def test_a_very_long_conversation_begins_with_its_head_and_comes_whole(owner: Browser):
    execution = await said(owner)
    await ended(owner, execution, "c1")
    for number in range(2, 220):
        await ran(owner, execution, f"c{number}", "true")
        await ended(owner, execution, f"c{number}")
    async with owner.http.stream("GET", f"{owner.url}/executions/{execution}") as answer:
        pieces = [piece async for piece in answer.aiter_bytes()]
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert b"<h1" in pieces[0]
    page = b"".join(pieces).decode()
    assert page.count('class="item ') == 60
    assert page.rstrip().endswith("</html>")
    assert "<!--body-->" not in page
