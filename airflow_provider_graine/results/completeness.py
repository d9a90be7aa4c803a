"""
Whether a CSV file of results is all there, as far as that can be told.

What rows an export has is not documented: one for each contact, or one for each call. Either way a batch whose contacts
are all done with has a row for each at least; of any other batch, contacts that were never called may have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_graine.results.counting import LineCounter


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
