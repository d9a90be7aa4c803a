"""An answer that is not 200."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """
    Ends the handling of a request.

    :param status: HTTP status
    :param detail: the ``detail`` of the answer: text, or a list for 422
    """

    def __init__(self, status: int, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
