"""Secrets are masked whole, in pieces and in their usual encodings."""

import base64
import html
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.core.redaction import MASK, Redactor

SECRET = 'sk-canary/42+"quoted"'


@pytest.mark.parametrize(
    "hidden",
    [
        SECRET,
        json.dumps({"key": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        json.dumps(json.dumps(SECRET)),
        html.escape(SECRET),
        html.escape(SECRET).replace("&quot;", "&#34;"),
        repr(f"{SECRET}'"),
        "https://user:sk-canary%2F42%2B%22quoted%22@host/",
        "https://user:sk-canary%2f42%2b%22quoted%22@host/",
        "https://host/sk-canary/42%2B%22quoted%22",
    ],
)
def test_a_secret_is_masked_in_its_encodings(hidden: str):
    masked = Redactor([SECRET]).text(f"before {hidden} after")
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for form in (SECRET, SECRET[4:-4]):
        assert form not in masked


def with_its_letters(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@pytest.mark.parametrize("written", [json.dumps, with_its_letters, repr, str])
def test_a_secret_with_letters_of_any_language_is_masked(written: Callable[[str], str]):
    secret = "schlüssel-der-tür"
    redactor = Redactor([secret])
    assert redactor.text(written(secret)).strip("'\"") == MASK
    raw = written(secret).encode()
    for end in range(1, len(raw) - 1):
        held = redactor.safe_end(raw[:end].decode("latin-1"))
        assert redactor.data(raw[:held] + raw[held:]).strip(b"'\"") == MASK.encode()
        assert held <= 1


def test_short_values_are_not_taken_for_secrets():
    assert Redactor(["abc"]).text("abc") == "abc"


def test_json_is_masked_in_keys_and_values_and_otherwise_unchanged():
    redactor = Redactor(["topsecretvalue"])
    assert redactor.json({"topsecretvalue": ["xtopsecretvaluex", 1, None, True]}) == {
        MASK: [f"x{MASK}x", 1, None, True]
    }


@given(st.text(alphabet="abs-", max_size=20), st.text(alphabet="abs-", max_size=20), st.lists(st.integers(0, 60)))
def test_a_stream_says_what_the_whole_text_says_however_it_is_cut(before: str, after: str, cuts: list[int]):
    redactor = Redactor(["sabs-absab"])
    text = f"{before}sabs-absab{after}"
    stream, said, last = redactor.stream(), "", 0
    for cut in sorted(min(cut, len(text)) for cut in cuts):
        said += stream.feed(text[last:cut])
        last = cut
    said += stream.feed(text[last:]) + stream.flush()
    assert "sabs-absab" not in said
    assert said.replace(MASK, "") == redactor.text(text).replace(MASK, "") or MASK in said


@pytest.mark.parametrize(
    "mark",
    [
        "\n… [12 characters left out] …\n",
        "\n[1,200 characters left out]\n",
        "\n[... 7 bytes are left out ...]\n",
        "…12 tokens truncated…",
    ],
)
@pytest.mark.parametrize("end", [8, 12, len(SECRET) - 1])
def test_a_part_of_a_secret_beside_a_cut_is_masked(mark: str, end: int):
    redactor = Redactor([SECRET])
    text = f"head {SECRET[:end]}{mark}{SECRET[-end:]} tail"
    assert redactor.text(text) == f"head {MASK}{mark}{MASK} tail"
    if "…" not in mark:
        assert redactor.data(text.encode()).decode() == f"head {MASK}{mark}{MASK} tail"


def test_a_text_that_ends_or_begins_in_the_middle_shows_no_part_of_a_secret():
    redactor = Redactor([SECRET])
    assert redactor.text(f"the key {SECRET[:12]}…") == f"the key {MASK}…"
    assert redactor.text(f"…{SECRET[9:]} is refused") == f"…{MASK} is refused"
    assert redactor.text(f"{SECRET[:12]} … {SECRET[9:]}") == f"{SECRET[:12]} … {SECRET[9:]}"
