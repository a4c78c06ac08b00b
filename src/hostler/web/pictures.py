"""Images that people sent, as a browser asks for them."""

import base64
import binascii

from starlette.responses import Response

from hostler.core.errors import NotFound
from hostler.projections.items import Picture

KNOWN = ("image/png", "image/jpeg")
HEADERS = {
    "cache-control": "private, max-age=3600",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "content-disposition": "inline",
}


def picture(one: Picture) -> Response:
    """Return an image; NotFound when its bytes are not here."""
    try:
        data = base64.b64decode(one.data, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or one.mime_type not in KNOWN:
        raise NotFound("there is no such image")
    return Response(data, media_type=one.mime_type, headers=HEADERS)
