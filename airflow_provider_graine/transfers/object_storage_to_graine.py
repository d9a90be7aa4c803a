"""From files in object storage onto Graine batches."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_graine.operators.graine_upload import GraineUploadOperator
from airflow_provider_graine.transfers.lists import FromObjectStorage


class ObjectStorageToGraineOperator(FromObjectStorage, GraineUploadOperator):
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

    template_fields: Sequence[str] = (*GraineUploadOperator.template_fields, *FromObjectStorage.own_template_fields)
