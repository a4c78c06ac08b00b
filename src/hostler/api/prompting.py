"""What a typed text means before it is queued: a slash command of the library, a command line, a word to Hostler."""

from dataclasses import replace

from hostler.api.call import current
from hostler.api.parts import ApiParts
from hostler.core.commands import Send
from hostler.core.errors import PermissionDenied
from hostler.core.filling import expanded, local_in, slash_in
from hostler.core.memory import texts_of

BUNDLE_TEXT = (
    "The support bundle holds all that is known of this execution, without the secrets that Hostler knows. Save it "
    "with `hostler show {id} --bundle`, from the page's menu, or from {url} with an API token."
)


async def understood(send: Send, execution: str, parts: ApiParts) -> Send:
    """Return an input with what it stands for; an unknown /name is what it says.

    PermissionDenied for a visitor who would run a command or clear the context.
    """
    if send.origin != "user":
        return send
    texts = texts_of(send.block)
    alone = len(texts) == 1 and not _pictures(send)
    if alone and (local := local_in(texts[0])):
        if local != "bundle" and current().visited:
            raise PermissionDenied("a visitor runs no commands and clears no context")
        return replace(send, local=local, expansion=_bundle(execution, parts) if local == "bundle" else "")
    if texts and (called := slash_in(texts[0])) and (prompt := await parts.offers.command(called[0])) is not None:
        return replace(send, expansion=parts.redactor.text(expanded(prompt, called[1])))
    return send


def _pictures(send: Send) -> bool:
    return any("image" in one for one in (*send.block.get("inputs", ()), send.block))


def _bundle(execution: str, parts: ApiParts) -> str:
    url = f"{parts.public_url}/api/executions/{execution}/bundle"
    return BUNDLE_TEXT.format(id=execution, url=url)
