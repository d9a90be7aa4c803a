"""From a database query onto Graine batches."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_graine.operators.graine_upload import GraineUploadOperator
from airflow_provider_graine.transfers.lists import FromSql


class SqlToGraineOperator(FromSql, GraineUploadOperator):
    """
    Have the people that a query returns called by Graine.

    The rows are streamed: from PostgreSQL by ``COPY (…) TO STDOUT`` where all columns are plain (text, numbers,
    ``boolean``, ``uuid``, ``date``, ``timestamp``), else through a server-side cursor where the database has one. The
    call variables are the same either way. Everything else is as in
    :class:`~airflow_provider_graine.operators.graine_upload.GraineUploadOperator`, whose arguments this operator takes.

    :param sql: one ``SELECT``, or the path of a ``.sql`` file (templated)
    :param sql_conn_id: connection of any database with a ``DbApiHook`` (templated); also that of the queries in
        ``suppress``, unless ``suppress_conn_id`` is given
    :param parameters: parameters of the query, in the style of the database's driver (templated)
    """

    template_fields: Sequence[str] = (*GraineUploadOperator.template_fields, *FromSql.own_template_fields)
