"""How values lie in columns: times as whole microseconds since 1970 in UTC, structures as compact JSON text."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pydantic_core
from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

from hostler.core.errors import InvalidArgument

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def to_ticks(moment: datetime) -> int:
    """Return the microseconds since 1970 of a moment, which must carry its time zone."""
    return (moment - EPOCH) // TICK


def from_ticks(ticks: int) -> datetime:
    """Return the moment, in UTC, that `to_ticks` was given."""
    return EPOCH + ticks * TICK


def to_json(value: object) -> str:
    """Return compact JSON; half a surrogate pair, which no database takes as UTF-8, stays an escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=_plain)
    return text


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def check_text(text: str, name: str) -> str:
    """Return a text that both databases can keep in a column of its own; InvalidArgument names the field if not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument("holds half of a surrogate pair", field=name) from None
    if "\0" in text:
        raise InvalidArgument("holds a NUL character", field=name)
    return text


def check_texts(texts: Iterable[str], name: str) -> None:
    """Check each of some texts like `check_text`."""
    for text in texts:
        check_text(text, name)


def digest(*texts: str) -> str:
    """Return what stands for long or free text in an index: a sha256 in hex."""
    return sha256("\0".join(texts).encode(errors="surrogatepass")).hexdigest()


def of_json(text: str) -> Any:
    """Return what `to_json` wrote, in a third of the standard library's time."""
    try:
        return pydantic_core.from_json(text)
    except ValueError:  # half a character, which only the standard library takes
        return json.loads(text)


class Moment(TypeDecorator[datetime]):
    """A time column, exact to the microsecond."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a moment into microseconds."""
        return None if value is None else to_ticks(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Turn microseconds into a moment."""
        return None if value is None else from_ticks(value)


class Json(TypeDecorator[Any]):
    """A column of JSON text that the database never looks into."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        """Turn a structure into text."""
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Turn text into a structure."""
        return None if value is None else of_json(value)
