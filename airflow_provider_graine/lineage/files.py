"""Files in object stores, named as everybody else names them."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from airflow_provider_graine.lineage.data import MOST, Data

_WILDCARDS: Final = frozenset("*[?")
#: Stores that have more than one name.
_ALIASES: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": "file"}
_OF_THE_WEB: Final = {"http", "https"}
#: Everything in a key but what would end the path of a URI, and what quotes it.
_AS_IT_IS: Final = "".join(chr(each) for each in range(32, 127) if chr(each) not in "?#%")


def file_uri(path: str) -> str:
    """
    Name a file.

    :param path: as ``ObjectStoragePath`` takes it
    :return: its URI without connection id and credentials, the same wherever the path comes from
    """
    scheme, mark, rest = path.partition("://")
    if not mark:
        scheme, rest = "file", path.removeprefix("file:")
    scheme = _ALIASES.get(scheme.lower(), scheme.lower())
    if scheme == "file":
        return f"file://{quote(os.path.abspath(rest), safe=_AS_IT_IS)}"
    store, slash, key = rest.partition("/")
    store = store.rpartition("@")[2]  # the connection's id, or a user
    if scheme in _OF_THE_WEB:  # in the query may be a signature
        return f"{scheme}://{store}{urlsplit(slash + key).path}"
    return f"{scheme}://{store}{quote((slash + key).rstrip('/'), safe=_AS_IT_IS)}"


def read_files(paths: str | Sequence[str] | None) -> list[Data]:
    """
    Name what is read of one or more paths, of very many the first; of a pattern, the folder: what matches changes.

    :param paths: as the operators take them
    """
    given = [paths] if isinstance(paths, str) else paths or ()
    uris = dict.fromkeys(file_uri(_without_pattern(path)) for path in given)
    return [Data(uri=uri) for uri in uris][:MOST]


def _without_pattern(path: str) -> str:
    start = 0 if "://" not in path else path.index("://") + 3
    wildcard = next((index for index in range(start, len(path)) if path[index] in _WILDCARDS), None)
    if wildcard is None or path.lower().startswith(tuple(f"{scheme}://" for scheme in _OF_THE_WEB)):
        return path
    return path[: max(start, path.rfind("/", start, wildcard) + 1)] or "."
