"""
How a call turns out, as a pure function of the seed, the phone number and the attempt.

The order in which contacts arrive, the batches they are in and the time of day play no part, so that two runs of a
pipeline with the same seed see the same people answer.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

E164 = re.compile(r"\+[1-9]\d{6,14}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One way a call can end.

    :param name: as used in ``outcomes`` and ``scripts``
    :param status: the contact status it leads to
    :param call_status: as on a call record
    :param ring: shortest and longest ringing, in virtual seconds
    :param talk: shortest and longest conversation, in virtual seconds; ``None`` when nobody answers
    :param retried: the retry policy applies
    :param hangup_by: who ended it
    :param hangup_reason: why
    """

    name: str
    status: str
    call_status: str
    ring: tuple[float, float]
    talk: tuple[float, float] | None
    retried: bool
    hangup_by: str
    hangup_reason: str


OUTCOMES = {
    outcome.name: outcome
    for outcome in (
        Outcome("completed", "completed", "completed", (4, 18), (20, 180), False, "assistant", "goal_completed"),
        Outcome("follow_up", "completed", "completed", (4, 18), (20, 90), False, "callee", "callback_requested"),
        Outcome("voicemail", "no_answer", "no-answer", (20, 28), (6, 20), True, "assistant", "voicemail_detected"),
        Outcome("no_answer", "no_answer", "no-answer", (30, 45), None, True, "carrier", "no_answer"),
        Outcome("busy", "busy", "busy", (2, 5), None, True, "carrier", "user_busy"),
        Outcome("failed", "failed", "failed", (1, 3), None, True, "carrier", "network_error"),
        Outcome("unreachable", "failed", "failed", (2, 6), None, False, "carrier", "number_not_in_service"),
    )
}

DEFAULT_SHARES: Mapping[str, float] = {
    "completed": 0.60,
    "follow_up": 0.04,
    "voicemail": 0.06,
    "no_answer": 0.16,
    "busy": 0.08,
    "failed": 0.03,
    "unreachable": 0.03,
}


@dataclass(slots=True)
class Draw:
    """The fate of one attempt: its outcome, and a store of randomness for everything else about it."""

    outcome: Outcome
    noise: int

    def between(self, slot: int, low: float, high: float) -> float:
        """:return: a number in ``[low, high)``, always the same for one ``slot`` (0 to 5) of one draw"""
        return low + (high - low) * ((self.noise >> (32 + 16 * slot)) & 0xFFFF) / 0x10000


class Outcomes:
    """
    Draws outcomes.

    :param seed: the same seed, number and attempt give the same outcome
    :param shares: weight of each outcome name, of any total; names left out never happen; default
        :data:`DEFAULT_SHARES`
    :param scripts: phone number to the outcomes of its attempts in turn, the last one repeating
    :raises ValueError: an outcome that does not exist, or weights that are negative or all zero
    """

    def __init__(
        self,
        *,
        seed: int | str = 1,
        shares: Mapping[str, float] | None = None,
        scripts: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        shares = DEFAULT_SHARES if shares is None else shares
        self._check_names(shares)
        if any(weight < 0 for weight in shares.values()) or not sum(shares.values()) > 0:
            raise ValueError("outcome shares must not be negative, and one of them must be more than zero")
        self._outcomes = [OUTCOMES[name] for name, weight in shares.items() if weight > 0]
        cumulated = list(accumulate(weight for weight in shares.values() if weight > 0))
        self._bounds = [bound / cumulated[-1] for bound in cumulated[:-1]]
        self._scripts: dict[str, list[Outcome]] = {}
        for number, names in (scripts or {}).items():
            steps = [names] if isinstance(names, str) else list(names)
            if not steps:
                raise ValueError("a script needs at least one outcome")
            self._check_names(steps)
            self._scripts[number] = [OUTCOMES[name] for name in steps]
        self._key = str(seed).encode()

    @staticmethod
    def _check_names(names: Mapping[str, float] | Sequence[str]) -> None:
        if unknown := set(names) - set(OUTCOMES):
            raise ValueError(f"unknown outcomes {sorted(unknown)}; there are {', '.join(OUTCOMES)}")

    def draw(self, phone_number: str, attempt: int) -> Draw:
        """
        :param phone_number: as uploaded
        :param attempt: 0 for the first call to this contact
        :return: what becomes of it
        """
        digest = blake2b(f"{phone_number}|{attempt}".encode(), digest_size=16, key=self._key[:64]).digest()
        noise = int.from_bytes(digest, "little")
        if script := self._scripts.get(phone_number):
            outcome = script[min(attempt, len(script) - 1)]
        elif not E164.fullmatch(phone_number):
            outcome = OUTCOMES["unreachable"]
        else:
            outcome = self._outcomes[bisect_right(self._bounds, (noise & 0xFFFFFFFF) / 0x1_0000_0000)]
        return Draw(outcome, noise)
