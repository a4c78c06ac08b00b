"""What a request of an agent asks for, read out of its body once; what was read is what is sent on."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from hostler.models.gateway.refusals import bad_request

CHARACTERS_A_TOKEN = 4
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

        Of a name that is given twice the provider could read the other value than the one that was checked here.
        """
        try:
            fields: object = json.loads(raw.decode(), object_pairs_hook=_once)
        except (ValueError, RecursionError) as problem:
            raise bad_request(f"the body is not JSON that can be read: {problem}") from problem
        if not isinstance(fields, dict):
            raise bad_request("the body is not a JSON object")
        return cls(raw, cast("dict[str, Any]", fields))

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
        return Asked(json.dumps(new, ensure_ascii=False, separators=(",", ":")).encode(), new)

    def tokens(self) -> int:
        """Return roughly how many tokens the model reads, for calls that nobody counted."""
        return len(_BINARY.sub(b"", self.raw)) // CHARACTERS_A_TOKEN


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice in one object")
    return found
