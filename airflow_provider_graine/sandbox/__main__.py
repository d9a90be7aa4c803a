"""The command ``graine-sandbox``: a sandbox to look at, and for DAGs that run in other processes."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """
    Serve until interrupted.

    :param argv: arguments; default: those of the process
    :return: exit status
    """
    parser = argparse.ArgumentParser(
        prog="graine-sandbox",
        description="A local stand-in for the Graine and Kataven calling services. Nobody is phoned.",
        epilog="Faults, time and received requests are controlled over HTTP below /_sandbox, with the same token: "
        "POST and DELETE /_sandbox/faults, POST /_sandbox/advance, GET /_sandbox/requests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8600, help="port, 0 for any free one (%(default)s)")
    parser.add_argument(
        "--speed", type=float, default=60.0, help="virtual seconds per real second, 0 for by hand (%(default)s)"
    )
    parser.add_argument("--start", help="virtual time at the start, ISO 8601 (now)")
    parser.add_argument("--seed", default="1", help="decides who answers (%(default)s)")
    parser.add_argument("--token", default="gat_sandbox", help="the token that Graine accepts (%(default)s)")
    parser.add_argument(
        "--no-rate-limits", action="store_true", help="let Kataven answer any number of requests (60 a virtual minute)"
    )
    parser.add_argument("--allow-remote", action="store_true", help="let other machines in")
    options = parser.parse_args(argv)

    try:
        from .kataven.settings import KatavenSettings
        from .server import Sandbox
    except ModuleNotFoundError as missing:
        from . import EXTRA, MISSING_EXTRA

        if missing.name not in EXTRA:
            raise
        print(f"graine-sandbox: {MISSING_EXTRA}", file=sys.stderr)  # noqa: T201
        return 1
    try:
        sandbox = Sandbox(
            speed=options.speed,
            seed=options.seed,
            token=options.token,
            host=options.host,
            port=options.port,
            start=options.start,
            allow_remote=options.allow_remote,
            kataven=KatavenSettings(rate_limits=not options.no_rate_limits),
        )
    except ValueError as wrong:
        hint = " (--allow-remote)" if "allow_remote" in str(wrong) else ""
        parser.error(f"{wrong}{hint}")

    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    try:
        sandbox.start()
    except OSError as taken:
        print(f"graine-sandbox: cannot listen on {options.host}:{options.port}: {taken}", file=sys.stderr)  # noqa: T201
        return 1
    print(  # noqa: T201
        f"Graine sandbox on {sandbox.root_url} (API {sandbox.url}, Kataven's {sandbox.kataven.url}), "
        f"{options.speed:g} times real speed.\n"
        "Nobody is phoned. For Airflow:\n\n"
        f"export AIRFLOW_CONN_GRAINE_DEFAULT='{sandbox.connection_json()}'\n"
        f"export AIRFLOW_CONN_KATAVEN_DEFAULT='{sandbox.kataven.connection_json()}'\n\n"
        "Ctrl-C stops it.",
        flush=True,
    )
    interrupted.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
