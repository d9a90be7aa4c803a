"""Whether a batch stands still, and why: as the waiting core would say it, and with what the service says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airflow_provider_graine.waiting.look import Look, due_contacts
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.stillness import reason_to_stand
from airflow_provider_graine.waiting.words import duration

if TYPE_CHECKING:
    from airflow_provider_graine.ui.seen import Part
    from airflow_provider_graine.waiting.hours import CallingHours

#: Seconds inside calling hours without any progress that are too many; also what the service takes for stuck.
STALLED_AFTER: Final = 1800.0
#: Seconds without a change after which the service is asked.
_DOUBT_AFTER: Final = 60.0


class Standing:
    """
    For how long nothing has changed; begins anew with every change.

    :param since: wall-clock time of the last change that was seen, or of the first look
    """

    __slots__ = ("asked_at", "oldest_at", "since", "stuck")

    def __init__(self, *, since: float) -> None:
        self.since = since
        self.asked_at = float("-inf")
        self.stuck: bool | None = None
        self.oldest_at: float | None = None

    def service_says(self, *, stuck: bool | None, oldest_at: float | None) -> None:
        """
        Take the service's opinion.

        :param stuck: whether it calls the batch stuck
        :param oldest_at: when the pending contact that has waited longest last changed
        """
        self.stuck, self.oldest_at = stuck, oldest_at

    def is_doubtful(self, part: Part, *, hours: CallingHours | None, now: float) -> bool:
        """
        Tell whether a batch should be getting on and does not, so that the service is worth asking.

        :param part: the batch
        :param hours: when its campaign may call, where that is restricted
        :param now: wall-clock time
        """
        progress = _progress(part)
        if not due_contacts(progress) or reason_to_stand(Look([progress]), hours=hours, now=now) is not None:
            return False
        is_old = part.created_at is not None and now - part.created_at >= STALLED_AFTER
        return is_old or now - self.since >= _DOUBT_AFTER

    def told(self, part: Part, *, hours: CallingHours | None, now: float) -> tuple[str | None, bool]:
        """
        Say why a batch stands still.

        :param part: the batch
        :param hours: when its campaign may call, where that is restricted
        :param now: wall-clock time
        :return: a sentence, where there is one, and whether the batch should be getting on and does not
        """
        progress = _progress(part)
        if progress.is_held:
            return progress.vocabulary.held[part.status], False
        if (reason := reason_to_stand(Look([progress]), hours=hours, now=now)) is not None:
            return reason.sentence, False
        if not due_contacts(progress):
            return None, False
        still = _open_seconds(hours, self.since, now)
        if self.stuck and self.oldest_at is not None and self.oldest_at <= now:
            still = max(still, _open_seconds(hours, self.oldest_at, now))
        elif self.stuck and _open_seconds(hours, now - STALLED_AFTER, now) >= STALLED_AFTER:
            still = max(still, STALLED_AFTER)  # it says so, and the hours explain nothing of it
        if still < STALLED_AFTER:
            return None, False
        opinion = {True: "; the service calls it stuck", False: "; the service does not call it stuck"}
        where = "" if hours is None else " inside calling hours"
        told = opinion.get(self.stuck, "") if self.stuck is not None else ""
        return f"no progress for {duration(still)}{where}{told}", True


def _progress(part: Part) -> Progress:
    starts_at = part.starts_at if part.status == part.vocabulary.scheduled else None
    return Progress(
        status=part.status,
        total=part.total,
        counts=part.counts,
        id=part.id,
        starts_at=starts_at,
        vocabulary=part.vocabulary,
    )


def _open_seconds(hours: CallingHours | None, since: float, now: float) -> float:
    if since >= now:
        return 0.0
    return now - since if hours is None else hours.open_seconds(since, now)
