"""What a case is made of: services with people on them, sources with people in them, and an Airflow that watches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import Sandbox
from tests.kataven_service import AGENT, NUMBER
from tests.privacy.airflow import Airflow
from tests.privacy.canaries import EMAIL, MALFORMED, PEOPLE, PLAN, SUPPRESSED, Person
from tests.privacy.hostile import Hostile

#: Who calls: no personal data.
CALLER_ID = "+918045678900"


def contact(person: Person, **variables: Any) -> dict[str, Any]:
    """Return a row of a list: a person with call variables."""
    return {"phone_number": person.number, "callee_name": person.name, "plan": PLAN, "email": EMAIL, **variables}


def people() -> list[dict[str, Any]]:
    """Return those who can be called."""
    return [contact(person) for person in PEOPLE]


def everybody() -> list[dict[str, Any]]:
    """Return those and everybody who is rejected: malformed, twice, without a name, suppressed, no row at all."""
    return [
        *people(),
        contact(SUPPRESSED),
        contact(MALFORMED),
        contact(Person(PEOPLE[0].national, PEOPLE[0].name)),
        {**contact(PEOPLE[1]), "callee_name": ""},
    ]


def write_sources(folder: Path) -> Path:
    """Put everybody into files of each kind and into a database, some of them broken in every way there is."""
    import duckdb

    rows = everybody()
    lines = [json.dumps(row) for row in rows]
    (folder / "people.jsonl").write_text("\n".join(lines))
    (folder / "broken.jsonl").write_text("\n".join([lines[0], lines[1][:-9], f'"{PEOPLE[2].number}"', *lines[2:]]))
    (folder / "no_such_column.jsonl").write_text(json.dumps({PEOPLE[0].number: PEOPLE[0].name, "email": EMAIL}))
    csv = ["phone_number,callee_name,plan,email", *(",".join(map(str, row.values())) for row in rows)]
    (folder / "people.csv").write_text("\n".join(csv))
    quoted = f'"{PEOPLE[0].number}","{PEOPLE[0].name}" {EMAIL},{PLAN}\n"{PEOPLE[1].number},{PEOPLE[1].name}'
    (folder / "broken.csv").write_text("\n".join([*csv[:2], f"{csv[2]},{PEOPLE[2].name},{EMAIL}", quoted]))
    (folder / "no_header.csv").write_text("\n".join(csv[1:]))
    (folder / "latin.csv").write_bytes("\n".join(csv).encode("utf-16"))
    (folder / "suppressed.csv").write_text(f"phone_number\n{SUPPRESSED.number}\n{MALFORMED.number}\n")
    (folder / "empty.csv").write_text("")
    with duckdb.connect() as database:
        database.execute(f"COPY (FROM '{folder}/people.csv') TO '{folder}/people.parquet'")
    whole = (folder / "people.parquet").read_bytes()
    (folder / "broken.parquet").write_bytes(whole[:40] + b"\0" * 20 + whole[60:])
    (folder / "broken.csv.gz").write_bytes((folder / "people.csv").read_bytes())
    with duckdb.connect(str(folder / "people.duckdb")) as database:
        database.execute(f"CREATE TABLE people AS FROM '{folder}/people.csv'")
    return folder


def open_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections of type ``warehouse`` be a DuckDB file: a password means another thing to Airflow's own hook."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook, Connection

    class Warehouse(DbApiHook):
        conn_name_attr = "warehouse_conn_id"

        def get_conn(self) -> Any:
            import duckdb

            connection = BaseHook.get_connection(self.warehouse_conn_id)  # type: ignore[attr-defined]
            return duckdb.connect(str(connection.host), read_only=True)

    real = Connection.get_hook

    def get_hook(self: Connection, **arguments: Any) -> Any:
        return Warehouse(self.conn_id) if self.conn_type == "warehouse" else real(self, **arguments)

    monkeypatch.setattr(Connection, "get_hook", get_hook)


@dataclass
class World:
    """
    What there is for one case.

    :param sandbox: both services
    :param hostile: the proxy before them
    :param airflow: runs tasks and triggers
    :param sources: folder with lists
    :param folder: an empty folder
    """

    sandbox: Sandbox
    hostile: Hostile
    airflow: Airflow
    sources: Path
    folder: Path

    @contextmanager
    def graine(self) -> Iterator[GraineHook]:
        hook = GraineHook()
        try:
            yield hook
        finally:
            hook.close()

    @contextmanager
    def kataven(self) -> Iterator[KatavenHook]:
        hook = KatavenHook()
        try:
            yield hook
        finally:
            hook.close()

    def campaign(self) -> str:
        """Return a campaign of Graine."""
        with self.graine() as hook:
            campaign = hook.create_campaign(name="Renewals", agent_id="agent_1", phone_numbers=[CALLER_ID])
        return campaign.campaign_id

    def batch(self, campaign_id: str | None = None, *, ended: bool = False) -> str:
        """Return a batch of Graine with the people on it."""
        contacts = [
            {
                "phone_number": person.number,
                "call_variables": {"callee_name": person.name, "plan": PLAN, "email": EMAIL},
            }
            for person in PEOPLE
        ]
        with self.graine() as hook:
            made = hook.create_batch(campaign_id=campaign_id or self.campaign(), contacts=contacts)
        if ended:
            self.sandbox.run_until_idle()
        return made.batch_id

    def draft(self) -> str:
        """Return a campaign of Kataven with the people on it, which calls nobody yet."""
        with self.kataven() as hook:
            fields = [
                {"phone_number": each.number, "custom_fields": {"callee_name": each.name, "plan": PLAN, "email": EMAIL}}
                for each in PEOPLE
            ]
            return hook.create_campaign(
                name="Renewals", agent_id=AGENT, phone_number_id=NUMBER, contacts=fields
            ).campaign_id

    def running(self, *, paused: bool = False, ended: bool = False) -> str:
        """Return a campaign of Kataven that was started."""
        campaign_id = self.draft()
        with self.kataven() as hook:
            hook.start_campaign(campaign_id)
            if paused:
                hook.pause_campaign(campaign_id)
        if ended:
            self.sandbox.run_until_idle()
        return campaign_id

    def files(self, *names: str) -> Iterator[tuple[str, bytes]]:
        """Give the files that were written into the folder, or those of some names."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and (not names or path.name in names):
                yield str(path.relative_to(self.folder)), path.read_bytes()


Make = Callable[[], Any]
