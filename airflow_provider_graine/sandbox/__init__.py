"""
A local stand-in for the calling services, to test DAGs against without phoning anyone.

Needs the extra ``sandbox``: ``pip install "airflow-provider-graine[sandbox]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .faults import Fault
    from .kataven.settings import KatavenSettings
    from .recording import ReceivedRequest
    from .server import Sandbox

__all__ = ["Fault", "KatavenSettings", "ReceivedRequest", "Sandbox"]

_HOMES = {
    "Fault": "faults",
    "KatavenSettings": "kataven.settings",
    "ReceivedRequest": "recording",
    "Sandbox": "server",
}
EXTRA = ("starlette", "uvicorn", "h11")
MISSING_EXTRA = 'the sandbox needs its extra: pip install "airflow-provider-graine[sandbox]"'


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f".{_HOMES[name]}", __name__)
    except ModuleNotFoundError as missing:
        if missing.name in EXTRA:
            raise ModuleNotFoundError(MISSING_EXTRA, name=missing.name) from missing
        raise
    return getattr(module, name)
