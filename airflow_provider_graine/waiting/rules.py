"""What the owner of a campaign asks of a wait."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf

from airflow_provider_graine.exceptions import ConfigurationError

_SHARES = ("min_completed_share", "max_failed_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitRules:
    """
    When calls that end, or stand still, are not good enough.

    :param min_completed_share: share of all contacts, 0..1, that must end as ``completed``; default: no rule
    :param max_failed_share: share of all contacts, 0..1, that may end as ``failed`` or ``max_retries_reached``;
        default: no rule
    :param stalled_after: seconds inside calling hours without any change after which a person is warned; ``None``:
        never; default 1800
    :raises ConfigurationError: when a share is not within 0..1, or ``stalled_after`` is not above 0
    """

    min_completed_share: float | None = None
    max_failed_share: float | None = None
    stalled_after: float | None = 1800.0

    def __post_init__(self) -> None:
        for name in _SHARES:
            share = getattr(self, name)
            if share is not None and not (_is_number(share) and 0 <= share <= 1):
                raise ConfigurationError(
                    f"{name} must be a share between 0 and 1 (0.8 is 80 %), or None. Nothing was sent."
                )
        if self.stalled_after is not None and not (_is_number(self.stalled_after) and self.stalled_after > 0):
            raise ConfigurationError(
                "stalled_after must be a number of seconds above 0, or None to never look. Nothing was sent."
            )

    @property
    def ask_for_shares(self) -> bool:
        """Whether there is a rule about what came of the calls."""
        return self.min_completed_share is not None or self.max_failed_share is not None

    def as_kwargs(self) -> dict[str, float | None]:
        """Return the rules by name, as JSON values: keyword arguments of a trigger."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < inf
