"""When people are called first, by the clock where they are; and where that is."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
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
from airflow_provider_graine.contacts.timezones import _MENDED, _segments
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


CHILE = 56  # its island is missing


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


def test_numbers_are_placed_as_the_library_places_them() -> None:
    """All kinds of all regions; one of which the library says nothing may be anywhere under its calling code."""
    local_time = LocalTime(start=MORNING)
    rows = [{"phone_number": number, "callee_name": "A"} for number in examples()]
    starts, contacts = placed(local_time, rows)
    refused = {row[3]: row[2] for row in rejects(contacts)}
    contacts.close()
    told = 0
    for row in rows:
        parsed = phonenumbers.parse(row["phone_number"])
        zones = time_zones_for_number(parsed)
        if parsed.country_code == CHILE:
            continue
        if zones == (UNKNOWN_TIMEZONE,):
            zones = TIMEZONE_DATA.get(str(parsed.country_code), ())
        else:
            told += 1
        mended = _MENDED.get(str(parsed.country_code), {})
        zones = tuple(mended.get(zone, zone) for zone in zones)
        number = f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
        if zones and local_time.is_possible(zones, after=NOW):
            if refused.get(row["phone_number"]) not in ("invalid_number", "duplicate"):
                assert starts[number] == local_time.start_for(zones, after=NOW), (number, zones)
        else:
            assert refused[row["phone_number"]] in ("unknown_timezone", "invalid_number", "duplicate"), (number, zones)
    assert told > 1_000
    assert len(starts) > 900


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
