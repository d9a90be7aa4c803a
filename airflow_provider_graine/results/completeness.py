"""
Whether a CSV file of results is all there, as far as that can be told.

What rows an export has is not documented: one for each contact, or one for each call. Either way a batch whose contacts
are all done with has a row for each at least; of any other batch, contacts that were never called may have none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from airflow_provider_graine.exceptions import IncompleteResultsError

if TYPE_CHECKING:
    from airflow_provider_graine.results.counting import LineCounter

#: What to do about results that look incomplete.
IfIncomplete = Literal["fail", "warn"]

log = logging.getLogger(__name__)


def what_is_missing(rows: LineCounter, *, contacts: int | None, all_done: bool) -> str | None:
    """
    Tell what shows that a file is not whole.

    :param rows: has counted all of it
    :param contacts: number of contacts it is about, where that is known
    :param all_done: whether each of them is known to be done with
    :return: the end of a sentence, ``None`` where nothing shows it
    """
    if not rows.ends_whole:
        return "end in the middle of a row"
    if all_done and contacts is not None and rows.rows < contacts:
        return f"have {rows.rows} rows, though the batch is completed and has {contacts} contacts"
    return None


def complain(what: str, *, if_incomplete: IfIncomplete) -> None:
    """
    Say that results are not whole.

    :param what: a sentence
    :param if_incomplete: what the author wants to be done about it
    :raises IncompleteResultsError: unless they are to be landed all the same
    """
    if if_incomplete == "fail":
        raise IncompleteResultsError(f'{what} Nothing was landed; if_incomplete="warn" lands what came.')
    log.warning("%s What came is landed", what)
