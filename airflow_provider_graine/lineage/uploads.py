"""What an upload reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.lineage.data import MOST_IDS, Data, Query, TaskLineage
from airflow_provider_graine.lineage.files import file_uri, read_files
from airflow_provider_graine.lineage.services import batches, campaigns

if TYPE_CHECKING:
    from airflow_provider_graine.hooks.calling_service import CallingServiceHook


def upload_lineage(
    hook: CallingServiceHook,
    *,
    paths: Sequence[str],
    queries: Iterable[tuple[str, str | None]],
    batch_ids: Sequence[str] | None,
    campaign_ids: Sequence[str],
    summary: Mapping[str, Any],
) -> TaskLineage:
    """
    Say what an upload has read and written.

    :param hook: the connection
    :param paths: files of contacts and of people who must not be called
    :param queries: queries for the same, each with its connection
    :param batch_ids: the batches that people were put on, where the service has such
    :param campaign_ids: the campaigns that people were put on
    :param summary: the counts, as the XCom ``summary`` has them
    """
    counts = {name: value for name, value in summary.items() if name != "rejects_path"}
    ids = {"campaign_ids": list(campaign_ids[:MOST_IDS])}
    if batch_ids is not None:
        ids["batch_ids"] = list(batch_ids[:MOST_IDS])
    figures = {**counts, **ids}

    outputs: list[Data] = []
    if campaign_ids:
        rows = counts.get("accepted") if len(campaign_ids) == 1 else None
        outputs += campaigns(hook, campaign_ids, rows=rows, extra=figures)
        outputs += batches(hook, batch_ids or [], of_campaigns=True)
    if rejects_path := summary.get("rejects_path"):
        rejected = sum((counts.get("rejected") or {}).values())
        outputs.append(Data(uri=file_uri(rejects_path), role="by-product", rows=rejected))
    return TaskLineage(
        hook=hook,
        inputs=read_files(paths),
        queries=[Query(sql=sql, conn_id=conn_id) for sql, conn_id in queries if conn_id],
        outputs=outputs,
        figures=figures,
    )
