"""The URIs of campaigns and batches, as Airflow itself makes assets of them."""

from __future__ import annotations

import importlib
import warnings
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.lineage.assets import (
    create_graine_asset,
    create_kataven_asset,
    dataset_name,
    host_of,
    sanitize_uri,
)


@pytest.mark.parametrize(
    ("given_uri", "uri"),
    [
        ("graine://api.graine.ai/campaigns/cmp_1", "graine://api.graine.ai/campaigns/cmp_1"),
        ("Graine://API.Graine.AI:443/batches/btc_1/", "graine://api.graine.ai/batches/btc_1"),
        ("graine://conn_id@api.graine.ai/batches/btc_1#today", "graine://api.graine.ai/batches/btc_1"),
        ("graine://127.0.0.1:8123/batches/b%74c 1".replace(" ", "%20"), "graine://127.0.0.1:8123/batches/btc%201"),
        ("graine://[::1]:8123/batches/b", "graine://[::1]:8123/batches/b"),
        ("kataven://api.kataven.ai/campaigns/c", "kataven://api.kataven.ai/campaigns/c"),
    ],
)
def test_airflow_brings_a_uri_into_its_one_form(given_uri: str, uri: str) -> None:
    assert Asset(given_uri).uri == uri
    assert Asset(uri).uri == uri


def test_a_token_in_a_uri_is_dropped() -> None:
    with pytest.warns(UserWarning, match="should not contain a password"):
        assert Asset("graine://user:gat_secret@api.graine.ai/campaigns/c").uri == "graine://api.graine.ai/campaigns/c"


@pytest.mark.parametrize(
    "wrong",
    [
        "graine://api.graine.ai",
        "graine:///campaigns/c",
        "graine://api.graine.ai/campaigns",
        "graine://api.graine.ai/campaigns/",
        "graine://api.graine.ai/contacts/c",
        "graine://api.graine.ai/campaigns/c/batches/b",
        "graine://api.graine.ai:http/campaigns/c",
        "kataven://api.kataven.ai/batches/b",
        "graine://api.graine.ai/campaigns/c?token=gat_secret",
    ],
)
def test_a_uri_that_names_nothing_is_refused_in_plain_words(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"it looks like \w+://api\.\w+\.ai/campaigns/<id>") as caught:
        Asset(wrong)
    assert "gat_secret" not in str(caught.value)


@given(
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda text: text.strip() == text and not any(each.isspace() for each in text)
    )
)
def test_any_id_makes_one_uri(id: str) -> None:
    asset = create_graine_asset(batch_id=id)
    assert Asset(asset.uri).uri == asset.uri
    assert sanitize_uri(urlsplit(asset.uri)) == urlsplit(asset.uri)
    assert dataset_name(asset.uri) == ("graine://api.graine.ai", f"batches/{id}")
    assert asset.uri.isascii()


def test_factories() -> None:
    assert create_graine_asset(campaign_id="cmp_1").uri == "graine://api.graine.ai/campaigns/cmp_1"
    named = create_graine_asset(batch_id="btc_1", host="Graine.example:8443", name="monday", extra={"region": "IN"})
    assert (named.name, named.uri, named.extra) == (
        "monday",
        "graine://graine.example:8443/batches/btc_1",
        {"region": "IN"},
    )
    assert create_kataven_asset(campaign_id="camp_1").uri == "kataven://api.kataven.ai/campaigns/camp_1"
    for ids in ({}, {"campaign_id": "c", "batch_id": "b"}):
        with pytest.raises(ValueError, match="one of them"):
            create_graine_asset(**ids)


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.graine.ai/api/v1", "api.graine.ai"),
        ("https://API.graine.ai:443", "api.graine.ai"),
        ("http://127.0.0.1:8123/api/v1", "127.0.0.1:8123"),
        ("http://[::1]:80/", "[::1]"),
    ],
)
def test_the_host_is_that_of_the_connection(base_url: str, host: str) -> None:
    assert host_of(base_url) == host


@pytest.mark.parametrize("scheme", ["graine", "kataven"])
def test_airflow_has_found_what_is_registered(scheme: str) -> None:
    from airflow.providers_manager import ProvidersManager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other providers'
        manager = ProvidersManager()
        assert manager.asset_uri_handlers[scheme] is sanitize_uri
        asset = manager.asset_factories[scheme](campaign_id="c", extra={"a": 1})
        convert = manager.asset_to_openlineage_converters[scheme]
    assert (asset.uri, asset.extra) == (f"{scheme}://api.{scheme}.ai/campaigns/c", {"a": 1})
    assert callable(convert)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/results/a.csv", ("s3://bucket", "results/a.csv")),
        ("file:///data/a.csv", ("file", "/data/a.csv")),
        ("graine://api.graine.ai/campaigns/c", ("graine://api.graine.ai", "campaigns/c")),
    ],
)
def test_datasets_are_named_as_the_stores_own_providers_name_them(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name
    modules = {
        "s3": "airflow.providers.amazon.aws.assets.s3",
        "file": "airflow.providers.common.io.assets.file",
        "graine": "airflow_provider_graine.lineage.assets",
    }
    try:
        module = importlib.import_module(modules[uri.partition(":")[0]])
    except ImportError:  # not every store's provider is installed everywhere
        return
    dataset = module.convert_asset_to_openlineage(Asset(uri), None)
    assert (dataset.namespace, dataset.name) == name
