"""What a request of an agent asks for, read out of its body once; what was read is what is sent on."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from hostler.models.gateway.refusals import bad_request

CHARACTERS_A_TOKEN = 4
MOST_PARTS = 1 << 21
"""Commas and brackets in a request: each may become an object many times its size, here as well as at the provider."""
GUARDED = frozenset({"model", "models", "stream", "background"})
"""Names that are looked at here, and which some providers read in large letters too."""
_BINARY = re.compile(rb"[A-Za-z0-9+/=_-]{2000,}")
"""Pictures and signatures, which are no text to count."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's body: `raw` are its bytes, `fields` the same as JSON."""

    raw: bytes
    fields: dict[str, Any]

    @classmethod
    def read(cls, raw: bytes) -> "Asked":
        """Return the body; Refusal unless it is one JSON object in which no name is given twice.

        Of a name that is given twice the provider could read the other value than the one that was checked here; some
        providers take MODEL for the same name, and some take a list of `models` to try.
        """
        if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_PARTS:
            raise bad_request(f"the body has more than {MOST_PARTS} parts", 413)
        try:
            fields: object = json.loads(raw.decode(), object_pairs_hook=_once)
        except (ValueError, RecursionError) as problem:
            raise bad_request(f"the body is not JSON that can be read: {problem}") from problem
        if not isinstance(fields, dict):
            raise bad_request("the body is not a JSON object")
        known = cast("dict[str, Any]", fields)
        if disguised := [name for name in known if name.casefold() in GUARDED and name not in GUARDED]:
            raise bad_request(f"{disguised[0]!r}: a name that can be taken for another one")
        if "models" in known:
            raise bad_request("models: one model is asked for at a time")
        return cls(raw, known)

    @property
    def model(self) -> str:
        """Return the model that is asked for."""
        model = self.fields.get("model")
        if not isinstance(model, str) or not model:
            raise bad_request("model: it must be a model's name")
        return model

    @property
    def streams(self) -> bool:
        """Say whether the answer shall be a stream of events."""
        return self.fields.get("stream") is True

    def changed(self, **fields: object) -> "Asked":
        """Return the request with some fields replaced."""
        new = {**self.fields, **fields}
        try:
            return Asked(json.dumps(new, ensure_ascii=False, separators=(",", ":")).encode(), new)
        except UnicodeEncodeError as problem:
            raise bad_request("the body holds half a character") from problem

    def tokens(self) -> int:
        """Return roughly how many tokens the model reads, for calls that nobody counted."""
        return len(_BINARY.sub(b"", self.raw)) // CHARACTERS_A_TOKEN


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice in one object")
    return found
