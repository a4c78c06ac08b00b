"""MCP servers, on the page of an execution."""

from hostler.core.mcp_events import McpChanged, McpStatus
from tests.api.conftest import api
from tests.api.test_signing_in import Browser, browser
from tests.web.test_conversation import ended, owner, panel, said

__all__ = ["api", "browser", "owner"]
SERVERS = (
    McpStatus("bad", "<Bad>", "failed", "no such <program>"),
    McpStatus("docs", "Documentation", "ready", tools=("search", "read")),
)


async def test_the_page_says_how_servers_stand(owner: Browser) -> None:
    execution = await said(owner)
    await ended(owner, execution, "c1")
    await owner.api.desk.append(execution, McpChanged(SERVERS))
    html = "".join((await panel(owner, execution))["html"].values())
    assert 'aria-label="MCP servers"' in html
    assert "Documentation" in html
    assert "ready · 2 tools" in html
    assert "failed: no such &lt;program&gt;" in html
    page = (await owner.get(f"/executions/{execution}")).text
    assert "The MCP server &lt;Bad&gt; cannot be used." in page
    answer = await owner.api.call("GetAgentExecution", {"agentExecutionId": execution})
    found = answer["agentExecution"]["status"]["mcpIntegrationStatuses"]
    assert [one["phase"].rpartition("_")[2] for one in found] == ["FAILED", "READY"]


async def test_a_visitor_does_not_see_servers(owner: Browser) -> None:
    execution = await said(owner)
    await ended(owner, execution, "c1")
    await owner.api.desk.append(execution, McpChanged(SERVERS))
    html = (await panel(owner, execution, "?as=visitor"))["html"]
    assert "Documentation" not in "".join(html.values())
