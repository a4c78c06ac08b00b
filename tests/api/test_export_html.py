"""An export as a page: one file, no script, nothing from elsewhere, whatever the conversation holds."""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from httpx2 import AsyncClient

from hostler.api.server import build
from hostler.core import events as ev
from hostler.core.conversation import Text, ToolCall, Usage
from hostler.web.exporting import as_html
from tests.api.conftest import Api, Listening

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()
HOSTILE = "<script>alert(1)</script><img src=https://elsewhere.example/x.png onerror=alert(1)>"


@pytest.fixture
async def paged(api: Api) -> AsyncIterator[Api]:
    """The API of a server that has pages."""
    server = Listening(build(replace(api.parts, html_export=as_html)))
    port = await server.start()
    async with AsyncClient(timeout=30, verify=False) as http:
        yield replace(api, http=http, url=f"http://127.0.0.1:{port}")
    await server.stop()


async def exported(api: Api, execution: str, query: str = "") -> str:
    url = f"{api.url}/api/executions/{execution}/export{query}"
    answer = await api.http.get(url, headers=api.headers())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer.text


async def talked(api: Api, said: str = "It **works**.") -> str:
    execution = await api.prepared()
    image = {"image": {"data": PIXEL, "mimeType": "image/png"}}
    text = {"text": {"content": f"Look at {HOSTILE}"}}
    block = {"agentExecutionId": execution, "userInput": {"inputs": [text, image]}}
    await api.call("SendToAgentExecution", block)
    waiting = next(one.event.input_id for one in await api.desk.log(execution) if isinstance(one.event, ev.InputQueued))
    output = "\n".join(f"line {number} {HOSTILE}" for number in range(200))
    await api.desk.append(
        execution,
        ev.InputTaken((waiting,)),
        ev.ModelCallStarted("c1", "m"),
        ev.ModelReplied("c1", (ToolCall("x", "bash", '{"command": "make"}'),), Usage(1)),
        ev.ToolStarted("c1.0", "bash", '{"command": "make"}', "i"),
        ev.ToolFinished("c1.0", "ok", output, 0),
        ev.ModelCallStarted("c2", "m"),
        ev.ModelReplied("c2", (Text(f"{said} {HOSTILE}"),), Usage(1)),
        ev.TurnEnded(1),
    )
    return execution


async def test_it_is_one_file_without_scripts_or_anything_from_elsewhere(paged: Api) -> None:
    page = await exported(paged, await talked(paged))
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert not re.findall(r"<(?:script|link|iframe|object|embed|base|form action)\b", page)
    assert not re.findall(r"<[^>]*\son\w+=", page)
    sources = re.findall(r"<[^>]*\s(?:src|srcset|data|poster)=\"([^\"]*)\"", page)
    assert sources == [f"data:image/png;base64,{PIXEL}"]
    assert not [link for link in re.findall(r"<a [^>]*href=\"([^\"]*)\"", page) if link.startswith("/")]
    styles = page.partition("<style>")[2].partition("</style>")[0]
    assert "--" in styles
    assert not re.findall(r"url\(|@import", styles)


async def test_outputs_are_whole_and_folded(paged: Api) -> None:
    page = await exported(paged, await talked(paged))
    assert "line 100 " in page
    assert page.index("<details") < page.index("line 100 ")
    assert "Show all" not in page
    assert "<strong>works</strong>" in page


async def test_sub_agents_can_be_jumped_to(paged: Api) -> None:
    execution, child = await talked(paged), await talked(paged, "A part.")
    await paged.desk.append(child, ev.AnnotationsSet({"hostler/parent": execution}))
    page = await exported(paged, execution, "?tree=1")
    assert f'href="#{child}"' in page
    assert page.index(f'id="{execution}"') < page.index(f'id="{child}"') < page.index("A part.")


async def test_a_secret_that_became_known_later_is_masked(paged: Api) -> None:
    execution = await talked(paged, "It is sixpence&penny here.")
    paged.parts.redactor.add(["sixpence&penny"])
    assert "sixpence" not in await exported(paged, execution)
