import pytest

from hostler.core.conversation import Usage
from hostler.testing.answers import Called, Reply
from hostler.testing.endpoints import KEY
from hostler.testing.ledger import Began, Finished
from hostler.testing.protocols import DIALECTS
from tests.models.gateway.stand import standing

USAGE = Usage(input=11, cached_input=7, cache_creation=3, output=5)
REPLY = Reply("Two words.", (Called("bash", '{"command": "ls"}'),), usage=USAGE)
PATHS = {"/v1/responses": "gpt-x", "/v1/chat/completions": "chat-x", "/v1/messages": "claude-x"}


def asking(path: str) -> dict[str, object]:
    options = {"stream_options": {"include_usage": True}} if "chat" in path else {}
    return {"model": PATHS[path], "stream": True, "input": "hello", **options}


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_passes_byte_for_byte_and_is_counted(path: str) -> None:
    async with standing([REPLY]) as stand:
        answer = await stand.client().ask(path, asking(path))
        assert (answer.status, answer.cut) == (200, False)
        assert answer.body == b"".join(DIALECTS[path].events(REPLY, PATHS[path]))
        began, finished = stand.ledger.entries
        assert isinstance(began, Began)
        assert isinstance(finished, Finished)
        assert (finished.usage, finished.finish) == (USAGE, "tools")
        assert began.call.path == path
        sent = stand.endpoint.requests[0]
        assert KEY in (sent.headers.get("authorization", "") + sent.headers.get("x-api-key", ""))
        assert sent.headers["accept-encoding"] == "identity"
        assert sent.body == asking(path)
