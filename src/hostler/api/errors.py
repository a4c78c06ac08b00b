"""From our error tree to the wire: one table, and the headers that tell clients whether to try again."""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import structlog
from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from protobuf import Message
from starlette.exceptions import HTTPException

from hostler.core import errors as e
from hostler.core.machines import FileProblem

log = structlog.get_logger(__name__)

CODES: Mapping[type[e.HostlerError], Code] = {
    e.InvalidArgument: Code.INVALID_ARGUMENT,
    e.Unauthenticated: Code.UNAUTHENTICATED,
    e.PermissionDenied: Code.PERMISSION_DENIED,
    e.NotFound: Code.NOT_FOUND,
    e.AlreadyExists: Code.ALREADY_EXISTS,
    e.FailedPrecondition: Code.FAILED_PRECONDITION,
    e.ResourceExhausted: Code.RESOURCE_EXHAUSTED,
    e.Unimplemented: Code.UNIMPLEMENTED,
    e.Unavailable: Code.UNAVAILABLE,
    e.Conflict: Code.ABORTED,
    e.StaleFence: Code.ABORTED,
    e.EnvironmentFailed: Code.FAILED_PRECONDITION,
    e.MachineLost: Code.UNAVAILABLE,
    e.Fenced: Code.ABORTED,
    e.ModelUnavailable: Code.UNAVAILABLE,
    e.ModelRefused: Code.FAILED_PRECONDITION,
}
FILE_CODES: Mapping[str, Code] = {
    "not_found": Code.NOT_FOUND,
    "exists": Code.ALREADY_EXISTS,
    "permission": Code.PERMISSION_DENIED,
    "too_large": Code.RESOURCE_EXHAUSTED,
    "full": Code.RESOURCE_EXHAUSTED,
}
HTTP_STATUS: Mapping[Code, int] = {
    Code.CANCELED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
"""The status of a code; all others are 500."""
FINAL = frozenset({Code.ALREADY_EXISTS, Code.ABORTED, Code.UNIMPLEMENTED, Code.RESOURCE_EXHAUSTED})
"""Codes whose status makes older clients try again although the answer will be the same."""


def wire_error(error: Exception, request_id: str) -> ConnectError:
    """Return what the caller is told; of an unexpected error only an id, under which the log has the rest."""
    match error:
        case ConnectError():
            return error
        case HTTPException():  # of static files: there is none of this name, or it is no file to read
            return ConnectError(Code.NOT_FOUND, "there is nothing here")
        case FileProblem():
            code = FILE_CODES.get(error.kind, Code.FAILED_PRECONDITION)
        case e.HostlerError():
            code = next((CODES[cls] for cls in type(error).__mro__ if cls in CODES), Code.INTERNAL)
        case _:
            code = Code.INTERNAL
    if code is Code.INTERNAL:
        log.error("unexpected error", request_id=request_id, exc_info=error)
        return ConnectError(code, f"internal error; the server's log has it under {request_id}")
    detail = error.detail if isinstance(error, e.InvalidArgument) else None
    details: list[Message[Any] | ErrorDetail] = [detail] if isinstance(detail, Message) else []
    told = ConnectError(code, str(error), details)
    told.__cause__ = error
    return told


def hints(error: ConnectError) -> dict[str, str]:
    """Return the headers that go with an error."""
    if isinstance(error.__cause__, e.TooMany):
        return {"retry-after": f"{max(1, math.ceil(error.__cause__.retry_after))}", "x-should-retry": "true"}
    if error.code in FINAL:
        return {"x-should-retry": "false"}
    if error.code is Code.UNAUTHENTICATED:
        return {"www-authenticate": "Bearer"}
    if error.code is Code.UNAVAILABLE:
        after = error.__cause__.retry_after if isinstance(error.__cause__, e.Unavailable) else 1.0
        return {"retry-after": f"{max(1, round(after))}"}
    return {}


def body_of(error: ConnectError) -> bytes:
    """Return an error in Connect's JSON form."""
    body: dict[str, object] = {"code": error.code.value, "message": error.message}
    if error.details:
        body["details"] = [
            {"type": d.type_name, "value": base64.b64encode(d.message_bytes).decode().rstrip("=")}
            for d in error.details
        ]
    return json.dumps(body, ensure_ascii=False).encode()


def status_of(error: ConnectError) -> int:
    """Return the HTTP status of an error."""
    return HTTP_STATUS.get(error.code, 500)
