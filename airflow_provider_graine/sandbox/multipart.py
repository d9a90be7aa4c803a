"""Forms as browsers and HTTP clients send them when files are among the fields."""

from __future__ import annotations

from email import message_from_bytes, policy


def parse(content_type: str, body: bytes) -> dict[str, bytes]:
    """
    :param content_type: of the request
    :param body: of the request
    :return: field name to its raw content; of a field sent twice the last
    :raises ValueError: it is no such form, or not whole
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    message = message_from_bytes(head + body, policy=policy.HTTP)
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart() or message.defects:
        raise ValueError("not a multipart/form-data body")
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content
    return fields
