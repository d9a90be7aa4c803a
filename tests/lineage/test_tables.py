"""The tables that queries read, as the hook of their database names them for OpenLineage."""

from __future__ import annotations

import json

import pytest

from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.lineage.data import Query, TaskLineage
from airflow_provider_graine.lineage.openlineage import operator_lineage


def test_tables_are_named_by_their_database(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "postgres", "host": "db.example", "schema": "crm", "login": "me", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(connection))
    query = Query(
        sql="SELECT * FROM sales.policies p JOIN people.phones n USING (id) WHERE n.no <> '+919876500000' AND x = %s",
        conn_id="crm",
    )
    lineage = operator_lineage(TaskLineage(hook=GraineHook(), queries=[query, query]))
    assert [(table.namespace, table.name) for table in lineage.inputs] == [
        ("postgres://db.example:5432", "crm.people.phones"),
        ("postgres://db.example:5432", "crm.sales.policies"),
    ]
    assert lineage.job_facets == {}, "the statement itself stays where it is"


def test_without_a_schema_the_database_is_asked_for_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "postgres", "host": "db.example", "schema": "crm"}))
    queries = [
        Query(sql="SELECT * FROM policies", conn_id="crm"),
        Query(sql="SELECT * FROM", conn_id="crm"),
        Query(sql="SELECT * FROM policies", conn_id="unknown"),
    ]
    lineage = TaskLineage(hook=GraineHook(), queries=queries)
    monkeypatch.setattr(PostgresHook, "get_openlineage_default_schema", lambda self: "sales")
    assert [table.name for table in operator_lineage(lineage).inputs] == ["crm.sales.policies"]

    def gone(self: PostgresHook) -> str:
        raise ConnectionError("secret")

    monkeypatch.setattr(PostgresHook, "get_openlineage_default_schema", gone)
    caplog.set_level("DEBUG", logger="airflow_provider_graine")
    assert operator_lineage(lineage).inputs == []
    assert "could not be told (ConnectionError)" in caplog.text
    assert "secret" not in caplog.text
