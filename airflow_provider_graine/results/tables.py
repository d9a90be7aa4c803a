"""
Many files of rows made into one table, by name of the columns, in the order in which those first appear.

DuckDB reads files and writes a file, so that memory stays bounded.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

from airflow_provider_graine.exceptions import ConfigurationError, LandingError
from airflow_provider_graine.results.csv_header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_MEMORY: Final = "256MB"
_LONGEST_ROW: Final = 8 * 2**20  # bytes; readers hold buffers of a multiple of it
_ROW_GROUP: Final = 20_480  # rows; rows with transcripts are long, and a writer holds some groups
_TYPE: Final = re.compile(r"[A-Za-z][\w ]*(\(\d+(, ?\d+)?\))?", re.ASCII)
_OPTIONS: Final = {
    "csv": "FORMAT csv, HEADER",
    "parquet": f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}",
}


def ensure_types(column_types: Mapping[str, str]) -> None:
    """
    Look whether DuckDB knows the types, before anything is fetched for them.

    :param column_types: column to type
    :raises ConfigurationError: if it does not know one
    """
    for column, name in column_types.items():
        if not isinstance(name, str) or not _TYPE.fullmatch(name) or not _is_known(name):
            raise ConfigurationError(
                f'column_types gives "{column}" a type which DuckDB does not know. Nothing was '
                'downloaded; write it like "BIGINT", "DOUBLE" or "TIMESTAMP WITH TIME ZONE".'
            )


def _is_known(type_name: str) -> bool:
    import duckdb

    with duckdb.connect() as db:
        try:
            db.execute(f"SELECT CAST(NULL AS {type_name})")
        except duckdb.Error:
            return False
    return True


def write_table(
    paths: Sequence[Path],
    target: Path,
    *,
    source: Literal["csv", "jsonl"],
    format: Literal["csv", "parquet"],
    column_types: Mapping[str, str] | None = None,
) -> int:
    """
    Make one table of many files.

    :param paths: the files, in the order of the rows
    :param target: the file to write; what does not fit into memory goes beside it
    :param source: what the files are
    :param format: what is written; an empty value is NULL in Parquet
    :param column_types: column to DuckDB type, for those that are not to be text
    :return: number of its rows
    :raises LandingError: if the files are no tables, or a value does not fit its type
    :raises ConfigurationError: if there is no column of a name in ``column_types``
    """
    import duckdb

    types = column_types or {}
    failure = ""
    with _database(target) as db:
        try:
            relation = _csv(paths) if source == "csv" else _json_lines(paths)
            columns = [str(row[0]) for row in db.execute(f"DESCRIBE {relation}").fetchall()]
            _ensure_columns(columns, types)
            selected = ", ".join(_typed(name, types.get(name)) for name in columns)
            db.execute(f"COPY (SELECT {selected} FROM ({relation})) TO {_literal(str(target))} ({_OPTIONS[format]})")
            (rows,) = db.fetchone() or (0,)
            return int(rows)
        except duckdb.ConversionException:
            failure = "A value does not fit the type that column_types gives its column. Nothing was landed."
        except duckdb.Error as error:
            failure = (
                f"The results cannot be read as a table ({type(error).__name__}). Nothing was landed; land them as "
                "they come."
            )
    raise LandingError(failure)  # outside of the except: DuckDB's own text quotes rows


def _database(target: Path) -> DuckDBPyConnection:
    import duckdb

    db = duckdb.connect(
        config={
            "memory_limit": _MEMORY,
            "threads": "2",
            "temp_directory": str(target.with_suffix(".spill")),
            "preserve_insertion_order": "true",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    db.execute("SET enable_progress_bar = false")  # it would write to the task's standard output
    return db


def _csv(paths: Sequence[Path]) -> str:
    files = [(header, path) for path in paths if (header := read_header(path))]
    if not files:
        raise LandingError("The results have no header, so no table can be made of them. Nothing was landed.")
    relations = []
    for _, alike in groupby(files, key=lambda file: file[0].record):
        several = list(alike)
        header = several[0][0]
        columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in header.columns)
        relations.append(
            f"SELECT * FROM read_csv({_list(path for _, path in several)}, columns={{{columns}}}, auto_detect=false, "
            f"header=true, delim={_literal(header.delimiter)}, quote='\"', escape='\"', strict_mode=true, "
            f"max_line_size={_LONGEST_ROW}, buffer_size={2 * _LONGEST_ROW})"
        )
    return " UNION ALL BY NAME ".join(relations)


def _json_lines(paths: Sequence[Path]) -> str:
    return (
        f"SELECT COLUMNS(*) ->> '$' FROM read_json({_list(paths)}, format='newline_delimited', maximum_depth=1, "
        f"sample_size=-1, union_by_name=true, maximum_object_size={_LONGEST_ROW})"
    )


def _ensure_columns(columns: Sequence[str], column_types: Mapping[str, str]) -> None:
    if missing := [name for name in column_types if name not in columns]:
        raise ConfigurationError(
            f"column_types names {', '.join(map(repr, missing))}, and the results have no such column. Nothing was "
            "landed; write names as in the header, upper and lower case included."
        )


def _typed(name: str, type_name: str | None) -> str:
    column = _identifier(name)
    return column if type_name is None else f"CAST({column} AS {type_name}) AS {column}"


def _list(paths: Iterable[Path]) -> str:
    return "[" + ", ".join(_literal(str(path)) for path in paths) + "]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
