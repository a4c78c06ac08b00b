"""Items as HTML: whatever an agent, a command or a person writes, it is text and stays where it belongs."""

import dataclasses
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from hostler.core.agents import Choice, Question
from hostler.core.conversation import Usage
from hostler.core.events import Todo
from hostler.projections import items
from hostler.projections.changes import Line
from hostler.web.markdown import coloured_lines, markdown
from hostler.web.rendering import Ways, prose, render, whole_output
from hostler.web.words import amount, plain, size, span, terminal

T0 = datetime(2030, 1, 1, tzinfo=UTC)
BASE: tuple[str, int, datetime] = ("item-1", 1, T0)
HOSTILE = (
    "<script>alert(1)</script>",
    '"onload=alert(1) x="',
    "' onmouseover='alert(1)",
    "</textarea></style></details><img src=x onerror=alert(1)>",
    "[press](javascript:alert(1)) <javascript:alert(1)> [p](data:text/html,x)",
    "![x](https://evil.example/pixel.png)",
    "```html\n<script>alert(1)</script>\n```",
    "\x1b]8;;javascript:alert(1)\x07press\x1b]8;;\x07 \x1b[31m<b onclick=x>\x1b[0m",
    "{{ 7 * 7 }} {% include 'base.html' %}",
    "\u202egnp.exe\u2066",
)
PICTURE = items.Picture("image/png", "aGVsbG8=")


def every_kind(text: str) -> list[items.AnyItem]:
    """Return one item of every kind, with the text in each of its words."""
    question = Question(text, text, (Choice(text, text, text), Choice("b", "b")))
    return [
        items.TurnStart(*BASE),
        items.TurnEnd(*BASE, "failed", T0, 1.0, 1, Usage(1, 1, 1, 1), message=text, files=1),
        items.UserInput(*BASE, text, text, (PICTURE,), through=text),
        items.AgentMessage(*BASE, text, text, "parent", text),
        items.Text(*BASE, text),
        items.Thought(*BASE, text, cut=True),
        items.Action(
            *BASE, text, "bash", text, text, state="failed", ended_at=T0, exit_code=1, output=text, agent=text
        ),
        items.Action(*BASE, text, text, text, arguments=text, state="unknown", output=text),
        items.FileChanged(*BASE, text, text, "move", ((Line("-", 1, 0, text), Line("+", 0, 1, text)),), 1, 1, text),
        items.Todos(*BASE, (Todo(text, "done"),)),
        items.Questions(*BASE, text, (question,)),
        items.Questions(*BASE, text, (question,), "answered", text, ((text, text),)),
        items.NextSteps(*BASE, (items.Step(text, text),)),
        items.RefusedHost(*BASE, text, text),
        items.RefusedHost(*BASE, text, text, "once", by=text),
        items.HostAuthentication(*BASE, text),
        items.EnvironmentMade(*BASE, text),
        items.CodeAnnotation(*BASE, text, 1, 2, text, text),
        items.ModeChange(*BASE, text, text),
        items.Commands(*BASE, ((text, text),)),
        items.SubAgent(*BASE, text, text, "failed", 5, T0 + timedelta(seconds=3)),
        items.SubAgent(*BASE, text, text, "done", 5, T0 + timedelta(seconds=3), execution=text),
        items.Note(*BASE, "warning", text, "ask", text),
    ]


class Danger(HTMLParser):
    """Notes what a browser would run, load or misplace."""

    VOID = ("br", "hr", "img", "input")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "iframe", "object", "embed", "link", "base", "meta", "svg", "math"):
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc", "formaction"):
                self.found.append(f"{tag} {name}")
            address = (value or "").strip().lower()
            if name == "href" and not address.startswith(("https://", "http://", "mailto:", "/", "#", "data:image/")):
                self.found.append(f"{tag} {name} {value}")
            if name == "src" and not address.startswith(("/executions/x/", "data:image/png;base64,")):
                self.found.append(f"{tag} {name} {value}")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.found.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.words += data


def read(html: str) -> Danger:
    danger = Danger()
    danger.feed(html)
    danger.close()
    return danger


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("ways", [Ways("/executions/x"), Ways()], ids=["page", "export"])
def test_hostile_text_in_every_field_of_every_kind_is_only_text(text: str, ways: Ways):
    for item in every_kind(text):
        danger = read(str(render([item], ways)))
        assert not danger.found, (type(item).__name__, danger.found)
        assert not danger.open, type(item).__name__


def test_every_kind_of_item_is_rendered_and_has_its_id():
    kinds = set(items.AnyItem.__args__)
    assert {type(item) for item in every_kind("x")} == kinds
    for item in every_kind("x"):
        assert str(render([item], Ways())).count('id="item-1"') == 1


def test_controls_that_turn_text_around_are_named_everywhere():
    for item in every_kind("a\u202eb"):
        assert "\u202e" not in read(str(render([item], Ways("/executions/x")))).words, type(item).__name__


def test_an_export_has_no_buttons_and_no_addresses_of_the_server():
    for item in every_kind("x"):
        html = str(render([item], Ways()))
        assert "<button" not in html
        assert "/executions/" not in html


def test_an_image_is_loaded_from_the_server_on_the_page_and_is_in_the_export_itself():
    said = items.UserInput(*BASE, "1", "look", (PICTURE, items.Picture("text/html", "PGI+")))
    assert 'src="/executions/x/items/item-1/images/0"' in render([said], Ways("/executions/x"))
    exported = str(render([said], Ways()))
    assert 'src="data:image/png;base64,aGVsbG8="' in exported
    assert "text/html" not in exported


def test_a_failed_command_is_open_and_one_that_worked_is_folded():
    ok = items.Action(*BASE, "c", "bash", "ls", "ls", state="ok", ended_at=T0, exit_code=0, output="a")
    failed = dataclasses.replace(ok, state="failed", exit_code=2)
    assert " open" not in str(render([ok], Ways())).partition("<summary>")[0]
    assert " open" in str(render([failed], Ways())).partition("<summary>")[0]
    assert "exit 2" in read(str(render([failed], Ways()))).words


def test_a_long_output_shows_its_ends_and_loads_the_rest_on_demand():
    output = "\n".join(f"line {n}" for n in range(500))
    long = items.Action(*BASE, "c", "bash", "x", "x", state="ok", ended_at=T0, exit_code=0, output=output)
    page = str(render([long], Ways("/executions/x")))
    assert "line 0\n" in page
    assert "line 499" in page
    assert "line 250" not in page
    assert 'data-load="/executions/x/items/item-1"' in page
    assert "line 250" in whole_output(output)


def test_a_change_keeps_its_numbers_and_leaves_out_what_did_not_change():
    hunk = (*(Line(" ", n, n, f"same {n}") for n in range(1, 31)), Line("-", 31, 0, "old"), Line("+", 0, 31, "new"))
    changed = items.FileChanged(*BASE, "c", "a.txt", "update", (hunk,), 1, 1)
    words = read(str(render([changed], Ways()))).words
    assert "27 unchanged lines" in words
    assert "same 28" in words
    assert "same 27" not in words
    assert "−old" in words.replace(" ", "").replace("\n", "")


def test_markdown_is_rendered_without_what_could_do_harm():
    html = str(
        markdown("# Title\n\n| a |\n|---|\n| b |\n\n- [x] done\n\n[here](https://a.example) [f](src/x.py) ~~s~~")
    )
    assert "<h1>Title</h1>" in html
    assert "<table" in html
    assert 'type="checkbox"' in html
    assert 'href="https://a.example"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "<code>f</code>" in html
    assert "<img" not in markdown("![words](https://a.example/x.png)")


def test_code_is_coloured_in_classes_and_unknown_languages_stay_plain():
    assert '<span class="k">def</span>' in markdown("```python\ndef f(): pass\n```")
    assert "<b>" not in markdown("```nothing\n<b>\n```")
    lines = coloured_lines('x = """a\nb"""', "a.py")
    assert len(lines) == 2
    assert coloured_lines("<b>\n", "a.unknown") == ["&lt;b&gt;", ""]


def test_huge_texts_are_shown_in_bounded_time_and_width():
    assert "<pre" in markdown("*" * 300_000)
    wide = items.Action(*BASE, "c", "bash", "x", "x", state="failed", ended_at=T0, exit_code=1, output="x" * 1_000_000)
    assert len(str(render([wide], Ways()))) < 20_000


def test_colours_of_a_terminal_become_classes_and_other_sequences_vanish():
    assert str(terminal("\x1b[1;31mred\x1b[0m and \x1b[2Kplain")) == '<span class="c1 t1">red</span> and plain'
    assert str(terminal("10 %\r50 %\rdone\r\nnext")) == "done\nnext"
    assert str(terminal("\x1b]0;title\x07a\x1b[38;5;9mb\x1b")) == "ab"


def test_numbers_are_said_in_few_characters():
    assert [span(n) for n in (0, 0.42, 42, 185, 3600, 9000, 200_000)] == [
        "0 s",
        "0.4 s",
        "42 s",
        "3 min 5 s",
        "1 h",
        "2 h 30 min",
        "2 days",
    ]
    assert [amount(n) for n in (950, 12_300, 4_100_000)] == ["950", "12.3k", "4.1M"]
    assert [size(n) for n in (12, 2048, 5 << 20)] == ["12 B", "2.0 KB", "5.0 MB"]
    assert plain("a\x07b\u202ec") == "ab⟦U+202E⟧c"
    assert str(prose("`a<b` ran")) == "<code>a&lt;b</code> ran"


def test_a_long_line_of_output_is_shown_as_soon_as_any_other() -> None:
    """This test ends only where the time that a line takes grows with its length, not with its square."""
    assert terminal("a" * (1 << 21)) == "a" * (1 << 21)
    assert terminal("x" * 1000 + "\ry" * (1 << 20)) == "y"
    assert terminal("\x1b[" + "1;" * (1 << 20)).startswith("1;1;")


def test_output_that_is_nothing_but_escapes_is_shown_in_one_colour_from_some_point_on() -> None:
    shown = terminal("\x1b[31mred\x1b[0m" * 100_000)
    assert shown.count("<span") < 10_000
    assert shown.count("red") == 100_000
    assert "\x1b" not in shown


@pytest.mark.parametrize("piece", ["[", "![", "- [ ] a\n", "http://a.b/(((", "https://a https", "**a *a ", "a|b\n"])
def test_markdown_that_would_take_for_ever_is_shown_as_it_is(piece: str) -> None:
    shown = markdown(piece * 100_000)
    assert shown.startswith('<pre class="whole">')
    assert "<a " not in shown


@pytest.mark.parametrize("piece", ["[", "https://a "])
def test_a_short_text_may_ask_for_as_much_work_as_a_long_one(piece: str) -> None:
    assert markdown(piece * 3000).startswith('<pre class="whole">')
    assert not markdown(piece * 300).startswith("<pre")
