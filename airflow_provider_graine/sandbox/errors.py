"""What ends the handling of a request before its end."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """
    An answer that is not a success.

    :param status: HTTP status
    :param detail: what the answer says: text, or for Graine's 422 a list
    """

    def __init__(self, status: int, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class WrongState(Exception):
    """The operation does not fit the current status."""
