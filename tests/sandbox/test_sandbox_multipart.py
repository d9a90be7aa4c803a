from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_graine.sandbox import multipart

PIECES = [b"\r", b"\n", b"--", b"a", b":", b" ", b"From ", b"\xff"]
CONTENT = st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join)


@given(content=CONTENT, text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_a_client_sends_is_what_is_read(content, text):
    files = {"contacts": ("contacts.csv", content, "text/csv")}
    request = httpx.Request("POST", "http://sandbox.invalid", data={"name": text}, files=files)
    fields = multipart.parse(request.headers["content-type"], request.read())
    assert fields == {"name": text.encode(), "contacts": content}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b""),
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"name=n"),
        ("multipart/form-data", b"--b\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n'),
        ("multipart/mixed; boundary=b", b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n--b--\r\n'),
    ],
)
def test_what_is_no_form_or_not_whole(content_type, body):
    with pytest.raises(ValueError, match="multipart"):
        multipart.parse(content_type, body)
