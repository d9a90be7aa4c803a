"""When people are called first, by the clock where they are; and where that is."""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_number
from phonenumbers.tzdata import TIMEZONE_DATA

from airflow_provider_graine.contacts.contact_list import ContactList
from airflow_provider_graine.contacts.local_time import LocalTime, Zones, in_order, stretches
from airflow_provider_graine.contacts.timezones import _COMPLETE, _MENDED, _MISSING, _segments
from airflow_provider_graine.exceptions import ConfigurationError, SourceError

from .conftest import rejects

MORNING = time(9, 30)
NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
ALL_ZONES = sorted(set(TIMEZONE_DATA.values()))


def clocks(start: datetime, zones: Zones) -> list[time]:
    return [start.astimezone(ZoneInfo(zone)).time() for zone in zones]


# -- when -------------------------------------------------------------------------------------------------------------


@given(
    zones=st.sampled_from(ALL_ZONES) | st.lists(st.sampled_from(ALL_ZONES).map(lambda zones: zones[:1]), max_size=1),
    start=st.times(min_value=time(4), max_value=time(20)).map(lambda at: at.replace(microsecond=0)),
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
@settings(max_examples=300, derandomize=True, database=None)
def test_start_lies_ahead_and_in_none_of_the_zones_is_it_earlier(zones: Any, start: time, now: datetime) -> None:
    local_time = LocalTime(start=start)
    zones = zones[0] if isinstance(zones, list) and zones else zones or ("Asia/Kolkata",)
    if not local_time.is_possible(zones, after=now):
        offsets = [NOW.astimezone(ZoneInfo(zone)).utcoffset() or timedelta() for zone in zones]
        most = timedelta(hours=21) - timedelta(hours=start.hour, minutes=start.minute, seconds=start.second)
        assert max(offsets) - min(offsets) >= most - timedelta(hours=1)
        return
    for _ in range(3):
        found = local_time.start_for(zones, after=now)
        assert now < found <= now + timedelta(hours=26)
        assert min(clocks(found, zones)) == start
        now = found


@pytest.mark.parametrize(
    ("at", "zone", "day", "start"),
    [
        (time(2, 30), "America/New_York", date(2026, 3, 8), "07:30"),  # there is no 02:30: 03:30
        (time(1, 30), "America/New_York", date(2026, 11, 1), "06:30"),  # there are two: the second, as it is not over
        (time(9, 30), "Asia/Kathmandu", date(2026, 3, 8), "03:45"),
        (time(9, 30), "Europe/London", date(2026, 3, 28), "09:30"),
        (time(9, 30), "Europe/London", date(2026, 3, 29), "08:30"),
    ],
)
def test_start_on_a_day_of_change(at: time, zone: str, day: date, start: str) -> None:
    found = LocalTime(start=at, on=day).start_for((zone,), after=NOW)
    assert found.isoformat(timespec="minutes") == f"{day}T{start}+00:00"


def test_a_russian_mobile_is_called_when_it_is_morning_in_kaliningrad() -> None:
    starts, contacts = placed(LocalTime(start=MORNING), [{"phone_number": "+79161234567", "callee_name": "A"}])
    contacts.close()
    assert clocks(starts["+79161234567"], ("Europe/Kaliningrad",)) == [time(9, 30)]


@pytest.mark.parametrize(("hour", "reasons"), [(11, {}), (12, {"unknown_timezone": 1})])
def test_nobody_is_called_after_nine_in_the_evening_where_he_may_be(hour: int, reasons: dict[str, int]) -> None:
    """It is ten hours later in Kamchatka than in Kaliningrad."""
    with ContactList(local_time=LocalTime(start=time(hour))) as contacts:
        contacts.add_rows([{"phone_number": "+79161234567", "callee_name": "A"}], origin="test")
        assert contacts.screen(after=NOW.timestamp()).rejected == reasons


def test_neighbours_with_one_start_go_together_and_the_soonest_comes_first() -> None:
    local_time = LocalTime(start=MORNING)
    places = [("Europe/London",), ("Asia/Kolkata",), ("Africa/Lagos",), ("Asia/Colombo",), ("Europe/Lisbon",)]
    order = in_order(places, local_time, after=NOW)
    runs = [(10 * row, 10 * row + 9, zones) for row, zones in enumerate(order)]
    found = stretches(runs, local_time, after=NOW)
    assert [each.last - each.first + 1 for each in found] == [20, 30]
    assert [f"{each.start:%d %H:%M}" for each in found] == ["11 04:00", "11 08:30"]
    assert in_order(places[::-1], local_time, after=NOW + timedelta(days=17, hours=7)) == order


# -- where ------------------------------------------------------------------------------------------------------------


# Beginnings of numbers that the library lists as in one of several zones that they may be in, or in a wrong one.
DOUBTFUL = (
    *(
        f"1{area}"
        for area in (208, 219, 250, 270, 306, 308, 364, 402, 448, 474, 531, 574, 605, 606, 620, 639, 701, 785)
    ),
    *(f"1{area}" for area in (807, 812, 850, 867, 906, 930)),
    *("2999", "52201", "52663", "5567", "5569", "5581", "5592", "5597", "56", "5935"),
    *("617", "6185", "62526", "9765", "9767"),
)


def examples() -> list[str]:
    """A number of each type of each region, and others that begin alike."""
    types = [value for value in vars(phonenumbers.PhoneNumberType).values() if isinstance(value, int)]
    found = {
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in types
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    }
    areas = [f"+1{area}5550{area}" for area in range(201, 990, 7)]
    more = [f"+7{area}5550101" for area in (301, 343, 383, 401, 423, 495, 701, 727, 812, 916, 984)]
    villages = ["+555536820000", "+556734800000", "+556935270000", "+558130130000"]  # told by eight digits
    return sorted(found | set(areas) | set(more) | set(villages))


def placed(local_time: LocalTime, rows: list[dict[str, Any]]) -> tuple[dict[str, datetime], ContactList]:
    contacts = ContactList(local_time=local_time)
    contacts.add_rows(rows, origin="test")
    contacts.screen(after=NOW.timestamp())
    starts = {}
    for chunk in contacts.chunks(50):
        assert chunk.start is not None
        starts.update(dict.fromkeys(chunk.phone_numbers(), chunk.start))
    return starts, contacts


@pytest.mark.parametrize("day", [date(2026, 6, 11), date(2026, 12, 10)])
def test_numbers_are_placed_as_the_library_places_them(day: date) -> None:
    """
    All kinds of all regions; one of which the library says nothing may be anywhere under its calling code.

    Nobody is called sooner than by the library; later, those alone whom it places too boldly.
    """
    local_time = LocalTime(start=MORNING, on=day)
    rows = [{"phone_number": number, "callee_name": "A"} for number in examples()]
    starts, contacts = placed(local_time, rows)
    refused = {row[3]: row[2] for row in rejects(contacts)}
    contacts.close()
    told = 0
    later = set()
    for row in rows:
        parsed = phonenumbers.parse(row["phone_number"])
        zones = time_zones_for_number(parsed)
        if zones == (UNKNOWN_TIMEZONE,):
            zones = TIMEZONE_DATA.get(str(parsed.country_code), ())
        else:
            told += 1
        mended = _MENDED.get(str(parsed.country_code), {})
        zones = tuple(mended.get(zone, zone) for zone in zones)
        number = f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
        if zones and local_time.is_possible(zones, after=NOW):
            if refused.get(row["phone_number"]) not in ("invalid_number", "duplicate"):
                of_library = local_time.start_for(zones, after=NOW)
                if starts[number] != of_library:
                    assert starts[number] > of_library, (number, zones)
                    later.add(number)
        else:
            assert refused[row["phone_number"]] in ("unknown_timezone", "invalid_number", "duplicate"), (number, zones)
    assert told > 1_000
    assert len(starts) > 900
    assert [number for number in later if not number[1:].startswith(DOUBTFUL)] == []
    assert len(later) > 5


def library(prefix: str) -> Zones:
    """What the library has for a prefix, with the zones of neighbours corrected."""
    mended = next((zones for code, zones in _MENDED.items() if prefix.startswith(code)), {})
    return tuple(mended.get(zone, zone) for zone in TIMEZONE_DATA[prefix])


def here(digits: str) -> Zones:
    """Where a number that tells a place is, by what it begins with."""
    segments = _segments()
    found = segments[bisect_right([each.first for each in segments], int(digits.ljust(15, "0"))) - 1].here
    assert found is not None, digits
    return found


def unlisted(prefix: str) -> str | None:
    """Tell how a number goes on that no longer prefix begins."""
    listed = {*TIMEZONE_DATA, *_MISSING}
    for digits in (prefix + "".join(more) for length in (1, 2, 3) for more in product("0123456789", repeat=length)):
        if not any(digits[:length] in listed for length in range(len(prefix) + 1, len(digits) + 1)) and not any(
            other.startswith(digits) for other in listed
        ):
            return digits
    return None


def is_too_early(zones: Zones, at_home: Zones) -> bool:
    for month in range(1, 13):
        local_time = LocalTime(start=MORNING, on=date(2026, month, 20))
        if local_time.start_for(zones, after=NOW) < local_time.start_for(at_home, after=NOW):
            return True
    return False


def test_who_is_on_no_list_of_exceptions_may_be_an_exception() -> None:
    """Those whom a prefix tells and no longer one: it is too early for them in none of the zones of the longer ones."""
    longer: dict[str, set[str]] = {}
    for prefix in {*TIMEZONE_DATA, *_MISSING}:
        zones = {*(library(prefix) if prefix in TIMEZONE_DATA else ()), *_MISSING.get(prefix, ())}
        for length in range(1, len(prefix) + 1):
            longer.setdefault(prefix[:length], set()).update(zones)
    early = set()
    checked = 0
    for prefix in TIMEZONE_DATA:
        at_home = tuple(longer[prefix])
        digits = unlisted(prefix)
        if digits is not None and set(at_home) != set(library(prefix)):
            checked += 1
            if is_too_early(here(digits), at_home):
                early.add(prefix)
    assert early == _COMPLETE  # nor is any exception made that makes no difference
    assert checked > 80


def test_no_zone_of_the_library_is_left_out() -> None:
    checked = 0
    for prefix in TIMEZONE_DATA:
        if (digits := unlisted(prefix)) is not None:
            checked += 1
            missing = {zone for begun, names in _MISSING.items() if prefix.startswith(begun) for zone in names}
            assert {*library(prefix), *missing} <= set(here(digits)), prefix
    assert checked > 3_000


# Where somebody with the number may be, and his morning is the last.
PLACES = [
    ("+61755123456", "Australia/Brisbane"),
    ("+61749123456", "Australia/Brisbane"),
    ("+61740123456", "Australia/Brisbane"),
    ("+61747123456", "Australia/Brisbane"),
    ("+61730300000", "Australia/Brisbane"),
    ("+61851300000", "Australia/Perth"),
    ("+61891234567", "Australia/Perth"),
    ("+12082990123", "America/Los_Angeles"),
    ("+12195990123", "America/Chicago"),
    ("+12505990123", "America/Vancouver"),
    ("+12507850123", "America/Dawson_Creek"),
    ("+12705990123", "America/Chicago"),
    ("+13068250123", "America/Edmonton"),
    ("+13085990123", "America/Denver"),
    ("+13642000123", "America/Chicago"),
    ("+14028230123", "America/Denver"),
    ("+14235990123", "America/Chicago"),
    ("+14482000123", "America/Chicago"),
    ("+14585990123", "America/Los_Angeles"),
    ("+14742000123", "America/Edmonton"),
    ("+14742000123", "America/Regina"),
    ("+15312000123", "America/Denver"),
    ("+15415990123", "America/Los_Angeles"),
    ("+15745990123", "America/Chicago"),
    ("+16055990123", "America/Denver"),
    ("+16065990123", "America/Chicago"),
    ("+16205990123", "America/Denver"),
    ("+16392000123", "America/Edmonton"),
    ("+17015990123", "America/Denver"),
    ("+17018540123", "America/Denver"),
    ("+17855990123", "America/Denver"),
    ("+18075990123", "America/Winnipeg"),
    ("+18125990123", "America/Chicago"),
    ("+18505990123", "America/Chicago"),
    ("+18675990123", "America/Whitehorse"),
    ("+19065990123", "America/Chicago"),
    ("+19075920123", "America/Adak"),
    ("+19285990123", "America/Phoenix"),
    ("+19302000123", "America/Chicago"),
    ("+19315990123", "America/Chicago"),
    ("+19862000123", "America/Los_Angeles"),
    ("+526631234567", "America/Tijuana"),
    ("+556734801234", "America/Campo_Grande"),
    ("+556935271234", "America/Porto_Velho"),
    ("+558131011234", "America/Recife"),
    ("+5581991234567", "America/Recife"),
    ("+559734121234", "America/Eirunepe"),
    ("+56322100123", "Pacific/Easter"),
    ("+56961234567", "Pacific/Easter"),
    ("+59353010123", "Pacific/Galapagos"),
    ("+625262021234", "Asia/Jakarta"),
    ("+97670431234", "Asia/Hovd"),
    ("+97653123456", "Asia/Hovd"),
    ("+522001234567", "America/Tijuana"),
    ("+522011234567", "America/Tijuana"),
    ("+559250091234", "America/Manaus"),
    ("+61851303000", "Indian/Cocos"),
]
# Where everybody with the number is.
MAINLANDS = [
    ("+34912345678", "Europe/Madrid"),
    ("+351212345678", "Europe/Lisbon"),
    ("+523312345678", "America/Mexico_City"),
    ("+522221234567", "America/Mexico_City"),
    ("+555532211234", "America/Sao_Paulo"),
    ("+56221234567", "America/Santiago"),
    ("+61892001234", "Australia/Perth"),
    ("+61212345678", "Australia/Sydney"),
    ("+62411123456", "Asia/Makassar"),
    ("+73432123456", "Asia/Yekaterinburg"),
    ("+12125550123", "America/New_York"),
    ("+14232170123", "America/New_York"),
    ("+61730300000", "Australia/Brisbane"),
]


@pytest.mark.parametrize("day", [date(2026, 7, 15), date(2026, 12, 15)])
def test_nobody_is_called_too_early_by_the_place_of_the_number(day: date) -> None:
    rows = [{"phone_number": number, "callee_name": "A"} for number in dict.fromkeys(number for number, _ in PLACES)]
    starts, contacts = placed(LocalTime(start=MORNING, on=day), rows)
    contacts.close()
    early = [each for each in PLACES if starts[each[0]] < datetime.combine(day, MORNING, tzinfo=ZoneInfo(each[1]))]
    assert early == []


@pytest.mark.parametrize("day", [date(2026, 7, 15), date(2026, 12, 15)])
def test_a_mainland_does_not_wait_for_its_islands(day: date) -> None:
    rows = [{"phone_number": number, "callee_name": "A"} for number, _ in MAINLANDS]
    starts, contacts = placed(LocalTime(start=MORNING, on=day), rows)
    contacts.close()
    assert starts == {number: datetime.combine(day, MORNING, tzinfo=ZoneInfo(zone)) for number, zone in MAINLANDS}


def test_nobody_is_called_too_early_by_the_zones_of_the_country() -> None:
    """A number that tells its country alone, against the zones that the IANA lists for the country, in each month."""
    table = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8").splitlines()
    listed: dict[str, list[str]] = {}
    for region, _, zone, *_ in (line.split("\t") for line in table if not line.startswith("#")):
        if zone != "Asia/Urumqi":  # in use beside the legal time of the whole country
            listed.setdefault(region, []).append(zone)
    anywhere = {each.code: each.anywhere or each.here for each in _segments() if each.code}
    checked = 0
    for code, zones in anywhere.items():
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
        of_country = tuple(zone for region in regions for zone in listed.get(region, []))
        for month in range(1, 13):
            after = datetime(2026, month, 20, tzinfo=UTC)
            local_time = LocalTime(start=MORNING, on=after.date())
            if of_country and zones and local_time.is_possible(zones, after=after):
                checked += 1
                start = local_time.start_for(zones, after=after)
                assert min(clocks(start, of_country)) >= MORNING, (code, month, clocks(start, of_country))
    assert checked > 2_400


ROWS: list[dict[str, Any]] = [
    {"phone_number": "+919876500001", "callee_name": "By number"},
    {"phone_number": "+919876500002", "callee_name": "By column", "tz": "Europe/Paris"},
    {"phone_number": "+919876500003", "callee_name": "Empty", "tz": " "},
    {"phone_number": "+919876500004", "callee_name": "Null", "tz": None},
    {"phone_number": "+919876500005", "callee_name": "Misnamed", "tz": "Europe/Pariss"},
    {"phone_number": "+919876500006", "callee_name": "A number", "tz": 5.5},
    {"phone_number": "+919876500007", "callee_name": "A path", "tz": "../../etc/passwd"},
    {"phone_number": "+18005550108", "callee_name": "Toll-free"},
    {"phone_number": "+18005550109", "callee_name": "Toll-free, told", "tz": "America/Denver"},
    {"phone_number": "+80012345678", "callee_name": "Of no country"},
    {"phone_number": "+919876500005", "callee_name": "Misnamed, again", "tz": " Asia/Tokyo "},
    {"phone_number": "+919876500001", "callee_name": "Twice", "tz": "Asia/Tokyo"},
]


def test_column_comes_before_the_number_and_who_is_nowhere_is_rejected() -> None:
    starts, contacts = placed(LocalTime(start=MORNING, column="tz"), ROWS)
    with contacts:
        assert {number: f"{start:%H:%M}" for number, start in starts.items()} == {
            "+919876500001": "04:00",
            "+919876500002": "07:30",
            "+919876500003": "04:00",
            "+919876500004": "04:00",
            "+919876500005": "00:30",
            "+18005550109": "15:30",
        }
        assert [(row[1], row[2]) for row in rejects(contacts)] == [
            ("5", "invalid_timezone"),
            ("6", "invalid_timezone"),
            ("7", "invalid_timezone"),
            ("8", "unknown_timezone"),
            ("10", "unknown_timezone"),
            ("12", "duplicate"),
        ]
        (sent,) = [json.loads(chunk.contacts) for chunk in contacts.chunks(50) if f"{chunk.start:%H:%M}" == "07:30"]
        assert sent[0]["call_variables"]["tz"] == "Europe/Paris"


def test_default_timezone_is_for_those_of_whom_nothing_tells() -> None:
    local_time = LocalTime(start=MORNING, column="tz", default_timezone="America/New_York")
    starts, contacts = placed(local_time, ROWS)
    contacts.close()
    assert {f"{starts[number]:%H:%M}" for number in ("+18005550108", "+80012345678")} == {"13:30"}
    assert f"{starts['+919876500001']:%H:%M}" == "04:00"


def test_shards_share_the_people_of_all_zones_out_among_themselves() -> None:
    numbers = []
    for index in range(3):
        with ContactList(local_time=LocalTime(start=MORNING, column="tz"), shard=(index, 3)) as contacts:
            contacts.add_rows(ROWS, origin="test")
            screening = contacts.screen(after=NOW.timestamp())
            assert screening.read == screening.accepted + sum(screening.rejected.values()) + screening.elsewhere
            numbers += [number for chunk in contacts.chunks(1) for number in chunk.phone_numbers()]
    assert len(numbers) == len(set(numbers)) == 6


@pytest.mark.parametrize("name", ["timezone", "a/b~c", 'a"b', "número"])
def test_column_of_any_name(tmp_path: Path, name: str) -> None:
    with ContactList(local_time=LocalTime(start=MORNING, column=name)) as contacts:
        contacts.add_tuples(
            ["phone_number", "callee_name", name],
            [["+919876500001", "A", "Asia/Tokyo"], ["+919876500002", "B", ""]],
            origin="query",
        )
        contacts.screen(after=NOW.timestamp())
        assert [f"{chunk.start:%H:%M}" for chunk in contacts.chunks(9)] == ["00:30", "04:00"]


def test_a_source_without_the_column_is_a_wrong_name(tmp_path: Path) -> None:
    with ContactList(local_time=LocalTime(start=MORNING, column="time_zone")) as contacts:
        contacts.add_rows([{"phone_number": "+919876500001", "callee_name": "A", "time_zone": ""}], origin="first")
        contacts.add_tuples(
            ["phone_number", "callee_name", "timezone"], [["+919876500002", "B", "Asia/Tokyo"]], origin="second"
        )
        with pytest.raises(SourceError, match=r'"second" has no column "time_zone".*Did you mean "timezone"'):
            contacts.screen()
    for column in ("phone_number", "callee_name"):
        with pytest.raises(ConfigurationError, match="timezone_column"):
            ContactList(local_time=LocalTime(start=MORNING, column=column))
