"""The pages that are lists, over HTTP: what they find, how they are paged, and that whatever they show stays text."""

import asyncio
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Question
from hostler.core.conversation import ToolCall, Usage
from hostler.core.desk import NewEnvironment
from hostler.core.machines import Patch
from hostler.core.providers import Scratch
from hostler.web.site import asset
from tests.api.conftest import CLASSES, OWNER, Api
from tests.api.test_signing_in import Browser

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) &amp; \u202eevil"
DAY = 86400.0
PATCH = """diff --git a/a<script>.py b/a<script>.py
--- a/a<script>.py
+++ b/a<script>.py
@@ -1,2 +1,2 @@
 one
-<script>alert(1)</script>
+<b>two</b>
"""


class Page(HTMLParser):
    """A page: its elements, and what each row of it says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self, prefix: str) -> list[str]:
        found = [str(attributes.get("id") or "") for _, attributes in self.elements]
        return [one.removeprefix(prefix) for one in found if one.startswith(prefix)]

    def link(self, id_: str) -> str:
        return next(str(attributes["href"]) for _, attributes in self.elements if attributes.get("id") == id_)


async def shown(browser: Browser, path: str) -> Page:
    answer = await browser.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[-500:])
    return Page(answer.text)


async def stopped(api: Api, execution: str, message: str = "") -> None:
    failure = "llm_integration" if message else ""
    await api.desk.append(execution, ev.TurnStarted(1, "s"), ev.Stopped(1, failure, message))  # type: ignore[arg-type]


async def test_an_execution_is_where_it_belongs(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    new, asking, failed, idle = [await api.prepared({"name": name}) for name in ("new", "asking", "failed", "idle")]
    question = ae.QuestionsAsked("q", (Question("1", "Which colour?"),))
    await api.desk.append(asking, ev.TurnStarted(1, "s"), question, ev.TurnEnded(1))
    await stopped(api, failed, "the key is refused")
    await api.desk.append(idle, ev.TurnStarted(1, "s"), ev.TurnEnded(1))
    page = await shown(browser, "/")
    assert page.ids("run-") == [failed, asking, new, idle]
    for execution, state in ((failed, "Failed"), (asking, "Needs an answer"), (idle, "Idle")):
        assert state in page.text
        assert state in (await shown(browser, f"/executions/{execution}")).text
    assert page.ids("group-") == ["needs", "working", "done"]
    assert "Which colour?" in page.text
    assert "the key is refused" in page.text
    assert re.search(r"\(2\) Executions", page.text)


async def test_filters_in_the_address_find_what_they_name(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    session = "66666666-6666-4666-8666-666666666666"
    wanted = await api.started({"name": "Mend the Ranking", "sessionId": session, "annotations": {"team": "a=b"}})
    await api.call("StartAgent", {"name": "something else", "annotations": {"team": "c"}}, token="bot-token")
    for query in ("text=the+rank", f"text={wanted}", "annotation=team%3Da%3Db", f"session={session}", "mine=1"):
        assert (await shown(browser, f"/?{query}")).ids("run-") == [wanted], query
    assert len((await shown(browser, "/?text=")).ids("run-")) == 2
    page = await shown(browser, "/?text=the+rank&annotation=team%3Dc")
    assert page.ids("run-") == []
    assert "No execution matches" in page.text


@pytest.mark.parametrize("query", ["annotation=nothing", "group=all", f"text={'x' * 301}", "annotation=%3Dvalue"])
async def test_a_filter_that_means_nothing_is_refused_by_name(browser: Browser, query: str) -> None:
    await browser.sign_in()
    answer = await browser.get(f"/?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.text


async def test_older_pages_neither_skip_nor_repeat(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    ids = [await api.prepared({"annotations": {"kind": "x"}}) for _ in range(65)]
    seen, path = list[str](), "/?annotation=kind%3Dx"
    for size in (30, 30, 5):
        page = await shown(browser, path)
        assert len(page.ids("run-")) == size
        seen += page.ids("run-")
        path = page.link("older-working") if "working" in page.ids("older-") else ""
    assert path == ""
    assert seen == ids[::-1]


async def test_the_list_alone_is_sent_again_when_it_has_changed(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    execution = await api.prepared()
    first = await browser.get("/?part=list")
    assert "<html" not in first.text
    tag = first.headers["etag"]
    api.clock.advance(90)
    assert (await browser.get("/?part=list", if_none_match=tag)).status_code == 304
    await stopped(api, execution)
    again = await browser.get("/?part=list", if_none_match=tag)
    assert again.status_code == 200
    assert "Stopped" in again.text


async def test_a_page_that_waits_for_news_hears_of_them(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    execution = await api.prepared()
    tag = (await browser.get("/?part=list")).headers["etag"]
    asked = len(api.desk.executions.queries)
    waiting = asyncio.create_task(browser.get("/?part=list&wait=1", if_none_match=tag))
    while len(api.desk.executions.queries) < asked + 3:
        await asyncio.sleep(0)
    await stopped(api, execution)
    while not waiting.done():
        api.clock.advance(0.5)
        await asyncio.sleep(0)
    assert (await waiting).status_code == 200
    assert "Stopped" in (await waiting).text


async def test_a_page_that_waits_in_vain_is_told_so(browser: Browser) -> None:
    await browser.sign_in()
    tag = (await browser.get("/?part=list")).headers["etag"]
    waiting = asyncio.create_task(browser.get("/?part=list&wait=1", if_none_match=tag))
    while not waiting.done():
        browser.api.clock.advance(0.5)
        await asyncio.sleep(0)
    assert (await waiting).status_code == 304


async def test_a_row_that_is_done_says_whether_that_is_backed(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    execution = await api.prepared()
    command = ToolCall("t", "bash", '{"command": "pytest -q"}')
    turn = [ev.TurnStarted(1, "s"), ev.ModelCallStarted("c", "m"), ev.ModelReplied("c", (command,), Usage(), "tools")]
    ended = ev.ToolFinished("c.0", "ok", "1 passed", 0)
    await api.desk.append(execution, *turn, ev.ToolStarted("c.0", "bash", command.arguments, "i"), ended)
    assert "Nothing changed" not in (await shown(browser, "/")).text
    await api.desk.append(execution, ev.TurnEnded(1))
    assert "Nothing changed" in (await shown(browser, "/")).text
    await api.desk.append(execution, ev.TurnStarted(2, "s"))
    assert "Nothing changed" not in (await shown(browser, "/")).text


async def test_a_newcomer_is_told_what_to_do(browser: Browser) -> None:
    await browser.sign_in()
    assert "hostler run" in (await shown(browser, "/")).text
    assert "hostler env create" in (await shown(browser, "/environments")).text
    assert "The library is empty" in (await shown(browser, "/prompts")).text
    assert "No model has been called" in (await shown(browser, "/usage")).text


@pytest.mark.parametrize("path", ["/", "/?part=list", "/environments", "/environments/x", "/prompts", "/usage"])
async def test_who_is_not_signed_in_sees_no_page(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).status_code == 401
    answer = await browser.get(path, accept="text/html")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


async def test_who_may_only_read_is_offered_no_change(browser: Browser) -> None:
    await browser.sign_in("read-token")
    environment = await made(browser.api)
    offered = {"new-execution", "new-prompt", "delete", "stop-environment", "start"}
    for path in ("/", "/prompts", f"/environments/{environment}"):
        assert not offered & set((await shown(browser, path)).ids(""))
    assert "You may only look" in (await shown(browser, f"/environments/{environment}?show=terminal")).text


async def made(api: Api, phase: str = "running", **status: Any) -> str:
    """Return an environment."""
    row = await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch(), name=EVIL), OWNER)
    spec = {"source": {"url": f"https://host.example/{EVIL}"}, "project": EVIL}
    await api.environments.change(row.id, phase=phase, status={**row.status, **status}, spec={**row.spec, **spec})
    return row.id


async def full_of_evil(api: Api) -> list[str]:
    """Fill everything that pages show with markup; return the paths of all pages."""
    execution = await api.prepared(
        {
            "name": EVIL,
            "annotations": {EVIL: EVIL},
            "codeContext": {"contextUrl": {"url": "https://host.example/a<script>b"}},
        }
    )
    call = [ev.ModelCallStarted("c", EVIL), ev.ModelReplied("c", (), Usage(1, 2, 3, 4), "stop")]
    question = ae.QuestionsAsked("q", (Question("1", EVIL),))
    await api.desk.append(
        execution, ev.TurnStarted(1, "s"), *call, ev.EgressRefused(EVIL, EVIL), question, ev.TurnEnded(1)
    )
    failed = await api.prepared({"name": EVIL})
    await stopped(api, failed, EVIL)
    status = {
        "failure": EVIL,
        "notes": [EVIL],
        "branch": EVIL,
        "base": EVIL,
        "started_at": EVIL,
        "devcontainer": {"path": EVIL, "problem": EVIL},
        "protections": [{"limit": EVIL, "means": EVIL, "holds": False}],
        "steps": {"once": {EVIL: {"state": "failed", "failure": EVIL, "seconds": 1.5}}},
    }
    environment = await made(api, **status)
    await api.parts.environment_rows.use(environment, execution, api.clock.now())
    api.environments.patch = Patch(PATCH.encode())
    library = {
        "name": EVIL.replace("\u202e", ""),
        "description": EVIL.replace("\u202e", ""),
        "prompt": "</textarea><script>alert(1)</script>",
    }
    prompt = (await api.call("CreatePrompt", library))["prompt"]["id"]
    tabs = [f"/environments/{environment}?show={name}" for name in ("overview", "terminal", "changes", "log")]
    echo = "%3Cscript%3Ealert(1)%3C/script%3E%22%27"
    filters = [f"/?text={echo}", f"/?annotation={echo}%3D{echo}", f"/?session={echo}&agent={echo}&project={echo}"]
    lists = [
        f"/environments?text={echo}",
        f"/prompts?text={echo}",
        f"/usage?only={echo}",
        "/usage?by=agent",
        "/usage?by=project",
    ]
    return ["/", *filters, "/environments", *tabs, *lists, "/prompts", f"/prompts/{prompt}", "/prompts/new", "/usage"]


async def test_whatever_is_shown_stays_text(browser: Browser) -> None:
    await browser.sign_in()
    for path in await full_of_evil(browser.api):
        page = await shown(browser, path)
        ours = ("/static/", "/xterm/")
        for tag, attributes in page.elements:
            assert tag != "script" or str(attributes.get("src", "")).startswith(ours), (path, tag, attributes)
            assert not any(name.startswith("on") for name in attributes), (path, tag, attributes)
            assert "style" not in attributes, (path, tag, attributes)
            assert tag not in ("b", "style", "iframe"), (path, tag)
            if tag == "img":
                assert str(attributes["src"]).startswith(ours), (path, attributes)
        assert "\u202e" not in page.text, path


async def test_only_the_terminal_allows_styles_that_its_library_makes(browser: Browser) -> None:
    await browser.sign_in()
    environment = await made(browser.api)
    for tab, allowed in (("overview", False), ("terminal", True), ("changes", False), ("log", False)):
        answer = await browser.get(f"/environments/{environment}?show={tab}")
        policy = answer.headers["content-security-policy"]
        assert ("'unsafe-inline'" in policy) == allowed
        assert "script-src 'self';" in policy


async def test_what_a_module_imports_is_served_under_the_address_that_changes_with_it(browser: Browser) -> None:
    await browser.sign_in()
    execution = await browser.api.prepared()
    for path in ("/", "/environments", "/prompts/new", "/usage", f"/executions/{execution}"):
        page = await shown(browser, path)
        left = {str(attributes["src"]) for tag, attributes in page.elements if tag == "script"}
        assert left, path
        seen = set[str]()
        while left:
            address = left.pop()
            seen.add(address)
            module = await browser.get(address)
            assert module.status_code == 200, address
            left |= {
                urljoin(address, one) for one in re.findall(r'^import .*"(.+)";$', module.text, re.MULTILINE)
            } - seen
        assert {one.rpartition("/")[0] for one in seen} == {asset("").rstrip("/")}


async def test_xterm_comes_from_this_server_and_nothing_else_of_its_package(browser: Browser) -> None:
    code = await browser.get("/xterm/index.js")
    assert code.status_code == 200
    assert code.headers["content-type"].startswith("text/javascript")
    assert "FitAddon" in code.text
    assert (await browser.get("/xterm/xterm.css")).status_code == 200
    for path in ("/xterm/xterm.py", "/xterm/..%2F..%2Fxterm.py", "/xterm/package.json"):
        assert (await browser.get(path)).status_code == 404


async def test_what_changed_is_masked(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    environment = await made(api)
    api.environments.patch = Patch(PATCH.replace("two", "s3cret-value-of-a-key").encode())
    page = await shown(browser, f"/environments/{environment}?show=changes")
    assert "1 file differs" in page.text
    assert "s3cret" not in page.text
    api.environments.patch = Patch(b"no patch at all @@ -1 +9 @@")
    await shown(browser, f"/environments/{environment}?show=changes")


async def test_archived_environments_are_listed_apart(browser: Browser) -> None:
    await browser.sign_in()
    here, away = await made(browser.api), await made(browser.api, "stopped", archived_at="2026-01-01T00:00:00+00:00")
    assert (await shown(browser, "/environments")).ids("environment-") == [here]
    assert (await shown(browser, "/environments?state=archived")).ids("environment-") == [away]
    assert (await shown(browser, f"/environments?text={here[:30]}")).ids("environment-") == [here]
    assert (await browser.get(f"/environments/{here[:-1]}0")).status_code == 404


async def test_prompts_are_found_by_kind(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    prompt = {
        "name": "Review",
        "description": "looks at a change",
        "prompt": "Look.",
        "isCommand": True,
        "command": "rev",
    }
    made = (await api.call("CreatePrompt", prompt))["prompt"]["id"]
    page = await shown(browser, "/prompts?kind=command&text=review")
    assert page.ids("prompt-") == [made]
    assert "/rev" in page.text
    assert (await browser.get("/prompts?kind=poem")).status_code == 400
    assert (await browser.get(f"/prompts/{made[:-1]}f")).status_code == 404


def number(page: Page, html: str, id_: str) -> int:
    found = re.search(rf'id="{id_}"(?: title="([\d,]+)")?>([\d,]+)', html)
    assert found, html
    return int((found[1] or found[2]).replace(",", ""))


async def test_the_totals_of_usage_are_the_sums_over_executions(browser: Browser) -> None:
    api = browser.api
    await browser.sign_in()
    ids = [await api.prepared() for _ in range(3)]
    deleted = await api.prepared()
    for place, execution in enumerate([*ids, deleted], start=1):
        for call in range(place):
            usage = Usage(1000 * place + call, 50 * call, 7, 11 * place)
            name = f"c{call}"
            turn = [ev.TurnStarted(1, "s")] if call == 0 else []
            called = [ev.ModelCallStarted(name, f"model-{call}"), ev.ModelReplied(name, (), usage, "stop")]
            await api.desk.append(execution, *turn, *called)
        api.clock.advance(1 * DAY)
    await api.desk.append(
        ids[0], ae.AgentCallStarted("x", "model-0", "/"), ae.AgentCallCut("x", Usage(9, 0, 0, 9), "cut")
    )
    await api.call("DeleteAgentExecution", {"agentExecutionId": deleted})
    statuses = [
        (await api.call("GetAgentExecution", {"agentExecutionId": one}))["agentExecution"]["status"] for one in ids
    ]

    def summed(*names: str) -> int:
        return sum(int(status.get(name, 0)) for status in statuses for name in names)

    for by in ("model", "agent", "project"):
        html = (await browser.get(f"/usage?days=7&by={by}")).text
        page = Page(html)
        assert number(page, html, "total-input") == summed("inputTokensUsed", "cachedCreationTokensUsed")
        assert number(page, html, "total-cached") == summed("cachedInputTokensUsed")
        assert number(page, html, "total-output") == summed("outputTokensUsed")
        assert number(page, html, "total-calls") == summed("iterations")
        assert number(page, html, "total-guess") == 18
        rows = re.findall(r"<tr><td>(\d{4}-\d\d-\d\d)</td>((?:<td[^>]*>[\d,]*</td>)+)</tr>", html)
        days = [[int(n.replace(",", "") or 0) for n in re.findall(r">([\d,]*)</td>", row)] for _, row in rows]
        assert sum(day[0] for day in days) == number(page, html, "total-input")
        assert sum(day[3] for day in days) == number(page, html, "total-tokens")
    only = (await browser.get("/usage?days=7&by=model&only=model-0")).text
    assert number(Page(only), only, "total-calls") == 3
    api.clock.advance(6 * DAY)
    later = (await browser.get("/usage?days=7")).text
    assert number(Page(later), later, "total-calls") < summed("iterations")
