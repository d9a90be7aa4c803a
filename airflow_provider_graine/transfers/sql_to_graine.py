"""From a database query onto Graine batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_graine.operators.graine_upload import GraineUploadOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList


class SqlToGraineOperator(GraineUploadOperator):
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

    template_fields: Sequence[str] = (*GraineUploadOperator.template_fields, "sql", "sql_conn_id", "parameters")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}

    def __init__(self, *, sql: str, sql_conn_id: str, parameters: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters

    def load(self, contacts: ContactList, context: Context) -> None:
        """Stream the query's rows into the list."""
        from airflow_provider_graine.sources.database import query
        from airflow_provider_graine.sources.postgres import copyable

        with copyable(self.sql, conn_id=self.sql_conn_id, parameters=self.parameters) as table:
            if table is not None and contacts.add_copied(table.kinds, table.copy, origin="query"):
                return
        with query(self.sql, conn_id=self.sql_conn_id, parameters=self.parameters) as (columns, rows):
            contacts.add_tuples(columns, rows, origin="query")

    @property
    def suppression_conn_id(self) -> str | None:
        """Connection of the queries in ``suppress``."""
        return self.suppress_conn_id or self.sql_conn_id
