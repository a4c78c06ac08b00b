"""The JSON codec: fields that the contract does not know are ignored, every other mistake is an error."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from protobuf import (
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescMessage,
    Message,
    message_from_json_value,
    message_to_json_value,
)

M = TypeVar("M", bound=Message)


class StrictJson:
    """Reads and writes JSON; `decode` raises ValueError or TypeError, which the server answers as invalid_argument."""

    def name(self) -> str:
        """Return the codec's name in content types."""
        return "json"

    def encode(self, message: Message) -> bytes:
        """Return a message as JSON."""
        return message.to_json().encode()

    def decode(self, data: bytes | bytearray, message_class: type[M]) -> M:
        """Return the message that a JSON text is."""
        return from_json(message_class, read(data or b"{}"))


def read(data: bytes | bytearray) -> Any:
    """Return the value of a JSON text; ValueError when it is none, or has half a character, which cannot be kept."""
    text = data.decode()  # json would take halves of characters that are written as bytes, and UTF-16
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def from_json(message_class: type[M], value: object) -> M:
    """Return the message that a JSON value is; unknown fields are left out."""
    return message_from_json_value(message_class, _known(value, message_class.desc()))


def own(message_class: type[M], value: Any) -> M:
    """Return the message that a JSON value of our own making is, of which nothing has to be checked."""
    return message_from_json_value(message_class, value, ignore_unknown_fields=True)


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as a JSON object."""
    return cast("dict[str, Any]", message_to_json_value(message))


@cache
def _fields(desc: DescMessage) -> Mapping[str, DescField]:
    return {name: field for field in desc.fields for name in (field.name, field.json_name)}


def _known(value: object, desc: DescMessage) -> Any:
    """Drop keys that the contract does not know; refuse two members of one oneof."""
    if desc.type_name.startswith("google.protobuf.") or not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    chosen: dict[str, str] = {}
    for key, item in cast("dict[str, object]", value).items():
        if (field := _fields(desc).get(key)) is None:
            continue
        oneof = getattr(field.value, "oneof", None)
        if oneof is not None and item is not None:
            other = chosen.setdefault(oneof.name, field.name)
            if other != field.name:
                raise ValueError(f"{field.name} and {other} exclude each other")
        kept[key] = _known_in(item, field)
    return kept


def _known_in(item: object, field: DescField) -> Any:
    match field.value:
        case DescFieldValueMessage(message=inner):
            return _known(item, inner)
        case DescFieldValueList(element=DescMessage() as inner) if isinstance(item, list):
            return [_known(one, inner) for one in cast("list[object]", item)]
        case DescFieldValueMap(value=DescMessage() as inner) if isinstance(item, dict):
            return {key: _known(one, inner) for key, one in cast("dict[str, object]", item).items()}
        case _:
            return item
