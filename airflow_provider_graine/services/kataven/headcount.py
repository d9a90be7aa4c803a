"""How many people are on a campaign: the service does not tell, but its pages of contacts do, in two or three looks."""

from __future__ import annotations

from collections.abc import Callable


def headcount(rows: Callable[[int], int], *, expected: int) -> int:
    """
    Count the rows of a listing whose pages are equally long, by reading as few of them as will do.

    :param rows: tells how many rows a page has, counted from 0
    :param expected: how many rows there should be, 0 or more; that this is so shows soonest
    :return: how many there are
    """
    length = rows(0)
    if length < 1:
        return 0
    first, beyond = 0, None  # the last page that is known to have rows, and the first known to have none
    page = max(expected - 1, 0) // length
    while True:
        found = length if page == 0 else rows(page)
        if found:
            first = page
        else:
            beyond = page
        if 0 < found < length:
            return page * length + found
        if beyond is None:
            page = first + 1 if (first + 1) * length == expected else 2 * first + 1
        elif beyond == first + 1:
            return beyond * length
        else:
            page = (first + beyond) // 2
