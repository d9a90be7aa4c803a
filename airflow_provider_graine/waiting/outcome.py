"""Whether calls that have ended, or are bound to end, are what was asked for."""

from __future__ import annotations

from airflow_provider_graine.waiting.look import Look
from airflow_provider_graine.waiting.progress import Progress
from airflow_provider_graine.waiting.rules import WaitRules
from airflow_provider_graine.waiting.words import with_statuses

_OVER = "All calls are over: a retry looks again and changes nothing, and nobody is called again by itself."
_GO_ON = "The calls that are still running go on; a retry waits for them and fails in the same way."


def failure_at_the_end(look: Look, rules: WaitRules) -> str | None:
    """
    Say why calls that have all ended are a failure.

    :param look: what was seen, with every part ended
    :param rules: what was asked for
    :return: sentences, or ``None`` when all is well
    """
    stopped = [part for part in look.parts if part.has_failed]
    if stopped:
        return (
            f"Not everybody was called: {with_statuses(stopped)}. A stopped {stopped[0].vocabulary.noun} does not "
            "go on; calls that were placed are in its results, and nothing is sent again by itself."
        )
    broken = _broken(look, rules)
    return None if broken is None else f"{broken} {_OVER}"


def certain_failure(look: Look, rules: WaitRules) -> str | None:
    """
    Say why calls that still run cannot end as asked for, whatever happens to them from now on.

    Only batches are certain: to a campaign people can be added at any time.

    :param look: what was seen
    :param rules: what was asked for
    :return: sentences, or ``None`` while it may still end well
    """
    if look.total is None or any(part.id is None for part in look.parts):
        return None
    broken = _broken(look, rules)
    return None if broken is None else f"{broken} {_GO_ON}"


def _broken(look: Look, rules: WaitRules) -> str | None:
    if not rules.ask_for_shares:
        return None
    if look.total is None:
        return "The service does not say how many contacts there are, so that the share asked for cannot be checked."
    if not look.total:
        return None
    total = look.total
    completed = max(0, min(total, sum(map(_can_complete, look.parts))))
    failed = min(total, sum(map(_have_failed, look.parts)))
    at_most = "" if look.ended else "can still end as "
    if rules.min_completed_share is not None and completed / total < rules.min_completed_share:
        return (
            f"Too few calls {at_most}completed: {completed} of {total} contacts ({_percent(completed / total)}), "
            f"and min_completed_share asks for {_percent(rules.min_completed_share)}."
        )
    if rules.max_failed_share is not None and failed / total > rules.max_failed_share:
        return (
            f"Too many calls failed: {failed} of {total} contacts ({_percent(failed / total)}), "
            f"and max_failed_share allows {_percent(rules.max_failed_share)}."
        )
    return None


def _can_complete(part: Progress) -> int:
    """Return the number of contacts that are completed, or in a part that goes on may still become so."""
    if part.has_ended:
        return part.counts.get("completed", 0)
    return (part.total or 0) - _never_again(part, "skipped", "max_retries_reached")


def _have_failed(part: Progress) -> int:
    """Return the number of contacts that have failed for good."""
    if part.has_ended:
        return _never_again(part, "failed", "max_retries_reached")
    return _never_again(part, "max_retries_reached")


def _never_again(part: Progress, *states: str) -> int:
    return sum(max(0, part.counts.get(state, 0)) for state in states)


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
