"""Which characters hide something."""

import pytest

from hostler.api.hidden_text import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\u202eb\u2066c\u2069", "abc"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("soft\u00adhyphen", "softhyphen"),
        ("ad\u200dmin", "admin"),
        ("a\u200cb", "ab"),
        ("tag\U000e0041\U000e0042", "tag"),
        ("filler\u3164\u115f", "filler"),
        ("bell\x07\x00", "bell"),
        ("\ufe0fstart \ufe0f", "start "),
        ("vs\U000e0101", "vs"),
        ("line\u2028end", "lineend"),
    ],
)
def test_what_hides_is_found(text: str, cleaned: str) -> None:
    assert (clean(text).text, clean(text).removed) == (cleaned, len(text) - len(cleaned))


@pytest.mark.parametrize(
    "text",
    [
        "plain text\r\n\twith lines",
        "Grüße, 日本語, עברית, العربية",
        "می‌خواهم",
        "क्‍ष",
        "👩‍💻 👨‍👩‍👧 ❤️ 👍🏽",
        "a\u00a0b",
        "",
    ],
)
def test_what_people_write_is_left_alone(text: str) -> None:
    assert clean(text).removed == 0
