"""What a person should look at although a wait goes on, each said once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_graine.waiting.look import Look
from airflow_provider_graine.waiting.progress import word
from airflow_provider_graine.waiting.stillness import NEVER_OPEN, Reason
from airflow_provider_graine.waiting.words import subject

_MOST_KEPT: Final = 50


class Cautions:
    """
    Warnings of a wait, without those that were said before.

    :param kept: what :meth:`remembered` returned in an earlier process
    """

    __slots__ = ("_said",)

    def __init__(self, kept: Mapping[str, Any]) -> None:
        said = kept.get("said")
        self._said = {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()

    def about(self, look: Look, reason: Reason | None) -> str | None:
        """
        Return what is new to say.

        :param look: what was seen
        :param reason: why calls stand still, where they do
        """
        sentences = []
        words = look.parts[0].vocabulary.held if look.parts else {}
        for status, meaning in words.items():
            held = [part for part in look.parts if part.status == status]
            if self._is_new(status, bool(held)):
                sentences.append(f"{subject(held)} {meaning}. The wait goes on.")
        if self._is_new("never open", reason is NEVER_OPEN):
            sentences.append(
                "The campaign's working hours have no opening in the next 8 days: nobody is called until they are "
                "changed. The wait goes on."
            )
        for part in look.parts:
            if not part.vocabulary.knows(part.status) and self._is_new(f"status {word(part.status)}", True):
                sentences.append(
                    f"{subject([part])} in a state this provider does not know ({word(part.status)}). The wait goes on."
                )
        return " ".join(sentences) or None

    def remembered(self) -> dict[str, Any]:
        """Return what a later process has to know."""
        return {"said": sorted(self._said)[:_MOST_KEPT]} if self._said else {}

    def _is_new(self, what: str, is_so: bool) -> bool:
        if not is_so:
            self._said.discard(what)
            return False
        new = what not in self._said
        self._said.add(what)
        return new
