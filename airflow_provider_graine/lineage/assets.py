"""
Batches and campaigns as Airflow assets: ``graine://<host>/batches/<id>``, ``kataven://<host>/campaigns/<id>``.

Airflow imports this module in every process that makes an asset of such a URI, DAG files included: nothing is imported
that such a process would not need.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import Asset

#: The vendors' own hosts, by scheme.
HOSTS: Final = {"graine": "api.graine.ai", "kataven": "api.kataven.ai"}
#: What there is of each service.
_KINDS: Final = {"graine": ("campaigns", "batches"), "kataven": ("campaigns",)}
_USUAL_PORTS: Final = {80, 443}


def create_graine_asset(
    *,
    campaign_id: str | None = None,
    batch_id: str | None = None,
    host: str = HOSTS["graine"],
    name: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Asset:
    """
    Make the asset of a Graine campaign or batch.

    :param campaign_id: the campaign; give this or ``batch_id``
    :param batch_id: the batch
    :param host: the service's host, with its port where that is not the usual one; default ``api.graine.ai``
    :param name: the asset's name; default: its URI
    :param extra: what the asset carries; default: nothing
    :return: the asset, such as ``graine://api.graine.ai/campaigns/cmp_abc123``
    :raises ValueError: when both ids are given, or none
    """
    if (campaign_id is None) == (batch_id is None):
        raise ValueError("An asset of Graine is a campaign or a batch: give campaign_id or batch_id, one of them.")
    if batch_id is not None:
        return _asset(service_uri("graine", host, "batches", batch_id), name, extra)
    return _asset(service_uri("graine", host, "campaigns", campaign_id or ""), name, extra)


def create_kataven_asset(
    *,
    campaign_id: str,
    host: str = HOSTS["kataven"],
    name: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Asset:
    """
    Make the asset of a Kataven campaign.

    :param campaign_id: the campaign
    :param host: the service's host, with its port where that is not the usual one; default ``api.kataven.ai``
    :param name: the asset's name; default: its URI
    :param extra: what the asset carries; default: nothing
    :return: the asset, such as ``kataven://api.kataven.ai/campaigns/camp_abc123``
    """
    return _asset(service_uri("kataven", host, "campaigns", campaign_id), name, extra)


def _asset(uri: str, name: str | None, extra: Mapping[str, Any] | None) -> Asset:
    from airflow.sdk import Asset

    given = dict(extra) if extra else None
    return Asset(uri=uri, extra=given) if name is None else Asset(name=name, uri=uri, extra=given)


def service_uri(scheme: str, host: str, kind: str, id: str) -> str:
    """
    Name something of a service.

    :param scheme: ``graine`` or ``kataven``
    :param host: the service's host, with its port where that is not the usual one
    :param kind: ``campaigns`` or ``batches``
    :param id: which one
    """
    return f"{scheme}://{host}/{kind}/{quote(id, safe='')}"


def host_of(base_url: str) -> str:
    """
    Give the host that a service's base URL names, with its port where that is not the usual one.

    :param base_url: as the connection has it
    """
    return _host(urlsplit(base_url))


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return host if parts.port is None or parts.port in _USUAL_PORTS else f"{host}:{parts.port}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Bring a URI of a service into its one form; Airflow calls this for each asset of the schemes.

    The host becomes lower case and loses user, password and the usual port; ids are quoted in one way.

    :param uri: the URI, as Airflow has taken it apart
    :raises ValueError: when the URI names no campaign or batch
    """
    kinds = _KINDS[uri.scheme]
    shape = f"{uri.scheme}://{HOSTS[uri.scheme]}/{' or '.join(f'{kind}/<id>' for kind in kinds)}"
    if uri.query:  # not quoted: it may hold a token
        raise ValueError(f"The URI of an asset of scheme {uri.scheme} has no query; it looks like {shape}.")
    try:
        host = _host(uri)
    except ValueError:
        host = ""
    _, _, rest = uri.path.partition("/")
    kind, _, id = rest.partition("/")
    if not host or kind not in kinds or not re.fullmatch(r"[^/\s]+", id):
        raise ValueError(f"This is no URI of scheme {uri.scheme} that Airflow can use; it looks like {shape}.")
    return SplitResult(uri.scheme, host, f"/{kind}/{quote(unquote(id), safe='')}", "", "")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """
    Name an asset as OpenLineage does.

    :param asset: a campaign or batch
    :param lineage_context: what reported it; not needed
    :return: a dataset: the namespace is the service, the name what comes behind it
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = dataset_name(asset.uri)
    return Dataset(namespace=namespace, name=name)


def dataset_name(uri: str) -> tuple[str, str]:
    """
    Name something as OpenLineage's naming convention has it.

    :param uri: of a file in a store, or of something of a service
    :return: namespace and name
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return (f"file://{parts.netloc}" if parts.netloc else "file"), unquote(parts.path)
    return f"{parts.scheme}://{parts.netloc}", unquote(parts.path).lstrip("/") or "/"
