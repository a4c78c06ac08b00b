"""The contract's own rules, checked once for every request: protovalidate, unknown enum numbers, no times, no NUL."""

from collections.abc import Iterator, Sequence
from typing import Any

import protovalidate
from protobuf import Enum, Message, Oneof, enum_is_unknown
from protobuf.wkt import Duration, Timestamp

from hostler.core.errors import InvalidArgument

INITIALIZED = "initializer.specs.context_url.url"
OURS = frozenset({"code_context.context_url.url", f"spec.content.{INITIALIZED}", INITIALIZED, "context_url"})
"""URLs that `hostler.core.context` reads: it refuses more than the contract's rule and says what is accepted."""


EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""The seconds of 0001-01-01 and of the end of 9999, since 1970."""
LONGEST = 315_576_000_000
"""Seconds of the longest duration."""
NANOS = 999_999_999


def check(request: Message) -> None:
    """Raise InvalidArgument naming the field for a request that breaks a rule."""
    for violation in _violations(request):
        proto = violation.proto
        elements = list(proto.field.elements) if proto.field else []
        plain = ".".join(element.field_name for element in elements)
        if proto.rule_id == "string.uri" and plain in OURS:
            continue
        raise InvalidArgument(proto.message or proto.rule_id, field=".".join(_named(element) for element in elements))
    for path, what in _faults(request, ""):
        raise InvalidArgument(what, field=path)


def _violations(request: Message) -> Sequence[Any]:
    """Return the broken rules; none when a number fits nowhere, as one of an enum in a list may: `_faults` names it."""
    try:
        return protovalidate.collect_violations(request)
    except OverflowError:
        return ()


def _is_time(value: Timestamp | Duration) -> bool:
    """Return whether a time is one that protobuf allows; on the wire it may be any two numbers."""
    if isinstance(value, Timestamp):
        return EARLIEST <= value.seconds <= LATEST and 0 <= value.nanos <= NANOS
    return abs(value.seconds) <= LONGEST and abs(value.nanos) <= NANOS


def _named(element: Any) -> str:
    """Return a step of a field path, with the index or key where there is one."""
    subscript = element.subscript
    return element.field_name if subscript is None else f"{element.field_name}[{subscript.value}]"


def _faults(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong) of enum values that the contract does not define, and of texts no store can keep."""
    match value:
        case Enum():
            if enum_is_unknown(value):
                yield path, "the contract has no such value"
        case str():
            if "\0" in value:
                yield path, "a text must not hold a NUL character"
        case Timestamp() | Duration():
            if not _is_time(value):
                yield path, "there is no such time"
        case Message():
            for field in type(value).desc().fields:
                if field in value:
                    yield from _faults(value[field], f"{path}.{field.name}" if path else field.name)
        case Oneof(value=inner):  # pyright: ignore[reportUnknownVariableType]
            yield from _faults(inner, path)  # pyright: ignore[reportUnknownArgumentType]
        case list():
            for number, one in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                yield from _faults(one, f"{path}[{number}]")  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            for key, one in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from _faults(key, path)  # pyright: ignore[reportUnknownArgumentType]
                yield from _faults(one, f"{path}[{key}]")  # pyright: ignore[reportUnknownArgumentType]
        case _:
            pass
