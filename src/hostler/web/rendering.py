"""Items of a conversation as HTML: for the live page, and for an export that stands alone."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, cast

from markupsafe import Markup, escape

from hostler.projections.changes import Hunk, Line
from hostler.projections.items import AnyItem, UserInput, folded
from hostler.web import words
from hostler.web.markdown import coloured_lines, markdown
from hostler.web.site import templates

KINDS = {"+": "add", "-": "del", " ": "same"}
AROUND = 3
"""Unchanged lines that are shown beside changed ones."""
ROWS = 400
"""Lines of a change that are shown at first."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a document reaches what is not in it: `base` is the address of the conversation, empty in an export."""

    base: str = ""
    inspect: bool = True
    """Environments may be linked."""
    rows: int = ROWS

    def picture(self, item: UserInput, number: int) -> str:
        """Return the address of an image of an input; in an export it is the image itself."""
        one = item.pictures[number]
        if self.base:
            return f"{self.base}/items/{item.id}/images/{number}"
        known = one.mime_type in ("image/png", "image/jpeg") and one.data
        return f"data:{one.mime_type};base64,{one.data}" if known else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a change, `gap` where lines are left out."""

    kind: str
    sign: str
    old: int
    new: int
    html: Markup


def render(items: Iterable[AnyItem], ways: Ways) -> Markup:
    """Return items as HTML, in order."""
    macros = _macros()
    return Markup("").join(Markup(macros.item(one, type(one).__name__, ways)) for one in items)


def whole_output(text: str) -> Markup:
    """Return the whole output of an action."""
    return Markup('<pre class="output" tabindex="0">{}</pre>').format(words.terminal(text))


def diff(hunks: Sequence[Hunk], path: str, most: int = ROWS) -> Markup:
    """Return the changes in a file as a table."""
    return Markup(_macros().diff(hunks, path, most))


def diff_rows(hunks: Sequence[Hunk], path: str, most: int = ROWS) -> Iterator[Sequence[Row]]:
    """Yield the rows of each hunk, coloured as code; long runs of unchanged lines are left out."""
    left = most
    for number, hunk in enumerate(hunks):
        rows = list(islice(_rows(hunk, path), left))
        if number and rows:
            rows.insert(0, _gap(0))
        left -= len(rows)
        if rows:
            yield rows
        if left <= 0:
            return


def _rows(hunk: Hunk, path: str) -> Iterator[Row]:
    before = coloured_lines("\n".join(line.text for line in hunk if line.sign != "+"), path)
    after = coloured_lines("\n".join(line.text for line in hunk if line.sign != "-"), path)
    near = _near(hunk)
    old = new = hidden = 0
    for number, line in enumerate(hunk):
        html = before[old] if line.sign == "-" else after[new]
        old += line.sign != "+"
        new += line.sign != "-"
        if number not in near:
            hidden += 1
            continue
        if hidden:
            yield _gap(hidden)
            hidden = 0
        yield _row(line, html)
    if hidden:
        yield _gap(hidden)


def _near(hunk: Hunk) -> set[int]:
    """Return the numbers of the lines that are shown: changed ones, and some around them."""
    changed = [number for number, line in enumerate(hunk) if line.sign != " "]
    near = {n + step for n in changed for step in range(-AROUND, AROUND + 1)}
    return near if changed else set(range(len(hunk)))


def _row(line: Line, html: Markup) -> Row:
    safe = html if words.plain(line.text) == line.text else escape(words.plain(line.text))
    return Row(KINDS[line.sign], {"-": "−"}.get(line.sign, line.sign), line.old, line.new, safe)


def _gap(lines: int) -> Row:
    said = words.many(lines, "unchanged line") if lines else "…"
    return Row("gap", "", 0, 0, escape(said))


def given(arguments: str) -> Sequence[tuple[str, str]]:
    """Return what a tool was given, as names and values, nested ones flat."""
    try:
        found: Any = json.loads(arguments)
    except (ValueError, RecursionError):
        return [("arguments", arguments)]
    flat = list(_flat("", found))
    return [(name.removeprefix("arguments."), value) for name, value in flat if value]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in cast("dict[str, Any]", value).items():
            yield from _flat(f"{name}.{key}" if name else str(key), one)
    elif isinstance(value, list) and all(isinstance(one, str | int | float) for one in cast("list[Any]", value)):
        yield name, ", ".join(map(str, cast("list[Any]", value)))
    elif isinstance(value, list):
        for number, one in enumerate(cast("list[Any]", value), 1):
            yield from _flat(f"{name} {number}", one)
    elif value is not None:
        yield name, str(value)


def first_line(text: str) -> str:
    """Return the first line of a text without Markdown's marks, cut short."""
    line = next((line.strip(" #*_>`-") for line in text.splitlines() if line.strip(" #*_>`-")), "")
    return short(line, 160)


def short(text: str, most: int) -> str:
    """Return at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def sentence(text: str) -> str:
    """Return words as a sentence."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def prose(text: str) -> Markup:
    """Return a sentence in which `code` stands in backticks."""
    parts = words.plain(text).split("`")
    told = (Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts))
    return Markup("").join(told)


FILTERS: dict[str, Any] = {
    "amount": words.amount,
    "diff_rows": diff_rows,
    "first_line": first_line,
    "folded": folded,
    "given": given,
    "iso": words.iso,
    "many": words.many,
    "markdown": markdown,
    "plain": words.plain,
    "prose": prose,
    "sentence": sentence,
    "short": short,
    "size": words.size,
    "span": words.span,
    "terminal": words.terminal,
}


@cache
def _macros() -> Any:
    return prepared().get_template("conversation/items.html").module


@cache
def prepared() -> Any:
    """Return the templates with the filters that conversations need."""
    environment = templates()
    environment.filters.update(FILTERS)
    return environment
