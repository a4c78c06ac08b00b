"""Values of messages, drawn by their descriptors: valid, nearly valid, and nothing of the kind.

Everything is drawn by functions and not put together from strategies, whose trees would grow with the contract.
"""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
)

from hostler.conformance.wire import field, varint

Ids = tuple[str, ...]
Draw = st.DrawFn
DEEPEST = 4
ODD = (
    "",
    " ",
    "\0",
    "a\u202eb",
    "\u200b\u2060",
    "\ufeff",
    "\ud800",
    "x" * 256,
    "x" * 5000,
    "é" * 101,
    "🙂" * 50,
    "../../etc/passwd",
    "'; DROP TABLE execution; --",
    "%00",
    "{{7*7}}",
    "/ona:goal x",
    "/clear",
    "!id",
    "https://example.com/a/b",
    "git@host:o/r",
    "file:///etc",
    "http://[::1",
    "https://h:99999/a/b",
    "a=b&c=d",
    "NaN",
    "1e999",
    "-1",
    "null",
    "\r\nx: y",
    "5m",
    "* * * * *",
    "a.b == 1 && (",
    '{"limits": [',
)
PLAIN = ("hello", "name", "true", "main.py", "main", "*", "0")
NUMBERS = (
    0,
    1,
    -1,
    25,
    100,
    101,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    10**30,
)
NOTHING: Sequence[Any] = (
    None,
    True,
    [],
    {},
    [[]],
    {"": None},
    [None],
    1.5,
    float("nan"),
    float("inf"),
    "x",
    "\ud800",
    10**400,
    -1,
    {"a": {"b": [1]}},
    "2026-13-01T00:00:00Z",
)
"""What is no value of most fields."""
WELL_KNOWN: Mapping[str, Sequence[object]] = {
    "google.protobuf.Timestamp": ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "soon", 5),
    "google.protobuf.Duration": ("60s", "1800s", "-5s", "315576000001s", "5m", 5),
}


def once_in(draw: Draw, times: int) -> bool:
    """Return true once in so many times."""
    return draw(st.integers(1, times)) == times


def text(draw: Draw, name: str, ids: Ids) -> str:
    """Return a text for a field, an id of what is there where its name asks for one."""
    if name.endswith(("_id", "_ids")) or name == "id":
        return draw(st.sampled_from(ODD)) if once_in(draw, 5) else draw(st.sampled_from(ids))
    if once_in(draw, 3):
        return draw(st.text(max_size=12))
    return draw(st.sampled_from((*ODD, *PLAIN)))


def message(draw: Draw, desc: DescMessage, ids: Ids, depth: int = 0) -> Any:
    """Return a JSON object for a message, with some of its fields."""
    if desc.type_name in WELL_KNOWN:
        return draw(st.sampled_from(WELL_KNOWN[desc.type_name]))
    found: dict[str, Any] = {}
    for one in desc.fields:
        needed = depth == 0 and one.name.endswith("_id")
        if not (needed or once_in(draw, 2 + depth)):
            continue
        name = one.name if once_in(draw, 8) else one.json_name
        found[name] = draw(st.sampled_from(NOTHING)) if once_in(draw, 12) else value(draw, one, ids, depth)
    if once_in(draw, 10):
        found[draw(st.sampled_from(ODD))] = draw(st.sampled_from(NOTHING))
    return found


def value(draw: Draw, one: DescField, ids: Ids, depth: int) -> Any:
    """Return a JSON value for a field."""
    match one.value:
        case DescFieldValueMessage(message=inner):
            return message(draw, inner, ids, depth + 1) if depth < DEEPEST else {}
        case DescFieldValueList(element=element):
            number = draw(st.sampled_from((0, 1, 1, 2, 3, 30)))
            return [_element(draw, element, one.name, ids, depth)] * number
        case DescFieldValueMap(value=element):
            keys = draw(st.lists(st.sampled_from((*ODD, *PLAIN)), max_size=2))
            return {key: _element(draw, element, one.name, ids, depth) for key in keys}
        case DescFieldValueEnum(enum=enum):
            return _element(draw, enum, one.name, ids, depth)
        case DescFieldValueScalar(scalar=scalar):
            return _scalar(draw, int(scalar), one.name, ids)
        case _:  # pyright: ignore[reportUnnecessaryComparison] the kinds of a library of others may grow
            return draw(st.sampled_from(NOTHING))


def _element(draw: Draw, kind: Any, name: str, ids: Ids, depth: int) -> Any:
    match kind:
        case DescMessage():
            return message(draw, kind, ids, depth + 1) if depth < DEEPEST else {}
        case DescEnum():
            names = [one.name for one in kind.values]
            return draw(st.sampled_from((*names, *names, 0, 1, 2, 99, -1, "NO_SUCH_VALUE", 2**31)))
        case _:
            return _scalar(draw, int(kind), name, ids)


def _scalar(draw: Draw, kind: int, name: str, ids: Ids) -> Any:
    match kind:
        case 9:
            return text(draw, name, ids)
        case 12:
            odd = ("====", "a", "é", "iVBORw0KGgo=", "iVBORw0KGgo")
            return (
                draw(st.sampled_from(odd))
                if once_in(draw, 2)
                else base64.b64encode(draw(st.binary(max_size=30))).decode()
            )
        case 8:
            return draw(st.booleans())
        case 1 | 2:
            return draw(st.one_of(st.floats(), st.sampled_from(("NaN", "Infinity", "-Infinity", "x"))))
        case _:
            number = draw(st.sampled_from(NUMBERS))
            return str(number) if once_in(draw, 3) else number


def body(draw: Draw, desc: DescMessage, ids: Ids) -> bytes:
    """Return a body in JSON: of the message, or what is nearly one."""
    kind = draw(st.integers(0, 14))
    if kind == 0:
        return draw(st.sampled_from((b"[" * 3000, b'{"a":' * 3000, b'{"userInput":' * 900 + b"1" + b"}" * 900)))
    if kind == 1:
        return draw(st.binary(max_size=40))
    if kind == 2:
        return json.dumps(draw(st.sampled_from(NOTHING))).encode()
    found = message(draw, desc, ids)
    said = json.dumps(found, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if kind == 3:
        return said[: -draw(st.integers(1, 20))]
    if kind == 4 and len(said) > 2:
        return said[:-1] + b"," + said[1:]
    return said


def binary(draw: Draw, desc: DescMessage, ids: Ids, depth: int = 0) -> bytes:
    """Return a body in protobuf: some fields of the message, or what is nearly that."""
    kind = draw(st.integers(0, 12)) if depth == 0 else 12
    if kind == 0:
        return draw(st.binary(max_size=40))
    if kind == 1:
        return _deep(desc, draw(st.sampled_from((50, 300, 5000))))
    data = b""
    for one in desc.fields:
        if (depth == 0 and one.name.endswith("_id")) or once_in(draw, 2 + depth):
            data += _field(draw, one, ids, depth)
    if once_in(draw, 12):
        number, wire = draw(st.sampled_from((1, 7, 200, 536_870_911))), draw(st.integers(0, 7))
        data += varint(number << 3 | wire) + b"\x01" * 9
    return data[: -draw(st.integers(1, 10))] if kind == 2 else data


def _deep(desc: DescMessage, levels: int) -> bytes:
    """Return a field in itself, many times; the lengths are those of the inner ones, so it is written from inside."""
    number = next((one.number for one in desc.fields if isinstance(one.value, DescFieldValueMessage)), 1)
    data = b""
    for _ in range(levels):
        data = field(number, data)
    return data


def _field(draw: Draw, one: DescField, ids: Ids, depth: int) -> bytes:
    kind: Any = one.value
    if isinstance(kind, DescFieldValueList):
        kind = kind.element
    inner = kind.message if isinstance(kind, DescFieldValueMessage) else kind if isinstance(kind, DescMessage) else None
    if inner is not None:
        return field(one.number, binary(draw, inner, ids, depth + 1) if depth < DEEPEST else b"")
    scalar = (
        int(kind.scalar) if isinstance(kind, DescFieldValueScalar) else 0 if isinstance(kind, DescFieldValueEnum) else 9
    )
    if once_in(draw, 20):
        scalar = draw(st.sampled_from((0, 1, 2, 9, 12)))
    match scalar:
        case 9:
            said = text(draw, one.name, ids).encode("utf-8", "surrogatepass")
            return field(one.number, said)
        case 12:
            return field(one.number, draw(st.binary(max_size=40)))
        case 1:
            return varint(one.number << 3 | 1) + struct.pack("<d", draw(st.floats()))
        case 2:
            return varint(one.number << 3 | 5) + struct.pack("<f", draw(st.floats(width=32)))
        case _:
            return field(one.number, draw(st.sampled_from(NUMBERS)) % 2**64)
