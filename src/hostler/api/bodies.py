"""The body of a request to Hostler's own API."""

from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request

from hostler.api.codec import read
from hostler.core.errors import InvalidArgument, ResourceExhausted

MOST = 1 << 20
"""Bytes; nothing that is asked for here is nearly as long."""


async def body_of(request: Request) -> Mapping[str, Any]:
    """Return it as a JSON object, an empty one without a body; raises InvalidArgument, or ResourceExhausted."""
    return object_in(await whole(request, MOST))


def object_in(raw: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body is, an empty one without a body; raises InvalidArgument."""
    try:
        body: object = read(raw or b"{}")
    except (ValueError, RecursionError):
        raise InvalidArgument("the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidArgument("the body must be a JSON object")
    return cast("dict[str, Any]", body)


async def whole(request: Request, most: int) -> bytes:
    """Return a body of at most so many bytes; of a longer one, no more is read. Raises ResourceExhausted."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise ResourceExhausted(f"at most {most} bytes in a request")
    return bytes(data)
