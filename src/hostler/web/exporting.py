"""A conversation as one HTML file that stands alone: styles and images in it, no script, outputs whole but folded."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import cache
from typing import Any

from markupsafe import Markup

from hostler.api.export import Exported
from hostler.api.family import Member
from hostler.projections.items import AnyItem, Folded, folded
from hostler.projections.readable import when
from hostler.web.rendering import Ways, prepared
from hostler.web.site import STATIC
from hostler.web.words import plain

TOGETHER = 100
"""Items that are rendered at a time."""
ROWS = 5000
"""Lines of one change that are shown."""
STATES = {
    "PENDING": "preparing",
    "RUNNING": "working",
    "WAITING_FOR_INPUT": "waiting for a message",
    "STOPPED": "stopped",
}


async def as_html(exported: Exported) -> AsyncGenerator[bytes]:
    """Yield the page; sub-agents follow who they work for."""
    yield _clean(exported, _head(exported))
    for member in exported.members:
        line = await exported.timeline(member)
        yield _clean(exported, _opening(member))
        items = line.items
        for start in range(0, len(items), TOGETHER):
            yield await asyncio.to_thread(_rendered, exported, items[start : start + TOGETHER])
        yield b"</div></section>\n"
    yield b"</main>\n</body>\n</html>\n"


def _head(exported: Exported) -> str:
    first = exported.members[0]
    view = first.row.view.get("hostler", {})
    facts = [
        STATES.get(first.row.phase, first.row.phase),
        f"{view.get('agent', '')} on {view.get('model', '')}",
        f"begun {when(first.row.created_at)}",
        f"exported {when(exported.at)}",
    ]
    template = prepared().get_template("export/head.html")
    return template.render(
        version=exported.parts.version,
        name=first.name or "Conversation",
        facts=[plain(fact) for fact in facts],
        members=exported.members,
        styles=Markup(_styles()),
    )


def _opening(member: Member) -> str:
    heading = Markup("<h1>{}</h1>").format(plain(member.name) or "Sub-agent") if member.depth else ""
    return f'<section class="member" id="{member.row.id}">{heading}<div class="feed">'


def _rendered(exported: Exported, items: Sequence[AnyItem]) -> bytes:
    return _clean(exported, render(items))


def render(items: Iterable[AnyItem]) -> str:
    """Return items as HTML that needs nothing else."""
    ways, macros = Ways(inspect=False, rows=ROWS), _macros()
    return "".join(str(macros.item(one, type(one).__name__, ways)) for one in items)


def _clean(exported: Exported, text: str) -> bytes:
    return exported.parts.redactor.text(text).encode()


@cache
def _styles() -> str:
    """Return the pages' stylesheet; it can end no element."""
    return (STATIC / "hostler.css").read_text().replace("</", "<\\/")


@cache
def _macros() -> Any:
    """Return the items' macros with outputs whole, for nothing can be loaded later."""
    environment = prepared().overlay()
    environment.filters = {**prepared().filters, "folded": _whole}
    return environment.get_template("conversation/items.html").module


def _whole(text: str) -> Folded:
    return folded(text, head=len(text))
