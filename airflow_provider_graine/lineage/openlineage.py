"""What a task has read and written, as OpenLineage has it; imported only where its provider is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.lineage.assets import dataset_name
from airflow_provider_graine.lineage.statements import without_values

if TYPE_CHECKING:
    from airflow_provider_graine.lineage.data import Data, Query, TaskLineage

log = logging.getLogger(__name__)

FACET: Final = "graine_calls"
#: Its schema lies beside this module.
SCHEMA: Final = "urn:airflow-provider-graine:openlineage:1-0-0:GraineCallsRunFacet.json#/$defs/GraineCallsRunFacet"
_MOST_IDS: Final = 100


def operator_lineage(lineage: TaskLineage) -> Any:
    """
    Bring a task's lineage into the form that OpenLineage's provider takes.

    Batches are not named where their campaign is: they come and go, the campaign stays. Their ids are in the facet.

    :param lineage: what the task has read and written
    :return: an ``OperatorLineage``: datasets, the outputs with their statistics, and a run facet
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs = [Dataset(*dataset_name(data.uri)) for data in lineage.inputs if data.role != "part"]
    tables = [table for query in lineage.queries for table in _tables(query)]
    return OperatorLineage(
        inputs=_once([*inputs, *tables]),
        outputs=[_output(data) for data in lineage.outputs if data.role != "part"],
        run_facets={FACET: calls_facet(lineage)},
    )


def _once(datasets: Iterable[Any]) -> list[Any]:
    return list({(dataset.namespace, dataset.name): dataset for dataset in datasets}.values())


def _output(data: Data) -> Any:
    from airflow.providers.common.compat.openlineage.facet import OutputDataset, OutputStatisticsOutputDatasetFacet

    namespace, name = dataset_name(data.uri)
    if data.rows is None and data.bytes is None:
        return OutputDataset(namespace, name)
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=data.rows, size=data.bytes)
    return OutputDataset(namespace, name, outputFacets={"outputStatistics": statistics})


def _tables(query: Query) -> list[Any]:
    """Name the tables that a query reads, where its database is one that OpenLineage has names for."""
    from airflow_provider_graine.sources.database import database_hook

    try:
        return _tables_of(database_hook(query.conn_id), query)
    except Exception as error:
        log.debug("The tables of a query could not be told (%s)", type(error).__name__)
        return []


def _tables_of(hook: Any, query: Query) -> list[Any]:
    from airflow.providers.openlineage.sqlparser import SQLParser

    connection = hook.get_connection(query.conn_id)
    database = hook.get_openlineage_database_info(connection)
    statement = without_values(query.sql)
    if database is None or statement is None:
        return []
    dialect = hook.get_openlineage_database_dialect(connection)
    tables = _parsed(SQLParser(dialect), statement)
    if not all(table.schema for table in tables):  # else there is no need to ask the database
        tables = _parsed(SQLParser(dialect, hook.get_openlineage_default_schema()), statement)
    namespace = SQLParser.create_namespace(database)
    return list(SQLParser.get_metadata_from_parser(tables, [], database, namespace=namespace)[0])


def _parsed(parser: Any, statement: str) -> list[Any]:
    found = parser.parse([statement])
    return [] if found is None else list(found.in_tables)


def calls_facet(lineage: TaskLineage) -> Any:
    """
    Make the run facet ``graine_calls``.

    :param lineage: what the task has read and written
    :return: the facet, with what there is to say
    """
    figures = dict(lineage.figures)
    rejected: Mapping[str, int] | None = figures.get("rejected")
    said = {
        "service": lineage.hook.conn_type,
        "campaignIds": (figures.get("campaign_ids") or [])[:_MOST_IDS] or None,
        "batchIds": (figures.get("batch_ids") or [])[:_MOST_IDS] or None,
        "rejected": None if rejected is None else sum(rejected.values()),
        "rejectedByReason": rejected,
        **{name: figures.get(name) for name in ("batches", "read", "accepted", "elsewhere", "files", "rows", "bytes")},
    }
    known = {name: value for name, value in said.items() if value is not None}
    return _facet_class()().with_additional_properties(**known)


@cache
def _facet_class() -> Any:
    """Make the class when it is needed: without OpenLineage's client there is no base for it."""
    from airflow.providers.common.compat.openlineage.facet import RunFacet

    class GraineCallsRunFacet(RunFacet):
        """What a task of this provider did: counts and ids alone."""

        @staticmethod
        def _get_schema() -> str:
            return SCHEMA

    return GraineCallsRunFacet
