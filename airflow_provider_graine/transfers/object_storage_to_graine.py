"""From files in object storage onto Graine batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.operators.graine_upload import GraineUploadOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList


class ObjectStorageToGraineOperator(GraineUploadOperator):
    """
    Have the people in one or more files called by Graine.

    CSV (a header line, comma-separated, UTF-8), JSON lines and Parquet, the first two also compressed, in any store
    that Airflow's ``ObjectStoragePath`` reaches. Everything else is as in
    :class:`~airflow_provider_graine.operators.graine_upload.GraineUploadOperator`, whose arguments this operator takes.

    :param path: a path or a list of them, such as ``s3://conn_id@bucket/people/*.csv.gz``, each with or without
        wildcards (templated). Wildcards that match nothing fail: a missing file is not an empty list
    :param path_conn_id: connection of the store (templated); default: the one in the path
    :param file_format: ``"csv"``, ``"jsonl"`` or ``"parquet"``; default: by the file's name
    :param delimiter: what separates the columns of a CSV file; default a comma
    """

    template_fields: Sequence[str] = (*GraineUploadOperator.template_fields, "path", "path_conn_id")

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
