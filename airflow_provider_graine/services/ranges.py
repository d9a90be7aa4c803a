"""
Taking up an answer where it broke off.

Done only where the server has offered byte ranges and has named the very bytes of its answer (a strong ``ETag``), and
where it then continues those; anything else is no continuation, and the answer is to be read from its start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True)
class Resumable:
    """
    An answer that its server can continue from any byte.

    :param etag: the server's name for these very bytes
    :param length: number of bytes of the whole answer
    """

    etag: str
    length: int

    @classmethod
    def offered(cls, headers: Mapping[str, str]) -> Self | None:
        """
        Read whether an answer is one.

        :param headers: of the answer, with names in any case
        """
        etag, length = headers.get("etag", ""), headers.get("content-length", "")
        offers = headers.get("accept-ranges", "").strip().lower() == "bytes" and "content-encoding" not in headers
        if not offers or not _STRONG_ETAG.fullmatch(etag) or not (length.isascii() and length.isdigit()):
            return None
        return cls(etag, int(length))

    def asked_from(self, position: int) -> dict[str, str]:
        """
        Return the headers that ask for the rest, or for nothing if the answer has changed since.

        :param position: number of bytes that came
        """
        return {"Range": f"bytes={position}-", "If-Range": self.etag, "Accept-Encoding": "identity"}

    def is_continued(self, status: int, headers: Mapping[str, str], position: int) -> bool:
        """
        Tell whether an answer is the rest that was asked for.

        :param status: HTTP status of that answer
        :param headers: of that answer
        :param position: number of bytes that came before
        """
        return (
            status == 206
            and headers.get("content-range", "") == f"bytes {position}-{self.length - 1}/{self.length}"
            and headers.get("etag") == self.etag
            and "content-encoding" not in headers
        )
