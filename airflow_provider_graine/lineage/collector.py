"""What a task has read and written, for Airflow's collector, from which plugins such as OpenLineage's read it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_graine.lineage.statements import without_values

if TYPE_CHECKING:
    from airflow_provider_graine.lineage.data import Query, TaskLineage

log = logging.getLogger(__name__)


def has_readers() -> bool:
    """
    Tell whether any plugin reads what is collected.

    To ask for the collector would make one: that imports what all installed providers know of assets, which takes long.
    """
    try:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins
    except ImportError:  # Airflow 3.1
        from airflow import plugins_manager as plugins

        plugins.initialize_hook_lineage_readers_plugins()  # type: ignore[attr-defined]
        return bool(plugins.hook_lineage_reader_classes)  # type: ignore[attr-defined]
    return bool(get_hook_lineage_readers_plugins())


def tell_collector(lineage: TaskLineage) -> None:
    """
    Report what was read and written.

    :param lineage: what it is
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    for data in lineage.inputs:
        _report(collector.add_input_asset, context=lineage.hook, uri=data.uri)
    for data in lineage.outputs:
        _report(collector.add_output_asset, context=lineage.hook, uri=data.uri)
    for query in lineage.queries:
        _report(_tell_query, query)


def _tell_query(query: Query) -> None:
    """Report a query as :meth:`DbApiHook.run` does, which was not used; without the values in it and its parameters."""
    from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage

    from airflow_provider_graine.sources.database import database_hook

    if (statement := without_values(query.sql)) is not None:
        send_sql_hook_lineage(context=database_hook(query.conn_id), sql=statement)


def _report(report: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Report one thing; another store's provider may not like how its files are named."""
    try:
        report(*args, **kwargs)
    except Exception as error:
        log.debug("Lineage could not be collected (%s)", type(error).__name__)
