"""CSV that a spreadsheet does not take for formulas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from airflow_provider_graine.results.csv_rows import read_rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What begins a formula, their full-width forms included, also after blanks and quotes; and control characters, which
#: spreadsheets pass over. After https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = re.compile(r"[\s\"'\u200b\ufeff\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\"']*[\t\r\n]")


def spreadsheet_safe(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """
    Put an apostrophe before each value of a CSV file that a spreadsheet could take for a formula, as it does with text.

    Whoever reads the file takes it off again where what follows begins like a formula: every value then is as it was.

    :param blocks: the file, cut anywhere
    :return: the file, written anew
    :raises LandingError: if it is no CSV
    """
    header, rows = read_rows(blocks)
    if header is None:
        return
    formula = _FORMULA.match
    yield from write_rows(([f"'{value}" if formula(value) else value for value in row] for row in rows), header)
