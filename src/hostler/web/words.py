"""Numbers, times and untrusted text as pages show them."""

import re
from datetime import datetime
from functools import lru_cache
from itertools import islice

from markupsafe import Markup, escape

BIDI = {code: f"⟦U+{code:04X}⟧" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Controls that can make text look like another one, and what is shown in their place."""
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
MOST_SEQUENCES = 10_000
"""Escape sequences of one output that are looked at; behind them it goes on in one colour."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
_SEQUENCE = re.compile(
    r"\x1b(?:\[(?P<codes>[0-9;:]{0,100})m|\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~]?)"
)
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)  # "^", for without it the time is quadratic


def span(seconds: float) -> str:
    """Return a length of time in two units at most; the module of live pages counts on in the same words."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s" if 0 < seconds < 9.95 else f"{max(0, round(seconds))} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    if hours < 48:
        return f"{hours} h {rest // 60} min" if rest // 60 else f"{hours} h"
    return f"{hours // 24} days"


def amount(number: int) -> str:
    """Return a count in a few characters: 950, 12.3k, 4.1M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return str(number)


def size(number: int) -> str:
    """Return bytes in a few characters."""
    for limit, unit in ((1 << 20, "MB"), (1 << 10, "KB")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number} B"


def many(number: int, one: str, more: str = "") -> str:
    """Return a count with its noun."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def iso(moment: datetime) -> str:
    """Return a time as programs read it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """Return text in which nothing hides: controls that change its order are named, others are left out."""
    text = _CONTROL.sub("", text)
    return text.translate(BIDI) if _BIDI.search(text) else text


def terminal(text: str) -> Markup:
    """Return a command's output as HTML: colours as spans, every other escape left out, what was overwritten too."""
    text = _OVERWRITTEN.sub("", text.replace("\r\n", "\n"))
    told, at, classes = list[Markup](), 0, ""
    for found in islice(_SEQUENCE.finditer(text), MOST_SEQUENCES):
        told.append(_span(text[at : found.start()], classes))
        at = found.end()
        if found["codes"] is not None:
            classes = _classes(found["codes"], classes)
    told.append(_span(_SEQUENCE.sub("", text[at:]), classes))
    return Markup("").join(told)


def _span(text: str, classes: str) -> Markup:
    shown = escape(plain(text)) if text else Markup("")
    return Markup('<span class="{}">{}</span>').format(classes, shown) if classes and shown else shown


@lru_cache(maxsize=256)
def _classes(codes: str, before: str) -> str:
    """Return the classes after a colour sequence; 256 colours and true colours are left out."""
    known: set[str] = set(before.split())
    numbers = [int(code) if code.isdigit() and len(code) < 4 else 0 for code in re.split("[;:]", codes or "0")]
    if any(code in (38, 48, 58) for code in numbers):
        return before
    for code in numbers:
        if code == 0:
            known = set[str]()
        elif code in (1, 2, 3, 4):
            known.add(f"t{code}")
        elif code == 22:
            known -= {"t1", "t2"}
        elif 30 <= code <= 37 or 90 <= code <= 97:
            known = {one for one in known if not one.startswith("c")} | {f"c{code % 10}"}
        elif code == 39:
            known = {one for one in known if not one.startswith("c")}
    return " ".join(sorted(known))
