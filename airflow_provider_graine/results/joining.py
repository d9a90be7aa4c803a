"""Many files of rows put together byte by byte: each file as it came, the header once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from airflow_provider_graine.results.csv_header import read_header
from airflow_provider_graine.results.spool import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airflow_provider_graine.results.csv_header import CsvHeader


def joined_lines(paths: Sequence[Path]) -> Iterator[bytes]:
    """
    Put files together whose last lines have ends.

    :param paths: the files, in the order of the rows
    """
    return chain.from_iterable(blocks_of(path) for path in paths)


def joined_csv(paths: Sequence[Path]) -> Iterator[bytes] | None:
    """
    Put CSV files together that have one and the same header.

    :param paths: the files, in the order of the rows
    :return: the bytes of the one file; ``None`` where the headers are not the same
    """
    headers = [read_header(path) for path in paths]
    if len({header.record for header in headers if header}) > 1:
        return None
    return _joined([(path, header) for path, header in zip(paths, headers, strict=True) if header])


def _joined(files: Sequence[tuple[Path, CsvHeader]]) -> Iterator[bytes]:
    last = b""
    for path, header in files:
        between = header.line_end if last and not last.endswith(b"\n") else b""
        for block in blocks_of(path, start=header.size if last else 0):
            yield between + block
            between, last = b"", block
