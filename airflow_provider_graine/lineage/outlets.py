"""Events of the assets that a task has as outlets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_graine.lineage.data import TaskLineage


def tell_outlets(outlets: Iterable[Any], events: Any, lineage: TaskLineage) -> None:
    """
    Say in the events of a task's outlets what has come about.

    An alias is given an event for each product; the asset of a product has that one's extra; any other asset has the
    figures of the whole task. What the DAG's author says in an event stays.

    :param outlets: the task's
    :param events: ``outlet_events`` of the task's context
    :param lineage: what the task has read and written
    """
    from airflow.sdk import Asset, AssetAlias
    from airflow.sdk.definitions.asset import AssetRef

    products = {product.uri: product for product in lineage.outputs if product.role == "product"}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            for uri, product in products.items():
                events[outlet].add(Asset(uri=uri), extra=dict(product.extra))
        elif isinstance(outlet, Asset | AssetRef):
            own = products.get(outlet.uri) if isinstance(outlet, Asset) else None
            event = events[outlet]
            event.extra = {**(own.extra if own else lineage.figures), **event.extra}
