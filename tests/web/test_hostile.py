"""What other sites, odd requests and hostile texts get from the pages: nothing that runs, and nothing that blocks."""

import pytest

from tests.api.test_signing_in import Browser
from tests.web.test_conversation import ended, said

ANSWERS = (
    *("/", "/executions/ID", "/executions/ID/panel", "/executions/ID/tail", "/executions/ID/items/ITEM"),
    *("/executions/ID/earlier?before=ITEM", "/executions/ID/changes", "/executions/ID/items/none"),
    *("/api/executions/ID/export?format=html", "/api/executions/ID/export?format=md", "/api/executions/ID/history"),
    *("/api/executions/ID/transcript?format=md", "/api/executions/ID/blobs/none", "/executions/ID/items/ITEM/images/0"),
    *("/environments", "/prompts", "/usage", "/sign-in", "/open/none", "/s/none", "/healthz", "/none"),
    *("/static/x/none", "/static/x/%2e%2e/site.py", "/static/x/..%2f..%2fsite.py", "/static/%2e%2e/site.py"),
    *("/xterm/none", "/xterm/..%2findex.js", "/api/none", "/executions/none", "/?text=%00"),
)


@pytest.mark.parametrize("path", ANSWERS)
async def test_whatever_is_answered_allows_no_foreign_script_and_no_frame(browser: Browser, path: str) -> None:
    execution = await said(browser)
    await ended(browser, execution, "c1", text="<script>alert(1)</script>\n" * 100)
    await browser.sign_in()
    item = (await browser.get(f"/executions/{execution}/tail")).text.partition('<details class="item act ok" id="')[2]
    answer = await browser.get(path.replace("ID", execution).replace("ITEM", item.partition('"')[0]))
    assert answer.status_code != 500
    assert "import" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy or "sandbox" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>alert" not in answer.text or not answer.headers["content-type"].startswith("text/html")


async def test_no_other_site_signs_anybody_out_whose_cookie_it_cannot_send(browser: Browser) -> None:
    """A form of another site comes without the cookie, and the answer would take it away all the same."""
    answer = await browser.http.post(f"{browser.url}/sign-out", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
