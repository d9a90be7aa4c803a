"""The file of contacts that a campaign is created from."""

from __future__ import annotations

import csv
import io
import re

NUMBER = re.compile(r"\+\d{7,15}")
COLUMN = "phone_number"


def read(content: bytes, *, bad_rows: str) -> list[tuple[str, dict[str, str]]]:
    """
    :param content: the file
    :param bad_rows: as in the settings
    :return: phone number and custom fields of each contact
    :raises ValueError: it is no such file
    """
    try:
        lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        header = next(lines, [])
        if COLUMN not in header or len(set(header)) < len(header):
            raise ValueError("no column phone_number, or two of the same name")
        contacts = []
        for row in filter(None, lines):
            fields = dict(zip(header, row, strict=False))
            number = fields.pop(COLUMN, "")
            is_whole = len(row) == len(header)
            if is_whole and (bad_rows == "dial" or NUMBER.fullmatch(number)):
                contacts.append((number, fields))
            elif bad_rows == "refuse":
                raise ValueError("a row that is of no use")
    except csv.Error as wrong:
        raise ValueError("no CSV") from wrong
    return contacts
