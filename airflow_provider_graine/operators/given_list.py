"""Lists that stand in a DAG or come from another task, for whatever service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.xcom_arg import XComArg

from airflow_provider_graine.operators.list_upload import ListUpload

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_graine.contacts.contact_list import ContactList


class FromContacts(ListUpload):
    """
    Takes the list as an argument; goes before the service's upload operator in the bases.

    :param contacts: the people
    """

    def __init__(self, *, contacts: Iterable[Mapping[str, Any]] | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.contacts = contacts
        XComArg.apply_upstream_relationship(self, contacts)

    def load(self, contacts: ContactList, context: Context) -> None:
        """Take the contacts as they are, or from the task they come from."""
        rows = self.contacts.resolve(context) if isinstance(self.contacts, XComArg) else self.contacts
        contacts.add_rows(rows, origin="contacts")
