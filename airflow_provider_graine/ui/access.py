"""Who may see what: Airflow's own log-in, and the rights its auth manager gives."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from airflow.providers.common.compat.sdk import conf
from fastapi import Depends, HTTPException

#: What the right to see the page is called in the auth manager, unless ``[graine] ui_resource`` says otherwise.
RESOURCE: Final = "Graine"


# Not async: an auth manager may ask a database.
def may_see_calls(user: GetUserDep) -> Any:
    """
    Let in who is logged in to Airflow and may see this page.

    :param user: who asks; Airflow answers 401 itself where nobody is logged in
    :raises HTTPException: 403
    """
    resource = conf.get("graine", "ui_resource", fallback="").strip() or RESOURCE
    if not get_auth_manager().is_authorized_custom_view(method="GET", resource_name=resource, user=user):
        raise HTTPException(403, "Forbidden")
    return user


Viewer = Annotated[Any, Depends(may_see_calls)]


def readable(dag_ids: Collection[str], user: Any, entity: DagAccessEntity) -> set[str]:
    """
    Choose the DAGs of which a user may read something.

    :param dag_ids: DAGs
    :param user: who asks
    :param entity: what of them
    """
    manager = get_auth_manager()

    def may_read(dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        return manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)

    return {dag_id for dag_id in dag_ids if may_read(dag_id)}
