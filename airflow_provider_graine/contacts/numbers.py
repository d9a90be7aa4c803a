"""Phone numbers as people write them, read into E.164 by the phonenumbers library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, get_args

from airflow_provider_graine.contacts.e164 import E164_MAX_DIGITS, NumberCheck
from airflow_provider_graine.exceptions import ConfigurationError

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

SUFFIX_MIN_DIGITS = 6

# Stricter than the library, which reads letters as vanity digits, drops what follows a second number and takes the
# ".0" of a number that was once a float for one more digit: each of them dials somebody else.
_SPELLING = re.compile(r"[+＋]?[\d \t\u00a0\u2000-\u200a\u202f\u3000().\-\u2010-\u2015\u2212（）．－]*\d")  # noqa: RUF001
_FLOAT_TAIL = re.compile(r"\.0+$")
_POWER_OF_TEN = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_TEL = re.compile(r"tel:\s*", re.IGNORECASE)


class ListedNumber(NamedTuple):
    """
    What an entry of a list of numbers stands for: one number, or every number that ends like it.

    :param digits: digits of the E.164 number, or of its end
    :param is_suffix: whether ``digits`` is only the end
    """

    digits: int
    is_suffix: bool


class NumberReader:
    """
    Reads phone numbers by one set of rules.

    :param default_region: ISO 3166 code of the region whose national forms are accepted, such as ``"IN"``; without it
        only international forms (``+…``) are
    :param number_check: ``"possible"`` compares the length with the region's numbering plan, ``"valid"`` the leading
        digits too
    :raises ConfigurationError: the region or the check is unknown
    """

    def __init__(self, *, default_region: str | None = None, number_check: NumberCheck = "possible") -> None:
        import phonenumbers

        if default_region is not None:
            default_region = default_region.upper()
            if default_region not in phonenumbers.SUPPORTED_REGIONS:
                raise ConfigurationError(
                    "default_region is not a region phone numbers are known for; nothing was sent. "
                    'Use an ISO 3166 code of two letters, such as "IN".'
                )
        if number_check not in get_args(NumberCheck):
            raise ConfigurationError('number_check is "possible" or "valid"; nothing was sent.')
        self.default_region = default_region
        self.number_check = number_check

    def read(self, raw: str) -> int | None:
        """
        Read a number that is to be dialled.

        :param raw: the number as written; an extension makes it unreadable, for it is not a person's own line
        :return: digits of the E.164 number, or ``None`` when it is no number
        """
        text = _bare(raw)
        if not _SPELLING.fullmatch(text) or _FLOAT_TAIL.search(text):
            return None
        number = self._parse(text)
        return None if number is None or number.extension else self._accepted(number)

    def read_listed(self, raw: str) -> ListedNumber | None:
        """
        Read a number out of a list of people who must not be called (again), with more good will than :meth:`read`.

        :param raw: the number as written
        :return: the number, else its last digits when there are at least 6, else ``None``
        """
        digits = self.read(raw)
        if digits is not None:
            return ListedNumber(digits, is_suffix=False)
        text = _bare(raw)
        if _POWER_OF_TEN.fullmatch(text):  # "9.19877E+11": a spreadsheet has destroyed the number
            return None
        text = _FLOAT_TAIL.sub("", text)
        number = self._parse(text)
        digits = None if number is None else self._accepted(number)
        if digits is not None:
            return ListedNumber(digits, is_suffix=False)
        ending = "".join(str(int(character)) for character in text if character.isdecimal()).lstrip("0")
        if SUFFIX_MIN_DIGITS <= len(ending) <= E164_MAX_DIGITS:
            return ListedNumber(int(ending), is_suffix=True)
        return None

    def _parse(self, text: str) -> PhoneNumber | None:
        import phonenumbers

        # An international form means the same everywhere; with a region the library would try "+0…" as a national one.
        region = None if text.startswith(("+", "＋")) else self.default_region  # noqa: RUF001
        try:
            return phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            return None

    def _accepted(self, number: PhoneNumber) -> int | None:
        import phonenumbers

        if self.number_check == "valid":
            accepted = phonenumbers.is_valid_number(number)
        else:  # not is_possible_number(), which accepts numbers that can only be dialled locally
            reason = phonenumbers.is_possible_number_with_reason(number)
            accepted = reason == phonenumbers.ValidationResult.IS_POSSIBLE
        if not accepted:
            return None
        digits = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
        return int(digits) if len(digits) <= E164_MAX_DIGITS else None


def _bare(raw: str) -> str:
    return _TEL.sub("", _INVISIBLE.sub("", raw).strip(), count=1)
