"""The documentation as a site: ``make docs``. Nothing is fetched from the network while it is built."""

from __future__ import annotations

import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Importing Airflow writes a configuration: not into the home of whoever builds the site.
_home = tempfile.TemporaryDirectory(prefix="airflow-home-")
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from airflow_provider_graine import __version__  # noqa: E402
from airflow_provider_graine.hooks.calling_service import AsyncCall, Call  # noqa: E402
from airflow_provider_graine.hooks.graine import GraineHook  # noqa: E402
from airflow_provider_graine.hooks.kataven import KatavenHook  # noqa: E402

project = "airflow-provider-graine"
author = "the authors of airflow-provider-graine"
copyright = f"{author}, Apache License 2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_last_updated_fmt = None
smartquotes = False

myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
python_display_short_literal_types = True
maximum_signature_line_length = 88
add_module_names = False

nitpicky = True
# What is not this package's has no page here, and no inventory is fetched. Names without a module are those of
# annotations whose imports are for type checkers alone; both services have a Campaign.
suppress_warnings = ["ref.python"]
nitpick_ignore_regex = [
    (r"py:.*", r"(airflow|collections|contextlib|datetime|pydantic|typing)\..*"),
    (
        r"py:.*",
        r"Abstract(Async)?ContextManager|Airflow\w+|Asset|Context|ExceptionRetryPolicy|TaskDecorator|XComArg|dict\[.*|timedelta|datetime",
    ),
    # What users are handed and do not make themselves.
    (r"py:mod", r"requests"),
    (r"py:class", r"(.*\.)?(AsyncSession|Counts|Download|Id|ServiceSettings|Session|Status|What)"),
]

#: Folders with classes that Airflow runs.
FOR_AIRFLOW = {"decorators", "notifications", "operators", "sensors", "transfers", "triggers"}

#: Pages at the root of the repository that the site has as pages of its own.
PAGES_OF_ROOT = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../benchmarks/README.md": "benchmarks.md",
}


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to pages of the root lead to those of the site, and show diagrams as they were drawn."""
    for target, here in PAGES_OF_ROOT.items():
        source[0] = source[0].replace(f"]({target}", f"]({here}")
    source[0] = re.sub(r"^```mermaid\n(.*?)^```$", _drawn, source[0], flags=re.DOTALL | re.MULTILINE)


def _drawn(block: re.Match[str]) -> str:
    name = sha256(block[1].encode()).hexdigest()[:16]
    return f"```{{image}} diagrams/{name}.svg\n:class: diagram\n:alt: a diagram of what the text says\n```"


def as_methods(hook: type) -> None:
    """Show a hook's endpoints as its methods, which autodoc does not see in descriptors; the blocking ones only."""
    for name, offered in list(vars(hook).items()):
        if isinstance(offered, AsyncCall):
            delattr(hook, name)
        elif isinstance(offered, Call):
            setattr(hook, name, _method(name, offered._describe))


def _method(name: str, describe: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(describe)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    answer = re.sub(r"[A-Z]\w+", partial(_in_full, describe), signature.return_annotation[len("Request[") : -1])

    def method(self: Any) -> None:
        raise NotImplementedError

    method.__name__ = name
    method.__doc__ = describe.__doc__
    method.__annotations__ = {}
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *signature.parameters.values()], return_annotation=answer
    )
    return method


def _in_full(describe: Callable[..., Any], name: re.Match[str]) -> str:
    named = getattr(describe, "__globals__", {}).get(name[0])
    return f"{named.__module__}.{name[0]}" if inspect.isclass(named) else name[0]


def is_for_airflow(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what only Airflow calls: of its kinds of classes, users need the arguments."""
    function = next((getattr(member, kind) for kind in ("func", "fget", "__func__") if hasattr(member, kind)), member)
    folder = str(getattr(function, "__module__", "")).removeprefix("airflow_provider_graine.").partition(".")[0]
    return True if inspect.isfunction(function) and what == "class" and folder in FOR_AIRFLOW else None


def setup(app: Sphinx) -> None:
    """Set the site up."""
    app.add_lexer("csv", TextLexer)
    for hook in (GraineHook, KatavenHook):
        as_methods(hook)
    app.connect("source-read", adapt)
    app.connect("autodoc-skip-member", is_for_airflow)
