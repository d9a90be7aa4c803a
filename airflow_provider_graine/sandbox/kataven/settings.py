"""The account that the sandbox serves, and what the vendor's documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal


@dataclass
class KatavenSettings:
    """
    May be changed at any time but for ``prefix``; a reset takes it back to what it was.

    :param account_id: whose key it is
    :param token: the ``sk_live_`` key it accepts
    :param jwt: the JWT it accepts, together with ``X-Account-ID``
    :param prefix: where its endpoints are
    :param concurrent_max: most parallel calls of all running campaigns, as they are planned
    :param calls_per_minute: shown by ``GET /call-limits``, and not acted upon
    :param daily_calls_max: likewise
    :param daily_minutes_max: likewise
    :param rate_limits: refuse more requests than the next four say
    :param requests_per_minute: virtual minute
    :param requests_per_hour: virtual hour
    :param requests_per_day: virtual day
    :param requests_in_flight: at the same time; an open event stream is one of them
    :param max_csv_bytes: longest file of contacts
    :param bad_rows: a row without a usable phone number, or with too many or too few columns: ``"drop"`` leaves it out
        without a word, ``"refuse"`` refuses the file, ``"dial"`` takes it (but for the number of columns)
    :param retry_status: status that a contact shows while it waits for its retry
    :param stop_from: statuses in which a campaign can be stopped
    :param moves_answer: what start, pause, resume and stop answer: the ``"campaign"`` or ``"nothing"`` (204)
    :param campaigns_key: where the list of campaigns is in its answer; ``None``: the answer is the list
    :param campaigns_order: ``"id"`` (as good as none), ``"newest"`` or ``"oldest"`` first
    :param campaigns_page: length of a page of campaigns (parameter ``page``, from 0); ``None``: all of them at once
    :param contacts_key: where the list of contacts is in its answer; ``None``: the answer is the list
    :param contacts_order: ``"id"`` (as good as none), ``"upload"``, or ``"latest"``: changed last comes first
    :param tick_seconds: virtual seconds between two snapshots of an event stream
    :param heartbeat_seconds: virtual seconds between two heartbeats
    :param tick_pause: shortest time between two events of a stream, real seconds
    :param end_data: the ``data`` of the stream's last event; ``None``: it has none
    """

    account_id: str = "sandbox"
    token: str = "sk_live_sandbox_0000"  # noqa: S105 - it opens nothing but this
    jwt: str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzYW5kYm94In0.sandbox"
    prefix: str = "/v1"
    concurrent_max: int = 10
    calls_per_minute: int = 60
    daily_calls_max: int = 100_000
    daily_minutes_max: int = 100_000
    rate_limits: bool = True
    requests_per_minute: int = 60
    requests_per_hour: int = 1_000
    requests_per_day: int = 10_000
    requests_in_flight: int = 20
    max_csv_bytes: int = 10_000_000
    bad_rows: Literal["drop", "refuse", "dial"] = "drop"
    retry_status: str = "pending"
    stop_from: tuple[str, ...] = ("running",)
    moves_answer: Literal["campaign", "nothing"] = "campaign"
    campaigns_key: str | None = "campaigns"
    campaigns_order: Literal["id", "newest", "oldest"] = "id"
    campaigns_page: int | None = None
    contacts_key: str | None = "contacts"
    contacts_order: Literal["id", "upload", "latest"] = "id"
    tick_seconds: float = 2.0
    heartbeat_seconds: float = 15.0
    tick_pause: float = 0.02
    end_data: str | None = None

    def __post_init__(self) -> None:
        if not self.prefix.startswith("/") or self.prefix.endswith("/") or self.prefix.startswith(("/api/v1", "/_")):
            raise ValueError("prefix begins with a slash, does not end with one, and is not /api/v1, which is Graine's")

    def take_over(self, other: KatavenSettings) -> None:
        """Become like ``other``."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))
