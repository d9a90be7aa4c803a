from tests.connections import little_to_collect, naps, nothing_leaks
from tests.hooks.conftest import _running, connect, hook, sandbox

__all__ = ["_running", "connect", "hook", "little_to_collect", "naps", "nothing_leaks", "sandbox"]
