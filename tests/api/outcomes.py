"""What came of a request, whichever protocol it was made in."""

import json
import re
import struct
from collections.abc import Iterator

from tests.api.asking import Told

STATUS = {401: "unauthenticated", 403: "permission_denied", 404: "not_found", 500: "broken"}


def outcome(told: Told) -> str:
    """Return what came of a request, whatever the protocol's way to say so."""
    if told.status == 303 and told.headers["location"].startswith("/sign-in"):
        return "unauthenticated"
    if told.status == 200 and told.kind.startswith("application/connect+"):
        for flags, data in envelopes(told.body):
            if flags & 2 and (error := json.loads(data).get("error")):
                return str(error["code"])
    if told.kind.startswith("application/grpc-web"):
        trailers = told.headers.get("grpc-status") or next(
            (found[1].decode() for found in re.finditer(rb"grpc-status: ?(\d+)", told.body)), "0"
        )
        return {"16": "unauthenticated", "7": "permission_denied", "5": "not_found"}.get(trailers, "allowed")
    return STATUS.get(told.status, "allowed")


def envelopes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (flags, message) of what is enveloped."""
    while len(data) >= 5:
        flags, size = struct.unpack(">BI", data[:5])
        yield flags, data[5 : 5 + size]
        data = data[5 + size :]
