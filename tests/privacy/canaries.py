"""The people and secrets that every test here uses, and all the ways in which one of them may be written."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

#: Secrets; none of them may be seen anywhere.
GRAINE_TOKEN = "gat_kq7Zw2Vb9XeRt4Ym8Lp3Nd6H"
KATAVEN_TOKEN = "sk_live_Jx5Qc8Wn2Ft7Gs4Bv9Kz6M"
REDACT_KEY = "pepper-Ud3Rk8Hy5Tq2Vn7Xw"
DATABASE_PASSWORD = "Vx9-sesame-4Jm7Qz2"

#: What is known of the people beside their numbers and names.
PLAN = "ambergris-tontine"
EMAIL = "z.quillfeather@canary.example"


@dataclass(frozen=True)
class Person:
    """
    Somebody who is called.

    :param number: in E.164
    :param name: as it is in the source
    """

    number: str
    name: str

    @property
    def national(self) -> str:
        """The number as people write it in the country, with blanks."""
        return f"0{self.number[3:8]} {self.number[8:]}"


ZEPHYRINE = Person("+919812763450", "Zephyrine Quillfeather")
ZOFIE = Person("+919845906127", "Žofie Králíčková")
OLUWASEUN = Person("+919867134298", "Oluwaseun Ọ̀pádẹ̀jì")
#: On the list of those who must not be called.
SUPPRESSED = Person("+919890251763", "Thaddeus Wrenwhistle")
#: Whose number cannot be called.
MALFORMED = Person("+91 98321 76054 99 1", "Marigold Vantongeren")
#: Who is phoned when a task fails.
ON_CALL = Person("+919873340916", "Perpetua Okonkwo")
PEOPLE = (ZEPHYRINE, ZOFIE, OLUWASEUN)
EVERYBODY = (*PEOPLE, SUPPRESSED, MALFORMED, ON_CALL)

#: Digits of a number that are enough to know it.
_ENOUGH = 8


@dataclass(frozen=True)
class Canary:
    """
    Something that must not be seen.

    :param what: says what it is, without saying it
    :param text: one way of writing it, in lower case
    :param is_digits: whether it is looked for among the digits alone, whatever stands between them
    """

    what: str
    text: str
    is_digits: bool = False


def canaries() -> list[Canary]:
    """Return all of them in all spellings, each spelling once."""
    found = {each.text: each for each in _all() if each.text}
    return list(found.values())


def _all() -> Iterator[Canary]:
    for index, person in enumerate(EVERYBODY):
        digits = "".join(filter(str.isdigit, person.number))
        yield Canary(f"the number of person {index}", digits[-_ENOUGH:], is_digits=True)
        yield from _encoded(person.number, f"the number of person {index}")
        yield from _digests(f"+{digits}", digits, what=f"the number of person {index}")
        for part in (person.name, *person.name.split()):
            what = f"the name of person {index}" if part == person.name else f"a part of the name of person {index}"
            yield from _written(part, what)
        yield from _encoded(person.name, f"the name of person {index}")
        yield from _digests(person.name, what=f"the name of person {index}")
    for what, variable in {"plan": PLAN, "e-mail address": EMAIL}.items():
        yield from _written(variable, f"a call variable ({what})")
        yield from _encoded(variable, f"a call variable ({what})")
    secrets = {
        "Graine's token": GRAINE_TOKEN,
        "Kataven's token": KATAVEN_TOKEN,
        "the key of the hashes": REDACT_KEY,
        "the database's password": DATABASE_PASSWORD,
    }
    for what, secret in secrets.items():
        yield from _written(secret, what)
        yield Canary(f"the end of {what}", secret[-12:].lower())
        yield Canary(f"the middle of {what}", secret[6:18].lower())
        yield from _encoded(secret, what)
        yield from _encoded(f"Bearer {secret}", what)
        yield from _digests(secret, what=what)


def _written(text: str, what: str) -> Iterator[Canary]:
    for form in ("NFC", "NFD"):
        yield Canary(what, unicodedata.normalize(form, text).lower())


def _encoded(text: str, what: str) -> Iterator[Canary]:
    """In hexadecimal and in base64, wherever in something longer it begins."""
    yield Canary(f"{what}, hexadecimal", text.encode().hex())
    for skipped in range(3):
        # The first characters hang together with what comes before, the last with what comes behind.
        encoded = base64.b64encode(b"\0" * skipped + text.encode()).decode().rstrip("=")
        yield Canary(f"{what}, base64", encoded[(0, 2, 3)[skipped] : -1].lower())


def _digests(*texts: str, what: str) -> Iterator[Canary]:
    """Hashes without a key: who has them tries all numbers there are."""
    for text in texts:
        for name in ("md5", "sha1", "sha256"):
            yield Canary(f"{what}, {name}", hashlib.new(name, text.encode()).hexdigest())
