"""What a landing of results, or a report on them, reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.lineage.data import MOST, MOST_IDS, Data, TaskLineage
from airflow_provider_graine.lineage.files import file_uri
from airflow_provider_graine.lineage.services import batches, campaigns

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook


def landing_lineage(
    hook: CallingServiceHook,
    *,
    landed: Sequence[Mapping[str, Any]],
    batch_ids: Sequence[str] | None,
    campaign_ids: Iterable[str],
) -> TaskLineage:
    """
    Say what a landing has read and written.

    :param hook: the connection
    :param landed: its files, as the landing operators return them
    :param batch_ids: the batches whose results were landed, where the service has such
    :param campaign_ids: the campaigns whose results were landed, or those of the batches as far as they are known
    """
    known = list(dict.fromkeys(campaign_ids))
    ids = {"campaign_ids": known[:MOST_IDS]}
    if batch_ids is not None:
        ids["batch_ids"] = list(batch_ids[:MOST_IDS])
    files = [_file(entry, ids) for entry in landed]
    known_rows = [file.rows for file in files if file.rows is not None]
    rows = sum(known_rows) if len(known_rows) == len(files) else None
    size = sum(file.bytes or 0 for file in files)
    uris = [file.uri for file in files[:MOST_IDS]]
    figures = {"files": len(files), "uris": uris, "rows": rows, "bytes": size, **ids}
    if len(files) > MOST:
        files = [Data(uri=files[0].uri.rpartition("/")[0], rows=rows, bytes=size, extra=figures)]
    return TaskLineage(
        hook=hook,
        inputs=[*campaigns(hook, known), *batches(hook, batch_ids or [], of_campaigns=bool(known))],
        outputs=files,
        figures=figures,
    )


def _file(entry: Mapping[str, Any], ids: Mapping[str, list[str]]) -> Data:
    """Describe a file; of one that holds several, only say which: their counts are in the task's own result."""
    extra = {name: value for name, value in entry.items() if name != "uri" and not isinstance(value, list)}
    if not extra.keys() & {"batch_id", "campaign_id"}:
        extra |= ids
    return Data(uri=file_uri(entry["uri"]), rows=entry.get("rows"), bytes=entry.get("bytes"), extra=extra)
