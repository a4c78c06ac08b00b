"""Markdown of agents as HTML that can do no harm: no raw HTML, no images from elsewhere, links only to the web."""

from collections.abc import MutableMapping, Sequence
from functools import cache, lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import (
    get_lexer_by_name,  # pyright: ignore[reportUnknownVariableType]
    get_lexer_for_filename,  # pyright: ignore[reportUnknownVariableType]
)
from pygments.util import ClassNotFound

from hostler.web.words import plain

LONGEST = 40_000
"""Characters that are rendered as Markdown; longer texts are shown as they are."""
COSTLY, MOST_COSTLY = ("[", "://"), 1000
"""What each further one of makes the parser look at the others again, and how many of a text it may look at."""
COLOURED = 40_000
"""Characters of a block of code that are coloured."""
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "a", "em", "strong", "s"),
    *("code", "pre", "span", "table", "thead", "tbody", "tr", "th", "td", "input"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "pre": {"class"},
    "span": {"class"},
    "ol": {"start"},
    "ul": {"class"},
    "li": {"class"},
    "input": {"type", "checked", "disabled", "class"},
}
SCHEMES = ("http://", "https://", "mailto:")


@lru_cache(maxsize=512)
def markdown(text: str) -> Markup:
    """Return a text in Markdown as HTML."""
    if len(text) > LONGEST or any(text.count(sign) > MOST_COSTLY for sign in COSTLY):
        return Markup('<pre class="whole">{}</pre>').format(plain(text))
    made: str = _parser().render(plain(text))
    clean = nh3.clean(
        made,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Markup(clean)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": True, "highlight": _fenced})
    parser.use(tasklists_plugin)
    links: Any = parser.linkify
    links.set({"fuzzy_link": False, "fuzzy_email": False})
    parser.add_render_rule("image", _image)
    parser.core.ruler.push("web_links_only", _web_links_only)
    parser.add_render_rule("table_open", lambda *_: '<table tabindex="0">\n')
    return parser


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: MutableMapping[str, Any]) -> str:
    """Return the words for an image: a page loads nothing from elsewhere."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    said = escape(token.content or "image")
    if not source.lower().startswith(SCHEMES):
        return str(said)
    return str(Markup('<a href="{}">{}</a>').format(source, said))


def _web_links_only(state: Any) -> None:
    """Turn links to anything but web addresses into plain words: a path inside the environment leads nowhere here."""
    for token in state.tokens:
        inside = False
        for child in token.children or ():
            if child.type == "link_open" and not str(child.attrs.get("href", "")).lower().startswith(SCHEMES):
                child.tag, child.attrs, inside = "code", {}, True
            elif child.type == "link_close" and inside:
                child.tag, inside = "code", False


def _fenced(code: str, name: str, attributes: str) -> str:
    return str(coloured(code, name)) if name else ""


def coloured(code: str, name: str) -> Markup:
    """Return code of a language as HTML, in classes; unknown languages and long code stay plain."""
    if len(code) > COLOURED:
        return escape(code)
    try:
        lexer: Any = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return Markup(highlight(code, lexer, _formatter()))


def coloured_lines(code: str, path: str) -> Sequence[Markup]:
    """Return code as HTML line by line, by the language that its file's name tells."""
    lines = code.split("\n")
    if len(code) > COLOURED:
        return [escape(line) for line in lines]
    try:
        lexer: Any = get_lexer_for_filename(path, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [escape(line) for line in lines]
    made = highlight(code, lexer, _formatter()).split("\n")
    return [Markup(line) for line in made] if len(made) == len(lines) else [escape(line) for line in lines]


@cache
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(nowrap=True)
