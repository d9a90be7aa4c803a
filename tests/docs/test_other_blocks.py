"""
Every block on the pages that is not Python: commands are understood by the programs they name, data can be read.

A language that nothing here or in test_python_blocks.py takes care of fails: no block is skipped.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import importlib.util
import io
import json
import re
import shlex
import tomllib
from collections.abc import Callable
from hashlib import sha256
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from packaging.requirements import Requirement

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.hooks.graine import GraineHook
from airflow_provider_graine.hooks.kataven import KatavenHook
from airflow_provider_graine.sandbox import __main__ as sandbox_command
from airflow_provider_graine.sandbox.server import Sandbox
from tests.docs.pages import PAGES, ROOT, Block, blocks, in_language

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z]+) \??=", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def _csv(text: str) -> None:
    head, *rows = csv.reader(io.StringIO(text), strict=True)
    assert {"phone_number", "callee_name"} <= set(head)
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def _settings(text: str) -> None:
    from airflow.configuration import conf

    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(text)
    assert settings.sections()
    for section in settings.sections():
        for option in settings.options(section):
            assert conf.has_option(section, option), f"Airflow has no [{section}] {option}"


DATA: dict[str, Callable[[str], object]] = {"json": json.loads, "csv": _csv, "ini": _settings, "toml": tomllib.loads}

#: Languages with a test, and those in which there is nothing to run.
PLAYED = {"python", "console", "mermaid", *DATA}
NOT_TO_RUN = {
    "text": "what a program says",
    "{include}": "the site's contents; make docs fails where they do not exist",
    "{toctree}": "the same",
}

#: Programs that are there on any machine and do nothing but what the page says of them.
EVERYDAY = {".", "cat", "cd", "cp", "git", "kill", "mkdir", "mv"}


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert [str(each) for page in PAGES for each in blocks(page) if each.language not in PLAYED | set(NOT_TO_RUN)] == []


@pytest.mark.parametrize("block", in_language("console"), ids=str)
def test_commands_are_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = commands(block.text)
    assert lines
    for line in lines:
        understand(shlex.split(line, comments=True), monkeypatch)


def test_a_command_that_nobody_would_understand_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (
        "make nothing-of-the-kind",
        "make test NOTHING=1",
        'pip install "airflow-provider-graine[nothing]"',
        'pip install ".[nothing]"',
        "graine-sandbox --nothing",
        "airflow dags nothing",
        "airflow dags test --nothing first_calls",
        'export AIRFLOW_CONN_GRAINE_DEFAULT=\'{"conn_type": "graine"}\'',
        "export AIRFLOW_CONN_KATAVEN_DEFAULT='{nothing'",
        "export AIRFLOW__CORE__NOTHING=1",
        "curl -X POST http://127.0.0.1:8600/_sandbox/nothing",
        "curl https://somewhere.else/",
        "python -m nothing.of.the.kind",
        "nothing",
    ):
        with pytest.raises((AssertionError, SystemExit)):
            understand(shlex.split(line), monkeypatch)


def test_of_output_only_the_commands_are_taken() -> None:
    assert commands("$ make test \\\n    ARGS=-x\n5 passed\n$ make demo  # all\n") == [
        "make test     ARGS=-x",
        "make demo  # all",
    ]
    assert commands("make test\n\n# a word\nmake demo\n") == ["make test", "make demo"]


@pytest.mark.parametrize("block", in_language(*DATA), ids=str)
def test_data_can_be_read(block: Block) -> None:
    DATA[block.language](block.text)


@pytest.mark.parametrize("block", in_language("mermaid"), ids=str)
def test_the_site_has_the_diagram_as_it_is_now(block: Block) -> None:
    picture = ROOT / "docs" / "diagrams" / f"{sha256(block.text.encode()).hexdigest()[:16]}.svg"
    assert picture.exists(), "run: python docs/draw_diagrams.py"


def test_no_diagram_is_left_over() -> None:
    wanted = {f"{sha256(block.text.encode()).hexdigest()[:16]}.svg" for block in in_language("mermaid")}
    assert {path.name for path in (ROOT / "docs" / "diagrams").glob("*.svg")} == wanted


def test_the_readme_has_the_first_dag_of_the_tutorial() -> None:
    readme = [block.text for block in blocks(ROOT / "README.md")]
    tutorial = [block.text for block in blocks(ROOT / "docs" / "tutorial.md")]
    first_dag = next(text for text in tutorial if "dag_id" in text)
    assert first_dag in readme
    begins = next(number for number, text in enumerate(readme) if "venv" in text)
    assert [text for text in readme[begins : readme.index(first_dag) + 1] if text not in tutorial] == []


def commands(text: str) -> list[str]:
    """Give the commands of a block: all of it, or, where some lines have a prompt, those."""
    lines = [line for line in text.replace("\\\n", "").splitlines() if line.strip()]
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return prompted or [line for line in lines if not line.startswith("#")]


def understand(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail unless the program that is named would take the command."""
    words = [word for word in words if word != "&"]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        _variable(words.pop(0), monkeypatch)
    program, *arguments = words
    if program in EVERYDAY:
        return
    known = {
        "make": _make,
        "pip": _pip,
        "python": _python,
        "python3": _python,
        "graine-sandbox": _sandbox,
        "airflow": _airflow,
        "curl": _curl,
        "export": _export,
    }
    assert program in known, f"{program}: a test here has to know it"
    known[program](arguments, monkeypatch)


def _make(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    for word in arguments:
        name, is_set, _value = word.partition("=")
        assert name in (VARIABLES if is_set else TARGETS), f"make has no {name}"


def _pip(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    command, *given = arguments
    assert command in ("install", "check")
    for word in given:
        if word.startswith("-"):
            assert word in ("--upgrade", "--editable", "--pre"), word
            continue
        wanted = Requirement(word.replace(".", PROJECT["name"], 1) if word.startswith(".") else word)
        if wanted.name == PROJECT["name"]:
            assert wanted.extras <= set(PROJECT["optional-dependencies"]), word


def _python(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    option, module, *_rest = arguments
    if option == "-m":
        assert importlib.util.find_spec(module.partition(".")[0]), module
        assert importlib.util.find_spec(module), module
    else:
        assert (ROOT / option).exists(), option


def _sandbox(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(self: Sandbox) -> None:
        raise OSError("as good as started")

    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "start", taken)
        assert sandbox_command.main(arguments) == 1


def _airflow(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(arguments)


def _curl(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    given = parser.parse_args(arguments)
    url = urlsplit(given.url)
    assert url.netloc == "127.0.0.1:8600", "only the sandbox is asked"
    headers = dict(header.split(": ", 1) for header in given.headers)
    with Sandbox(speed=0) as sandbox:
        request = Request(sandbox.root_url + url.path, given.body and given.body.encode(), headers, method=given.method)
        try:
            urlopen(request, timeout=10).close()
        except HTTPError as refused:
            raise AssertionError(f"{given.url}: {refused}") from refused


def _export(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for word in arguments:
        _variable(word, monkeypatch)


def _variable(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.configuration import conf

    name, is_set, value = word.partition("=")
    assert is_set, word
    if name.startswith("AIRFLOW_CONN_"):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            _connection(name.removeprefix("AIRFLOW_CONN_").lower())
    elif name.startswith("AIRFLOW__"):
        section, option = name.removeprefix("AIRFLOW__").lower().split("__")
        assert conf.has_option(section, option), f"Airflow has no [{section}] {option}"
    else:
        assert name in {"AIRFLOW_HOME", *VARIABLES}, name


def _connection(conn_id: str) -> None:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(conn_id)
        hook = {"graine": GraineHook, "kataven": KatavenHook}.get(connection.conn_type or "")
        if hook is not None:
            assert hook(conn_id).settings.token
    except (AirflowNotFoundException, ConfigurationError, ValueError) as wrong:
        raise AssertionError(f"{conn_id}: {wrong}") from wrong
