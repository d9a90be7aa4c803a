from __future__ import annotations


def test_the_export_in_parts(start):
    sandbox, api = start(export_ranges=True)
    batch_id = api.batch(api.campaign(), 20)
    path = f"/batches/{batch_id}/export.csv"
    whole = api.http.get(path)
    content, etag = whole.content, whole.headers["etag"]
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    assert whole.headers["content-type"] == "text/csv; charset=utf-8"

    def ask(**headers: str):
        return api.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    rest = ask(range="bytes=100-", if_range=etag)
    assert (rest.status_code, rest.content, rest.headers["etag"]) == (206, content[100:], etag)
    assert rest.headers["content-range"] == f"bytes 100-{len(content) - 1}/{len(content)}"
    assert ask(range="bytes=0-9").content == content[:10]
    assert ask(range=f"bytes={len(content) - 1}-{len(content) + 9}").content == content[-1:]
    assert ask(range=f"bytes={len(content)}-").status_code == 416
    assert ask(range="lines=1-2").content == content

    sandbox.run_until_idle()
    changed = ask(range="bytes=100-", if_range=etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag
    assert changed.content != content


def test_without_the_setting_there_are_no_parts(start):
    _, api = start()
    batch_id = api.batch(api.campaign(), 2)
    answer = api.http.get(f"/batches/{batch_id}/export.csv", headers={"range": "bytes=10-"})
    assert answer.status_code == 200
    assert not {"etag", "accept-ranges"} & set(answer.headers)
