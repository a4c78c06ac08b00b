"""Opaque page tokens: where the next page begins, bound to the filter of the first."""

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Protocol, TypeVar, cast

from protobuf import Message

from hostler.contract.gitpod.v1.pagination_pb import PaginationRequest, PaginationResponse
from hostler.core.errors import InvalidArgument

DEFAULT_SIZE = 25
ID = re.compile(r"[0-9a-f-]{6,36}")
"""What pages are cut by: ids, and numbers in lists that have an order of their own."""


class Listed(Protocol):
    """Something in a list, by its id."""

    @property
    def id(self) -> str:
        """Return the id that pages are cut by."""
        ...


L = TypeVar("L", bound=Listed)


async def page_of(
    what: str,
    asked: PaginationRequest | None,
    filtered_by: Message | None,
    find: Callable[[str, int], Awaitable[Sequence[L]]],
) -> tuple[Sequence[L], PaginationResponse]:
    """Return one page of a list; `find(before, limit)` gives rows newest first. InvalidArgument for a foreign token."""
    size = (asked.page_size if asked else 0) or DEFAULT_SIZE
    mark = _mark(what, filtered_by)
    before = _read(asked.token, mark) if asked and asked.token else ""
    rows = await find(before, size + 1)
    more = len(rows) > size
    rows = rows[:size]
    return rows, PaginationResponse(next_token=_write(rows[-1].id, mark) if more else "")


def _mark(what: str, filtered_by: Message | None) -> str:
    body = "" if filtered_by is None else json.dumps(json.loads(filtered_by.to_json()), sort_keys=True)
    return sha256(f"{what} {'' if body == '{}' else body}".encode()).hexdigest()[:16]


def _write(before: str, mark: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([before, mark]).encode()).decode().rstrip("=")


def _read(token: str, mark: str) -> str:
    try:
        read: object = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        read = None
    match cast("list[object] | None", read):
        case [str(before), str(known)] if ID.fullmatch(before):
            if known != mark:
                raise InvalidArgument("this token belongs to a list with another filter", field="pagination.token")
            return before
        case _:
            raise InvalidArgument("this is no token of this list", field="pagination.token")
