"""Where the lists of the transfers come from: a database query or files, for whatever service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_graine.operators.list_upload import ListUpload

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList


class FromSql(ListUpload):
    """
    Reads the list with a query; goes before the service's upload operator in the bases.

    The rows are streamed, through a server-side cursor where the database has one.

    :param sql: one ``SELECT``, or the path of a ``.sql`` file (templated)
    :param sql_conn_id: connection of any database with a ``DbApiHook`` (templated); also that of the queries in
        ``suppress``, unless ``suppress_conn_id`` is given
    :param parameters: parameters of the query, in the style of the database's driver (templated)
    """

    own_template_fields: ClassVar[tuple[str, ...]] = ("sql", "sql_conn_id", "parameters")
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

    def _sources(self) -> tuple[list[str], list[tuple[str, str]]]:
        return [], [(self.sql, self.sql_conn_id)]

    @property
    def suppression_conn_id(self) -> str | None:
        """Connection of the queries in ``suppress``."""
        return self.suppress_conn_id or self.sql_conn_id


class FromObjectStorage(ListUpload):
    """
    Reads the list from one or more files; goes before the service's upload operator in the bases.

    CSV (a header line, comma-separated, UTF-8), JSON lines and Parquet, the first two also compressed, in any store
    that Airflow's ``ObjectStoragePath`` reaches.

    :param path: a path or a list of them, such as ``s3://conn_id@bucket/people/*.csv.gz``, each with or without
        wildcards (templated). Wildcards that match nothing fail: a missing file is not an empty list
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param file_format: ``"csv"``, ``"jsonl"`` or ``"parquet"``; default: by the file's name
    :param delimiter: what separates the columns of a CSV file; default a comma
    """

    own_template_fields: ClassVar[tuple[str, ...]] = ("path", "path_conn_id")

    def __init__(
        self,
        *,
        path: str | Sequence[str],
        path_conn_id: str | None = None,
        file_format: Literal["csv", "jsonl", "parquet"] | None = None,
        delimiter: str = ",",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.path_conn_id = path_conn_id
        self.file_format = file_format
        self.delimiter = delimiter

    def load(self, contacts: ContactList, context: Context) -> None:
        """Read the files into the list, one after the other."""
        from airflow_provider_graine.sources.files import local_files

        for group in local_files(self.path, conn_id=self.path_conn_id):
            contacts.add_files(group, format=self.file_format, delimiter=self.delimiter)

    def _sources(self) -> tuple[list[str], list[tuple[str, str]]]:
        return [self.path] if isinstance(self.path, str) else list(self.path), []
