"""Strategies for the values of messages, made from their descriptors: valid, nearly valid, and nothing of the kind."""

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
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
ANY_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.sampled_from(NUMBERS), st.floats(), st.sampled_from(ODD), st.text(max_size=8)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
"""What is no value of any field in particular."""
INTS = (3, 4, 5, 6, 7, 13, 15, 16, 17, 18)
"""Numbers of the scalar types that are integers."""
WELL_KNOWN: Mapping[str, Sequence[object]] = {
    "google.protobuf.Timestamp": ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "soon", 5),
    "google.protobuf.Duration": ("60s", "1800s", "-5s", "315576000001s", "5m", 5),
}


def often(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return good values most of the time."""
    return st.one_of(good, good, good, good, bad)


def texts(name: str, ids: Ids) -> st.SearchStrategy[Any]:
    """Return texts for a field, ids of what is there where its name asks for one."""
    if name.endswith(("_id", "_ids")) or name == "id":
        return often(st.sampled_from(ids), st.sampled_from(ODD))
    return st.one_of(st.sampled_from(ODD), st.text(max_size=40), st.sampled_from(("hello", "name", "true", "main.py")))


@cache
def message(desc: DescMessage, ids: Ids, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return JSON objects for a message, with any of its fields."""
    if desc.type_name in WELL_KNOWN:
        return st.sampled_from(WELL_KNOWN[desc.type_name])
    if depth > DEEPEST:
        return st.just({})
    optional = {one.json_name: often(value(one, ids, depth), ANY_JSON) for one in desc.fields}
    whole: dict[str, st.SearchStrategy[Any]] = {
        one.json_name: value(one, ids, depth) for one in desc.fields if one.name.endswith("_id") and depth == 0
    }
    for name in whole:
        optional.pop(name)
    return st.fixed_dictionaries(whole, optional=optional)


def value(one: DescField, ids: Ids, depth: int) -> st.SearchStrategy[Any]:
    """Return JSON values for a field."""
    match one.value:
        case DescFieldValueMessage(message=inner):
            return st.deferred(lambda: message(inner, ids, depth + 1))
        case DescFieldValueList(element=element):
            return st.lists(_element(element, one.name, ids, depth), max_size=4)
        case DescFieldValueMap(value=element):
            inside = _element(element, one.name, ids, depth)
            return st.dictionaries(st.one_of(st.sampled_from(ODD), st.text(max_size=5)), inside, max_size=3)
        case DescFieldValueEnum(enum=enum):
            return _element(enum, one.name, ids, depth)
        case DescFieldValueScalar(scalar=scalar):
            return _element(scalar, one.name, ids, depth)
        case _:
            return ANY_JSON


def _element(kind: Any, name: str, ids: Ids, depth: int) -> st.SearchStrategy[Any]:
    match kind:
        case DescMessage():
            return st.deferred(lambda: message(kind, ids, depth + 1))
        case DescEnum():
            names = [one.name for one in kind.values]
            return st.one_of(st.sampled_from(names), st.sampled_from((0, 1, 2, 99, -1, "NO_SUCH_VALUE", 2**31)))
        case _:
            return _scalar(int(kind), name, ids)


def _scalar(kind: int, name: str, ids: Ids) -> st.SearchStrategy[Any]:
    match kind:
        case 9:
            return texts(name, ids)
        case 12:
            coded = st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
            return st.one_of(coded, st.sampled_from(("====", "a", "é", "iVBORw0KGgo=")))
        case 8:
            return st.booleans()
        case 1 | 2:
            return st.one_of(st.floats(), st.sampled_from(("NaN", "Infinity", "-Infinity", "x")))
        case _ if kind in INTS:
            return st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS).map(str), st.just(1.5))
        case _:
            return ANY_JSON


TWICE: Callable[[str], str] = lambda text: text[:-1] + "," + text[1:] if len(text) > 2 else text  # noqa: E731


@cache
def body(desc: DescMessage, ids: Ids) -> st.SearchStrategy[bytes]:
    """Return bodies in JSON: of the message, and what is nearly one."""
    plain = message(desc, ids).map(lambda found: json.dumps(found))
    raw = plain.map(lambda text: json.dumps(json.loads(text), ensure_ascii=False))
    whole = st.one_of(plain, plain, plain, raw, plain.map(TWICE)).map(
        lambda text: text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    )
    cut = st.tuples(whole, st.integers(0, 40)).map(lambda pair: pair[0][: -pair[1] or None])
    nested = st.sampled_from((b"[" * 3000, b'{"a":' * 3000, b'{"userInput":' * 900 + b"1" + b"}" * 900))
    other = ANY_JSON.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass"))
    return st.one_of(whole, whole, whole, whole, whole, cut, other, nested, st.binary(max_size=60))


@cache
def binary(desc: DescMessage, ids: Ids, depth: int = 0) -> st.SearchStrategy[bytes]:
    """Return bodies in protobuf: fields of the message in any order and number, and what is nearly that."""
    if depth > DEEPEST:
        return st.just(b"")
    one = st.one_of([_field(found, ids, depth) for found in desc.fields]) if desc.fields else st.just(b"")
    strange = st.tuples(st.sampled_from((1, 7, 200, 536_870_911)), st.sampled_from((0, 1, 2, 3, 4, 5, 6, 7))).map(
        lambda pair: varint(pair[0] << 3 | pair[1]) + b"\x01" * 9
    )
    first = [_field(found, ids, depth) for found in desc.fields if found.name.endswith("_id")] if depth == 0 else []
    whole = st.tuples(*first, st.lists(often(one, strange), max_size=5).map(b"".join)).map(b"".join)
    if depth:
        return whole
    deep = st.sampled_from([_deep(desc, levels) for levels in (50, 300)])
    cut = st.tuples(whole, st.integers(1, 20)).map(lambda pair: pair[0][: -pair[1]])
    return st.one_of(whole, whole, whole, cut, st.binary(max_size=60), deep)


def _deep(desc: DescMessage, levels: int) -> bytes:
    number = next((one.number for one in desc.fields if isinstance(one.value, DescFieldValueMessage)), 1)
    data = b""
    for _ in range(levels):
        data = field(number, data)
    return data


def _field(one: DescField, ids: Ids, depth: int) -> st.SearchStrategy[bytes]:
    kind: Any = one.value
    if isinstance(kind, DescFieldValueList):
        kind = kind.element
    inner = kind.message if isinstance(kind, DescFieldValueMessage) else kind if isinstance(kind, DescMessage) else None
    if inner is not None:
        data = st.deferred(lambda: binary(inner, ids, depth + 1))
        return data.map(lambda found: field(one.number, found))
    scalar = int(kind.scalar) if isinstance(kind, DescFieldValueScalar) else 5
    if scalar == 9 or not isinstance(kind, DescFieldValueScalar | DescFieldValueEnum):
        said = texts(one.name, ids).map(lambda text: str(text).encode("utf-8", "surrogatepass"))
        return often(said, st.binary(max_size=10)).map(lambda found: field(one.number, found))
    if scalar == 12:
        return st.binary(max_size=50).map(lambda found: field(one.number, found))
    if scalar in (1, 2):
        form, code = ("<d", 1) if scalar == 1 else ("<f", 5)
        packed = st.floats(width=32).map(lambda found: struct.pack(form, found))
        return packed.map(lambda found: varint(one.number << 3 | code) + found)
    return st.sampled_from([found % 2**64 for found in NUMBERS]).map(lambda found: field(one.number, found))
