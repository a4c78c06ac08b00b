"""The body of a request to Hostler's own API."""

import json
from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request

from hostler.core.errors import InvalidArgument


async def body_of(request: Request) -> Mapping[str, Any]:
    """Return it as a JSON object, an empty one without a body; raises InvalidArgument."""
    raw = await request.body()
    try:
        body: object = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise InvalidArgument("the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidArgument("the body must be a JSON object")
    return cast("dict[str, Any]", body)
