"""From a database query onto Kataven campaigns."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_graine.operators.kataven_upload import KatavenUploadOperator
from airflow_provider_graine.transfers.lists import FromSql


class SqlToKatavenOperator(FromSql, KatavenUploadOperator):
    """
    Have the people that a query returns called by Kataven.

    The rows are streamed, through a server-side cursor where the database has one. Everything else is as in
    :class:`~airflow_provider_graine.operators.kataven_upload.KatavenUploadOperator`, whose arguments this operator
    takes.

    :param sql: one ``SELECT``, or the path of a ``.sql`` file (templated)
    :param sql_conn_id: connection of any database with a ``DbApiHook`` (templated); also that of the queries in
        ``suppress``, unless ``suppress_conn_id`` is given
    :param parameters: parameters of the query, in the style of the database's driver (templated)
    """

    template_fields: Sequence[str] = (*KatavenUploadOperator.template_fields, *FromSql.own_template_fields)
