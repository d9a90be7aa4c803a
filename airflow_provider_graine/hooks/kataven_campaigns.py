"""Kataven as the upload protocol sees it: the campaigns of one upload, drafts until somebody starts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_graine.contacts.csv_file import as_csv
from airflow_provider_graine.exceptions import NotFoundError, RequestRejectedError, UnclearOutcomeError, UploadError
from airflow_provider_graine.services.kataven.headcount import headcount
from airflow_provider_graine.uploads.concurrency import share_of
from airflow_provider_graine.uploads.identity import Mark, RunIdentity
from airflow_provider_graine.uploads.service import PlacedBatch
from airflow_provider_graine.uploads.words import KATAVEN
from airflow_provider_graine.waiting.vocabulary import KATAVEN as STATES

if TYPE_CHECKING:
    from airflow_provider_graine.contacts.chunks import Chunk
    from airflow_provider_graine.hooks.kataven import KatavenHook
    from airflow_provider_graine.services.kataven.received import Campaign

#: Characters of a name, with the mark at its end. How many the service takes is not documented.
MOST_NAME: Final = 120

_DRAFT: Final = "draft"
_DELETES: Final = 3
#: What a campaign is made with and gives back, beside its contacts.
_SETTINGS: Final = ("agent_id", "phone_number_id", "retries_per_contact", "retry_delay_seconds")


class KatavenCampaigns:
    """
    The campaigns of one upload; implements :class:`~airflow_provider_graine.uploads.service.DraftService`.

    A name is the only field of a campaign that is the caller's own and comes back, so the identity is there: behind the
    author's name.

    :param hook: the connection to Kataven
    :param identity: whose upload it is
    :param name: what the campaigns are called
    :param options: the other fields of ``POST /campaigns``, as the author gave them, with ``max_concurrent_calls``
    :param is_shared_out: whether the campaigns share the parallel calls; otherwise each has them all
    """

    words = KATAVEN

    def __init__(
        self,
        hook: KatavenHook,
        *,
        identity: RunIdentity,
        name: str,
        options: Mapping[str, Any],
        is_shared_out: bool = True,
    ) -> None:
        self._hook = hook
        self._identity = identity
        self._name = name
        self._options = options
        self._is_shared_out = is_shared_out
        index, of = identity.shard
        self._calls = share_of(options["max_concurrent_calls"], index=index, of=of, words=KATAVEN)
        self._people: dict[str, int] = {}

    @property
    def limit_to_share(self) -> int | None:
        """The upload's part of the author's limit, where its campaigns run at the same time."""
        return self._calls if self._is_shared_out else None

    def check(self) -> None:
        """Nothing can be wrong with a service whose campaigns do not belong to anything."""

    def find(self) -> list[PlacedBatch]:
        """Read all campaigns of the account, and find those whose name has the mark of this upload."""
        own = [placed for campaign in self._hook.iter_campaigns() if (placed := self._placed(campaign)) is not None]
        return sorted(own, key=lambda placed: (placed.created_at, placed.batch_id))

    def get(self, batch_id: str) -> PlacedBatch | None:
        """Read one campaign, whether lists show it or not."""
        try:
            campaign = self._hook.get_campaign(batch_id)
        except NotFoundError:
            return None
        if (placed := self._placed(campaign)) is None:
            raise UploadError(
                f"Campaign {batch_id} was created for this run, and its name has not got the mark any more by which it "
                "is known: a later try could not find it, and would call its people again. Nothing more was sent. Give "
                "it its name back, or upload in a new run."
            )
        return placed

    def _placed(self, campaign: Campaign) -> PlacedBatch | None:
        mark = Mark.read(campaign.name)
        if mark is None or not self._identity.made_mark(mark, what=f"Campaign {campaign.campaign_id}"):
            return None
        return self._seen(campaign, mark=mark)

    def _seen(self, campaign: Campaign, *, mark: Mark) -> PlacedBatch:
        self._people[campaign.campaign_id] = mark.people
        return PlacedBatch(
            batch_id=campaign.campaign_id,
            total=mark.people,
            status=campaign.status or "",
            chunk=mark.chunk,
            concurrency_limit=campaign.max_concurrent_calls,
            has_ended=STATES.has_ended(campaign.status or ""),
            is_draft=campaign.status == _DRAFT,
            is_as_asked=self._is_as_asked(campaign),
            created_at=campaign.created_at or "",
        )

    def _is_as_asked(self, campaign: Campaign) -> bool:
        asked = {name: self._options.get(name) for name in _SETTINGS}
        if not self._is_shared_out:
            asked["max_concurrent_calls"] = self._calls
        made = {name: getattr(campaign, name) for name in asked}
        return all(None in (made[name], asked[name]) or made[name] == asked[name] for name in asked)

    def people(self, batch_id: str) -> Iterator[str]:
        """Read the numbers on a campaign, brought to bare E.164: a hundred a request."""
        for contact in self._hook.iter_campaign_contacts(batch_id, total=self._people.get(batch_id)):
            digits = "".join(character for character in contact.phone_number or "" if character.isdigit())
            if digits:
                yield f"+{digits}"

    def headcount(self, batch_id: str, *, expected: int) -> int:
        """Count the people on a draft by its pages of contacts: the campaign itself does not tell."""
        return headcount(lambda page: len(self._hook.list_campaign_contacts(batch_id, page=page)), expected=expected)

    def create(self, chunk: Chunk, *, concurrency_limit: int | None) -> PlacedBatch:
        """Create a draft; nobody on it is called before it is started."""
        mark = self._identity.mark(chunk=chunk.fingerprint, people=chunk.size)
        campaign = self._hook.create_campaign(
            name=marked_name(self._name, mark),
            contacts=as_csv(chunk.contacts),
            **{**self._options, "max_concurrent_calls": concurrency_limit or self._calls},
        )
        return self._seen(campaign, mark=mark)

    def discard(self, batch_id: str) -> bool:
        """Delete a draft; see :class:`~airflow_provider_graine.uploads.service.DraftService`."""
        for attempt in range(_DELETES):
            try:
                self._hook.delete_campaign(batch_id)
                return True
            except NotFoundError:
                return True
            except (RequestRejectedError, UnclearOutcomeError):
                found = self.get(batch_id)
                if found is None:
                    return True
                if not found.is_draft:
                    return False
                if attempt == _DELETES - 1:
                    raise
        raise AssertionError("the last attempt raises")


def marked_name(name: str, mark: Mark) -> str:
    """
    Put a mark behind a name.

    :param name: the author's; cut where both together would be longer than :data:`MOST_NAME`
    :param mark: the mark
    """
    behind = f" {mark}"
    room = MOST_NAME - len(behind)
    return f"{name if len(name) <= room else name[: room - 1] + '…'}{behind}"
