"""Bytes from inside that arrive in pieces, with pauses: no pause shows a secret."""

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from hostler.api.ops_parts import Masking, masked
from hostler.core.redaction import Redactor

SECRET = b"sabs-absab-the-rest-of-it"
PIECES = st.lists(st.integers(0, 60))


@given(st.text("abs-", max_size=12), st.text("abs-", max_size=12), PIECES, st.booleans())
def test_a_secret_is_not_seen_however_it_is_cut_and_whatever_the_pauses(
    before: str, after: str, cuts: list[int], pauses: bool
) -> None:
    text = before.encode() + SECRET + after.encode()
    masking, said, last = Masking(Redactor([SECRET.decode()])), b"", 0
    for cut in [*sorted(min(cut, len(text)) for cut in cuts), len(text)]:
        said += masking.feed(text[last:cut])
        last = cut
        if pauses and masking.waits:
            said += masking.flush()
    said += masking.flush()
    assert b"the-rest" not in said
    assert b"[redacted]" in said


async def test_what_only_looks_like_the_beginning_of_a_secret_is_shown_when_it_is_quiet() -> None:
    gate = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"prompt s"
        await gate.wait()
        yield b"abs, and more"

    said = b""
    async for piece in masked(pieces(), Redactor([SECRET.decode()])):
        said += piece
        if said == b"prompt s":
            gate.set()
    assert said == b"prompt sabs, and more"


async def test_what_is_surely_the_beginning_of_a_secret_is_held_over_a_pause() -> None:
    masking = Masking(Redactor([SECRET.decode()]))
    assert masking.feed(b"the key is " + SECRET[:12]) == b"the key is "
    assert not masking.waits
    assert masking.feed(SECRET[12:] + b"!") == b"[redacted]!"
