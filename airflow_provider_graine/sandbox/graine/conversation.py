"""What was said: made up from a call's own randomness when somebody reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..calls import Call

COST_PER_MINUTE = 0.06

_POSITIVE = (
    ("Yes, that works for me, thank you.", "The callee agreed and had no open questions."),
    ("Good that you call, I had meant to do this.", "The callee welcomed the call and confirmed."),
)
_NEUTRAL = (
    ("I have to think about it.", "The callee wants to think about it."),
    ("Please send me the details first.", "The callee asked for the details in writing."),
)
_NEGATIVE = (
    ("No, I am not interested.", "The callee declined."),
    ("I have found something else by now.", "The callee has chosen another offer."),
)
_MOODS = (("positive", _POSITIVE), ("neutral", _NEUTRAL), ("negative", _NEGATIVE))


def details(call: Call) -> dict[str, Any]:
    """:return: ``transcript``, ``summary`` and ``sentiment`` of a finished call; all ``None`` if nobody answered"""
    draw = call.draw
    if draw.outcome.name == "voicemail":
        return {"transcript": None, "summary": "Reached a voicemail box; no message left.", "sentiment": None}
    if draw.outcome.status != "completed":
        return {"transcript": None, "summary": None, "sentiment": None}
    if draw.outcome.name == "follow_up":
        sentiment, answer, summary = "neutral", "Could you call me again later?", "The callee asked for a call back."
    else:
        share = draw.between(3, 0, 1)
        sentiment, answers = _MOODS[0 if share < 0.6 else 1 if share < 0.85 else 2]
        answer, summary = answers[int(draw.between(4, 0, len(answers)))]
    contact = call.contact
    variables = {
        **(contact.batch.campaign.settings.get("default_call_variables") or {}),
        **contact.call_variables,
    }
    name = variables.get("callee_name")
    greeting = f"Hello {name}, do you have a minute?" if name else "Hello, do you have a minute?"
    transcript = f"assistant: {greeting}\nuser: {answer}\nassistant: Understood. Thank you and good-bye."
    return {"transcript": transcript, "summary": summary, "sentiment": sentiment}
