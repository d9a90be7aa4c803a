"""Byte ranges of a file, as a web server or an object store before the service would serve them."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def ranged(request: Request, content: bytes, *, media_type: str, headers: Mapping[str, str]) -> Response:
    """
    :param request: what was asked for, possibly a part, possibly on a condition (``If-Range``)
    :param content: the whole file
    :return: the file, the part, or that there is no such part
    """
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    answered = {**headers, "accept-ranges": "bytes", "etag": etag}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range", etag) != etag:
        return Response(content, 200, answered, media_type)
    start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if start > end:
        return Response(status_code=416, headers={**answered, "content-range": f"bytes */{len(content)}"})
    answered["content-range"] = f"bytes {start}-{end}/{len(content)}"
    return Response(content[start : end + 1], 206, answered, media_type)
