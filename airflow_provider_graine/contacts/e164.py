"""
Numbers that are E.164 as they are written, told in bulk: in SQL, from the metadata of the phonenumbers library.

The verdict is the library's own. Where the library would do more than compare (take a national prefix off), nothing is
said in SQL and the library is asked.
"""

# ruff: noqa: S608 -- all that is put into the SQL is metadata of the library, quoted by literal()

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_graine.contacts.database import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from duckdb import DuckDBPyConnection


NumberCheck = Literal["possible", "valid"]

E164_MAX_DIGITS = 15

# In the order in which the library asks for them: the first that matches is the type.
_OF_NO_PLACE = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
_TYPES = (*_OF_NO_PLACE, "fixed_line", "mobile")
# What a person may write between the digits; ".0" at the end is a number that once was a float.
_SPELLED = r"\+[0-9 ().\-]{0,60}[0-9]"
_FLOAT_TAIL = r"\.0+$"
_LONGEST_CODE = 3
_WORTHWHILE = 1_000


def squeezed_sql(raw: str) -> str:
    """
    :param raw: SQL expression of a number as written
    :return: SQL expression: plus sign and digits alone where it is written with nothing else but blanks, hyphens, dots
        and parentheses, else NULL
    """
    return (
        f"CASE WHEN regexp_full_match({raw}, '\\+[0-9]+') THEN {raw} "
        f"WHEN regexp_full_match({raw}, {literal(_SPELLED)}) AND NOT regexp_matches({raw}, {literal(_FLOAT_TAIL)}) "
        f"THEN '+' || regexp_replace({raw}, '[^0-9]', '', 'g') END"
    )


def codes_in(db: DuckDBPyConnection, numbers: str, *, at_least: int = _WORTHWHILE) -> list[str]:
    """
    Count calling codes.

    :param db: the database
    :param numbers: SQL of a relation with a column ``number``
    :param at_least: how many numbers have to begin with a code for it to count; the library reads a few sooner than
        DuckDB gets ready for them
    :return: the calling codes with which numbers in it begin
    """
    beginnings = db.execute(
        f"SELECT substr(number, 2, {_LONGEST_CODE}), count(*) FROM {numbers} WHERE number[1] = '+' GROUP BY ALL"
    ).fetchall()
    found = {code: sum(n for digits, n in beginnings if digits.startswith(code)) for code in calling_codes()}
    return [code for code, n in found.items() if n >= at_least]


@cache
def calling_codes() -> tuple[str, ...]:
    """:return: all calling codes; none begins like another"""
    import phonenumbers

    return tuple(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


def is_e164_sql(number: str, codes: Iterable[str], check: NumberCheck) -> str:
    """
    :param number: SQL expression of a number of nothing but a plus sign and digits
    :param codes: calling codes that are to be known
    :param check: how much has to be right
    :return: SQL condition: the library reads the number as it stands and accepts it; false where only it can tell
    """
    cases = [
        f"WHEN starts_with({number}, '+{code}') THEN {condition}"
        for code in codes
        if (condition := _code_sql(f"substr({number}, {len(code) + 2})", int(code), check))
    ]
    return f"CASE {' '.join(cases)} ELSE false END" if cases else "false"


def is_geographic_sql(number: str, codes: Iterable[str]) -> str:
    """
    :param number: SQL expression of the digits of an E.164 number
    :param codes: calling codes that are to be known
    :return: SQL condition: the library says that the beginning of the number tells where it is
    """
    cases = [
        f"WHEN starts_with({number}, '{code}') THEN "
        f"{_by_region_sql(f'substr({number}, {len(code) + 1})', _metadata(int(code)), _place_sql)}"
        for code in codes
    ]
    return f"CASE {' '.join(cases)} ELSE false END" if cases else "false"


def _code_sql(national: str, code: int, check: NumberCheck) -> str | None:
    metadata = _metadata(code)
    main = metadata[0]
    if main.general_desc is None:
        return None
    most = E164_MAX_DIGITS - len(str(code))
    lengths = [length for length in main.general_desc.possible_length if 1 < length <= most]
    if not lengths:
        return None
    conditions = [f"strlen({national}) IN ({', '.join(map(str, lengths))})"]
    if main.national_prefix_for_parsing:
        taken_off = f"regexp_extract({national}, {literal(f'^(?:{main.national_prefix_for_parsing})')})"
        conditions.append(f"{taken_off} = ''")  # of some regions the pattern matches nothing as well
    if check == "valid":
        conditions.append(_by_region_sql(national, metadata, _type_sql))
    return " AND ".join(conditions)


def _metadata(code: int) -> list[Any]:
    """Of the regions that share a calling code, in the library's order; the first has the rules for reading."""
    import phonenumbers
    from phonenumbers.phonemetadata import PhoneMetadata

    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    return [PhoneMetadata.metadata_for_region_or_calling_code(code, region) for region in regions]


def _by_region_sql(national: str, metadata: list[Any], say: Callable[[str, Any], str]) -> str:
    """As the library does it: the first region that claims the number has the say."""
    if len(metadata) == 1:
        return say(national, metadata[0])
    cases = []
    for region in metadata:
        if region.leading_digits is None:
            cases.append(f"WHEN {_type_sql(national, region)} THEN {say(national, region)}")
        else:
            claims = f"regexp_matches({national}, {literal(f'^(?:{region.leading_digits})')})"
            cases.append(f"WHEN {claims} THEN {say(national, region)}")
    return f"CASE {' '.join(cases)} ELSE false END"


def _type_sql(national: str, region: Any) -> str:
    """Whether the number is of any type that the region has."""
    return _is_one_of_sql(national, region, _TYPES)


def _place_sql(national: str, region: Any) -> str:
    """Whether the number is of a type that belongs to a place."""
    import phonenumbers

    is_placed = phonenumbers.is_number_type_geographical(phonenumbers.PhoneNumberType.MOBILE, region.country_code)
    placed = _is_one_of_sql(national, region, ("fixed_line", "mobile") if is_placed else ("fixed_line",))
    return f"({placed} AND NOT {_is_one_of_sql(national, region, _OF_NO_PLACE)})"


def _is_one_of_sql(national: str, region: Any, types: Iterable[str]) -> str:
    patterns: dict[tuple[int, ...], list[str]] = {}
    for desc in (getattr(region, name) for name in types):
        if desc is not None and desc.national_number_pattern:
            patterns.setdefault(tuple(desc.possible_length), []).append(desc.national_number_pattern)
    matches = [_match_sql(national, lengths, "|".join(several)) for lengths, several in patterns.items()]
    general = region.general_desc
    if not matches or not general.national_number_pattern:
        return "false"
    matches_general = _match_sql(national, tuple(general.possible_length), general.national_number_pattern)
    return f"({matches_general} AND ({' OR '.join(matches)}))"


def _match_sql(national: str, lengths: tuple[int, ...], pattern: str) -> str:
    matches = f"regexp_full_match({national}, {literal(f'(?:{pattern})')})"
    return f"(strlen({national}) IN ({', '.join(map(str, lengths))}) AND {matches})" if lengths else matches
