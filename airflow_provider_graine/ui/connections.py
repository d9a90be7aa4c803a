"""Which connections the page offers: those of the services' types, and no others."""

from __future__ import annotations

from typing import Final

from airflow.models.connection import Connection
from airflow.providers.common.compat.sdk import conf
from airflow.utils.session import create_session
from sqlalchemy import select

SERVICES: Final = ("graine", "kataven")


def offered_connections() -> dict[str, str]:
    """
    Find the connections to the services.

    Those in Airflow's database, and, since secrets backends and the environment cannot be listed, those known by name:
    the defaults and what ``[graine] ui_conn_ids`` names.

    :return: connection id to its type
    """
    with create_session() as session:
        stored = select(Connection.conn_id, Connection.conn_type).where(Connection.conn_type.in_(SERVICES))
        found = {str(conn_id): str(conn_type) for conn_id, conn_type in session.execute(stored)}
    named = conf.get("graine", "ui_conn_ids", fallback="").split(",")
    for conn_id in (*(f"{service}_default" for service in SERVICES), *map(str.strip, named)):
        if conn_id and conn_id not in found and (conn_type := connection_type(conn_id)) is not None:
            found[conn_id] = conn_type
    return dict(sorted(found.items()))


def connection_type(conn_id: str) -> str | None:
    """
    Return the type of a connection as tasks would find it, where it is one to a service.

    :param conn_id: the connection
    """
    try:
        conn_type = Connection.get_connection_from_secrets(conn_id).conn_type
    except Exception:  # not there, or written wrongly: what it was about may hold a password
        return None
    return str(conn_type) if conn_type in SERVICES else None
