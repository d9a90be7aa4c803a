"""
Results from the service to local disk and to a real S3 server, against a plain httpx stream into the same store.

``python -m benchmarks.results_out [--megabytes 1000] [--repeat 3] [--only local|s3]``
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.exporting import export_server
from benchmarks.measuring import Line, airflow_home, measured, report

_SPEED = 0.9  # of the plain stream's
_GROWTH = 64  # MB
_TEARS = 10
_SMALL = 10  # MB, to load and connect what is needed


# -- in processes of their own


def plain_local(url: str, folder: str, megabytes: int) -> dict[str, float]:
    """What a data engineer would write."""
    import httpx

    def download(size: int) -> None:
        with (
            httpx.stream(
                "GET", f"{url}/batches/btc_{size}/export.csv", headers={"Authorization": "Bearer x"}
            ) as answer,
            open(f"{folder}/plain.csv", "wb") as file,
        ):
            answer.raise_for_status()
            for block in answer.iter_bytes():
                file.write(block)

    return _timed(download, megabytes)


def plain_s3(url: str, s3: dict[str, str], megabytes: int) -> dict[str, float]:
    """The same into S3."""
    import httpx
    import s3fs

    store = s3fs.S3FileSystem(key=s3["key"], secret=s3["secret"], endpoint_url=s3["endpoint_url"])

    def download(size: int) -> None:
        with (
            httpx.stream(
                "GET", f"{url}/batches/btc_{size}/export.csv", headers={"Authorization": "Bearer x"}
            ) as answer,
            store.open(f"{s3['bucket']}/plain.csv", "wb") as file,
        ):
            answer.raise_for_status()
            for block in answer.iter_bytes():
                file.write(block)

    return _timed(download, megabytes)


def landed(path: str, megabytes: int) -> dict[str, float]:
    """The operator: checked, counted, hashed, atomic."""
    return _timed(lambda size: _land(f"btc_{size}", path), megabytes)


def _land(batch_id: str, path: str) -> dict[str, Any]:
    from airflow_provider_graine.transfers.graine_to_object_storage import GraineToObjectStorageOperator

    operator = GraineToObjectStorageOperator(task_id="land", batch_ids=batch_id, path=path, if_exists="replace")
    (file,) = operator.execute({})
    return dict(file)


def _timed(download: Callable[[int], Any], megabytes: int) -> dict[str, float]:
    download(_SMALL)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    wall, cpu = time.perf_counter(), time.process_time()
    download(megabytes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "growth": _status("VmHWM") - before}


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def torn(path: str, megabytes: int, place: int) -> dict[str, Any]:
    """Land a batch whose first download breaks off, and look all the while at what can be seen of it."""
    from airflow.sdk import ObjectStoragePath

    whole = _land(f"btc_{megabytes}", path)
    batch_id = f"btc_{megabytes}_{place}"
    target = ObjectStoragePath(path) / f"{batch_id}.csv"
    seen: set[int] = set()
    looks, done = 0, threading.Event()

    def look() -> None:
        nonlocal looks
        while not done.is_set():
            target.fs.invalidate_cache()
            if target.fs.exists(target.path):
                seen.add(target.fs.info(target.path)["size"])
            looks += 1
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        again = _land(batch_id, path)
    finally:
        done.set()
        thread.join()
    with target.open("rb") as file:
        stored = hashlib.file_digest(file, "sha256").hexdigest()
    target.unlink()
    return {
        "partial": len(seen - {whole["bytes"]}),
        "identical": stored == whole["sha256"] == again["sha256"],
        "looks": looks,
    }


# -- here


def compare(
    repeat: int, megabytes: int, plain: tuple[str, dict[str, Any]], path: str, where: str, *, folder: str
) -> list[Line]:
    """
    Both in turns, so that what else the machine does meets both alike; on disk each writes a new file.

    To replace one takes longer there: ext4 writes out the new file before the old one goes.
    """
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": plain,
        "landed": ("benchmarks.results_out:landed", {"path": path}),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, (function, arguments) in calls.items():
            for file in Path(folder).iterdir():
                file.unlink()
            os.sync()  # what the run before wrote is not to be written out during this one
            runs[name].append(measured(function, megabytes=megabytes, **arguments).result)
    seconds = {name: statistics.median(run["wall"] for run in several) for name, several in runs.items()}
    growth = {name: max(run["growth"] for run in several) for name, several in runs.items()}
    speed = seconds["plain"] / seconds["landed"]
    return [
        *(
            Line(
                f"{name}, {where}",
                f"{megabytes / seconds[name]:.0f} MB/s, {statistics.median(run['cpu'] for run in several):.2f} s CPU, "
                f"RSS growth {growth[name]:.0f} MB",
            )
            for name, several in runs.items()
        ),
        Line(f"speed of the plain stream, {where}", f"{speed:.2f}", f"at least {_SPEED}", speed >= _SPEED),
        Line(
            f"RSS growth, {where}", f"{growth['landed']:.0f} MB", f"at most {_GROWTH} MB", growth["landed"] <= _GROWTH
        ),
    ]


def tear(megabytes: int, path: str, where: str) -> list[Line]:
    """Ten downloads, each torn once."""
    chance = random.Random(5)
    runs = [
        measured(
            "benchmarks.results_out:torn",
            path=path,
            megabytes=megabytes,
            place=chance.randrange(megabytes * 900_000),
        ).result
        for _ in range(_TEARS)
    ]
    partial, identical = sum(run["partial"] for run in runs), sum(run["identical"] for run in runs)
    looks = sum(run["looks"] for run in runs)
    return [
        Line(f"partial objects seen in {looks} looks, {where}", f"{partial}", "0", partial == 0 and looks > 0),
        Line(f"identical after a tear, {where}", f"{identical} of {_TEARS}", f"all {_TEARS}", identical == _TEARS),
    ]


def main() -> int:
    """Run all of it."""
    from tests import servers

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["local", "s3"])
    options = parser.parse_args()
    torn_megabytes = max(_SMALL, options.megabytes // 20)

    lines = []
    with (
        export_server() as exports,
        servers.s3() as s3,
        tempfile.TemporaryDirectory(prefix="results-") as folder,
        airflow_home(graine_default=exports.airflow_connection, results_store=s3.airflow_connection),
    ):
        os.environ["AWS_DEFAULT_REGION"] = s3.region
        access = {
            "key": s3.access_key,
            "secret": s3.secret_key,
            "endpoint_url": s3.endpoint_url,
            "bucket": s3.bucket,
        }
        plain_to_folder = ("benchmarks.results_out:plain_local", {"url": exports.url, "folder": folder})
        plain_to_s3 = ("benchmarks.results_out:plain_s3", {"url": exports.url, "s3": access})
        on_disk = Path(folder).as_uri()
        s3_path = f"s3://results_store@{s3.bucket}/results"
        if options.only != "s3":
            lines += compare(options.repeat, options.megabytes, plain_to_folder, on_disk, "local disk", folder=folder)
            lines += tear(torn_megabytes, on_disk, "local disk")
        if options.only != "local":
            lines += compare(options.repeat, options.megabytes, plain_to_s3, s3_path, "S3", folder=folder)
            lines += tear(torn_megabytes, s3_path, "S3")
    return report(f"{options.megabytes} MB of results, median of {options.repeat}", lines)


if __name__ == "__main__":
    sys.exit(main())
