"""
The time zones that people of a list may be in: by a column, else by their numbers.

Of numbers the verdict is that of :mod:`phonenumbers.timezone`, told in bulk: its map of prefixes and its types of
numbers, in SQL. A number that belongs to no place (a mobile of most countries, a toll-free one) may be anywhere under
its calling code. So may one of a range that is not assigned, which the library does not place at all.

Where the library has the zone of a neighbour, whose clocks are ahead for some or all of the year, people would be
called too early; there it is corrected. Nor is it taken at its word where it gives a beginning one zone and lists
longer ones of another: it lists places of landlines, and not all of them. Who is not listed may be in either.
"""

# ruff: noqa: S608 -- all names in the SQL are our own or quoted by literal()

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_provider_graine.contacts.database import blank_sql, literal, text_batches, with_room
from airflow_provider_graine.contacts.e164 import E164_MAX_DIGITS, calling_codes, codes_in, is_geographic_sql
from airflow_provider_graine.contacts.files import missing_column
from airflow_provider_graine.contacts.local_time import LocalTime, Run, Zones, in_order, is_time_zone
from airflow_provider_graine.exceptions import SourceError

if TYPE_CHECKING:
    from datetime import datetime

    from duckdb import DuckDBPyConnection

UNKNOWN: Final = "unknown"
_NONE: Final = -1  # not NULL: an ASOF join of few rows takes the last value before it, in some versions of DuckDB
INVALID: Final = "invalid"

#: By calling code: the library's zone, and the one in force.
_MENDED: Final = {
    "7": {"Europe/Bucharest": "Europe/Kaliningrad"},
    "211": {"Africa/Nairobi": "Africa/Juba"},
    "212": {"Atlantic/Canary": "Africa/Casablanca"},
    "213": {"Europe/Paris": "Africa/Algiers"},
    "218": {"Europe/Bucharest": "Africa/Tripoli"},
    "505": {"America/Chicago": "America/Managua"},
}
#: By prefix: zones that the library leaves out, of all numbers that begin so.
_MISSING: Final = {
    "1250": ("America/Fort_Nelson",),  # the library: Edmonton; Peace River and Creston leave their clocks alone
    "1306": ("America/Edmonton",),  # Lloydminster
    "1364": ("America/Chicago",),  # as 270
    "1402": ("America/Denver",),  # the west of Cherry County, Nebraska
    "1448": ("America/Chicago",),  # as 850
    "1474": ("America/Edmonton", "America/Regina"),  # as 306
    "1531": ("America/Denver",),  # as 402
    "1639": ("America/Edmonton",),  # as 306
    "1701854": ("America/Denver",),  # Fort Yates
    "1930": ("America/Chicago",),  # as 812
    "52201": ("America/Tijuana",),  # belongs to no place, as 200
    "52663": ("America/Tijuana",),  # as 664
    "5567": ("America/Manaus",),  # the library: a village in the zone of Sao Paulo
    "5569": ("America/Manaus",),  # as 67
    "5581": ("America/Sao_Paulo",),  # the library: all of Recife on an island out in the Atlantic
    "5592": ("America/Manaus",),  # as 67
    "5597": ("America/Rio_Branco",),  # Tabatinga
    "563": ("Pacific/Easter",),
    "569": ("Pacific/Easter",),  # mobiles, which the library takes for landlines
    "61851": ("Indian/Cocos",),  # the library: some in Sydney; Western Australia shares them with the islands
    "62526": ("Asia/Jakarta",),  # Tamiang Layang
    "9765": ("Asia/Hovd",),  # landlines all over the country
    "9767": ("Asia/Hovd",),  # as 5
}
#: Prefixes of which those without a longer one are nowhere else, though longer ones have zones that are behind: all of
#: these are listed, or are no places. Else a whole mainland would wait for an island.
_COMPLETE: Final = frozenset(
    {
        "1907",  # Unalaska is listed as in Hawaii; nowhere in Alaska it is later than on Adak
        "348",  # area codes are of a province: all those of the Canary Islands are listed
        "349",
        "3512",  # area codes are of one side of the sea: all those of the Azores are listed
        "522",  # area codes are of places in one zone; what belongs to no place is listed
        "523",
        "5264",
        "5555",  # Rio Grande do Sul; what is listed is no place
        "559",  # the west of Amazonas is 5597
        "6189",  # Christmas Island and the Cocos Islands are listed, by exchange
        "6237",  # islands in one zone, from here on: what is listed besides is no place further west
        "624",
        "6291",
        "6292",
        "734",  # area codes are of a region: that of Udmurtia is listed
    }
)


class _Segment(NamedTuple):
    """
    Numbers that begin alike.

    :param first: the first of them, with zeros behind it
    :param code: their calling code
    :param here: the zones of those whose beginning tells a place
    :param anywhere: those of the others, where that makes a difference
    """

    first: int
    code: str
    here: Zones | None
    anywhere: Zones | None


def find_zones(db: DuckDBPyConnection, local_time: LocalTime, *, after: datetime) -> list[Zones]:
    """
    Tell where those of the table ``checked(ordinal, digits, reason)`` are who have no reason not to be called.

    Into the table ``zoned(ordinal, zones, lack)``: the number of their zones, or why they have none.

    :param db: the database of the list, with the numbers read
    :param local_time: when they are to be called
    :param after: the soonest moment at which that can be
    :return: the zones, by their numbers
    :raises SourceError: a source has no column of zones
    """
    known: dict[Zones, int] = {}
    _place_numbers(db, known)
    if local_time.column is not None:
        _read_column(db, local_time.column, known)
    default = _number((local_time.default_timezone,) if local_time.default_timezone else None, known)
    zones = list(known)
    used = db.execute("SELECT DISTINCT zones FROM placed WHERE zones IS NOT NULL").fetchall()
    possible = [number for (number,) in used if local_time.is_possible(zones[number], after=after)]
    db.execute(
        f"""
        CREATE TABLE zoned AS
        SELECT ordinal, coalesce(possible.zones, $default) AS zones,
               CASE WHEN is_misnamed THEN '{INVALID}'
                    WHEN coalesce(possible.zones, $default) IS NULL THEN '{UNKNOWN}' END AS lack
        FROM placed LEFT JOIN (SELECT unnest($possible::INTEGER[]) AS zones) AS possible USING (zones)
        """,
        {"default": default, "possible": possible},
    )
    db.execute("DROP TABLE placed")
    return zones


def arrange(db: DuckDBPyConnection, zones: list[Zones], local_time: LocalTime, *, after: datetime) -> list[Run]:
    """
    Put the accepted into the order in which they are called; among those of the same zones it is that of the list.

    The tables ``accepted(ordinal, digits)`` and ``said(ordinal, variables)`` have that order then.

    :param db: a screened database, with the table ``zoned``
    :param zones: the zones, by their numbers
    :param local_time: when people are called
    :param after: the soonest moment at which that can be
    :return: the list, by zones
    """
    used = db.execute("SELECT DISTINCT zones FROM accepted JOIN zoned USING (ordinal)").fetchall()
    ranks = {each: rank for rank, each in enumerate(in_order((zones[n] for (n,) in used), local_time, after=after))}
    numbers = [number for (number,) in used]
    with_room(
        db,
        lambda: db.execute(
            """
            CREATE TABLE arranged AS
            SELECT digits, zones, variables
            FROM accepted
            JOIN zoned USING (ordinal)
            JOIN (SELECT unnest($zones::INTEGER[]) AS zones, unnest($ranks::INTEGER[]) AS rank) USING (zones)
            JOIN contacts USING (ordinal)
            ORDER BY rank, ordinal
            """,
            {"zones": numbers, "ranks": [ranks[zones[number]] for number in numbers]},
        ),
    )
    db.execute("""
        CREATE OR REPLACE TABLE accepted AS SELECT rowid AS ordinal, digits FROM arranged;
        CREATE OR REPLACE VIEW said AS SELECT rowid AS ordinal, variables FROM arranged;
        DROP TABLE zoned;
    """)
    runs = db.execute("SELECT min(rowid), max(rowid), zones FROM arranged GROUP BY zones ORDER BY 1").fetchall()
    return [(first, last, zones[number]) for first, last, number in runs]


def _number(zones: Zones | None, known: dict[Zones, int], nothing: int | None = None) -> int | None:
    return nothing if zones is None else known.setdefault(zones, len(known))


# -- by the number ----------------------------------------------------------------------------------------------------


def _place_numbers(db: DuckDBPyConnection, known: dict[Zones, int]) -> None:
    """Into the table ``placed(ordinal, zones, is_misnamed)``."""
    segments = _segments()
    doubtful = {segment.code for segment in segments if segment.anywhere is not None}
    used = codes_in(db, "(SELECT '+' || digits AS number FROM checked WHERE reason IS NULL)", at_least=1)
    is_geographic = is_geographic_sql("number", [code for code in used if code in doubtful])
    db.execute(
        f"""
        CREATE TABLE placed AS
        SELECT ordinal, false AS is_misnamed,
               CASE WHEN anywhere <> {_NONE} AND NOT {is_geographic} THEN anywhere
                    ELSE nullif(here, {_NONE}) END AS zones
        FROM (
            SELECT ordinal, CAST(digits AS VARCHAR) AS number,
                   CAST(rpad(CAST(digits AS VARCHAR), {E164_MAX_DIGITS}, '0') AS BIGINT) AS long
            FROM checked WHERE reason IS NULL
        )
        ASOF JOIN (
            SELECT unnest($first::BIGINT[]) AS first, unnest($here::INTEGER[]) AS here,
                   unnest($anywhere::INTEGER[]) AS anywhere
        ) ON long >= first
        """,
        {
            "first": [segment.first for segment in segments],
            "here": [_number(segment.here, known, _NONE) for segment in segments],
            "anywhere": [_number(segment.anywhere, known, _NONE) for segment in segments],
        },
    )


@cache
def _segments() -> tuple[_Segment, ...]:
    """Read the library's map, as corrected; of several prefixes of a number the longest counts."""
    from phonenumbers.tzdata import TIMEZONE_DATA

    told = _told()
    longest = max(map(len, told))
    codes = frozenset(calling_codes())
    borders = {0}
    for prefix in told:
        width = 10 ** (E164_MAX_DIGITS - len(prefix))
        borders |= {int(prefix) * width, (int(prefix) + 1) * width}
    segments = []
    for first in sorted(borders):
        beginnings = [str(first)[:length] for length in range(longest, 0, -1)]
        code = next((each for each in beginnings if each in codes), "")
        here = next((told[each] for each in beginnings if each in told), None)
        anywhere = told[code] if code in TIMEZONE_DATA else None
        segments.append(_Segment(first, code, here, anywhere if anywhere != here else None))
    return tuple(segments)


def _told() -> dict[str, Zones]:
    """By prefix: where those are who have no longer one."""
    from phonenumbers.tzdata import TIMEZONE_DATA

    codes = frozenset(calling_codes())
    own: dict[str, set[str]] = {}
    for prefix in {*TIMEZONE_DATA, *_MISSING}:
        beginnings = [prefix[:length] for length in range(len(prefix), 0, -1)]
        mended = _MENDED.get(next((each for each in beginnings if each in codes), ""), {})
        listed = next((TIMEZONE_DATA[each] for each in beginnings if each in TIMEZONE_DATA), ())
        missing = (zone for each in beginnings for zone in _MISSING.get(each, ()))
        own[prefix] = {*(mended.get(zone, zone) for zone in listed), *missing}
    told = {prefix: set(zones) for prefix, zones in own.items()}
    for prefix, zones in own.items():
        for beginning in (prefix[:length] for length in range(1, len(prefix))):
            if beginning in told and beginning not in _COMPLETE:
                told[beginning] |= zones
    return {prefix: tuple(sorted(zones)) for prefix, zones in told.items()}


# -- by a column ------------------------------------------------------------------------------------------------------


def _read_column(db: DuckDBPyConnection, column: str, known: dict[Zones, int]) -> None:
    """Let what the column says take the place of what the number tells."""
    pointer = literal("/" + column.replace("~", "~0").replace("/", "~1"))
    db.execute(f"""
        CREATE TABLE named AS
        SELECT ordinal, text FROM (
            SELECT ordinal, variables ->> {pointer} AS text
            FROM contacts JOIN placed USING (ordinal)
        ) WHERE NOT {blank_sql("text")};
        CREATE TABLE names AS SELECT DISTINCT text FROM named;
        CREATE TABLE meanings (text VARCHAR, zones INTEGER);
    """)
    _require(db, column, pointer)
    for names in text_batches(db, "names", "text", where="true"):
        good = [name for name in names if is_time_zone(name.strip())]
        db.execute(
            "INSERT INTO meanings SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[])",
            [good, [_number((name.strip(),), known) for name in good]],
        )
    db.execute("""
        CREATE TABLE told AS
        SELECT ordinal, text IS NOT NULL AND meanings.zones IS NULL AS is_misnamed,
               CASE WHEN text IS NULL THEN placed.zones ELSE meanings.zones END AS zones
        FROM placed LEFT JOIN named USING (ordinal) LEFT JOIN meanings USING (text);
        DROP TABLE named;
        DROP TABLE names;
        DROP TABLE meanings;
        DROP TABLE placed;
        ALTER TABLE told RENAME TO placed;
    """)


def _require(db: DuckDBPyConnection, column: str, pointer: str) -> None:
    """A column that is in no row of a source is a wrong name, not a list of people whose numbers are to tell."""
    of_sources = "ASOF JOIN sources ON ordinal >= first_ordinal"
    doubtful = f"""
        FROM contacts {of_sources}
        WHERE contacts.named IS NOT NULL AND first_ordinal NOT IN (SELECT first_ordinal FROM named {of_sources})
    """
    lacking = db.execute(
        f"SELECT first_ordinal, origin {doubtful} GROUP BY ALL HAVING NOT bool_or(json_exists(variables, {pointer}))"
    ).fetchone()
    if lacking is None:
        return
    keys = db.execute(
        f"SELECT DISTINCT unnest(json_keys(variables)) {doubtful} AND first_ordinal = ?", [lacking[0]]
    ).fetchall()
    raise SourceError(missing_column(column, "timezone_column", [key for (key,) in keys], lacking[1]))
