"""
What must hold of a release, checked by a machine: ``make release-check``, or with the tag that is to be made,
``make release-check ARGS="--tag v0.1.0"``.

Everything is looked at as it is committed, in fresh clones: what lies in the work tree is not part of a release.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import cached_property
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_graine"
DISTRIBUTION = "airflow-provider-graine"

#: Files of others, byte for byte: what they are, and the licence beside them.
VENDORED = {
    "charts/chart.umd.min.js": (
        "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2",
        "charts/chart.js.LICENSE",
    ),
}

#: What the source distribution leaves out of what is committed.
NOT_IN_SDIST = re.compile(r"\.ci/")

IMPORT_ALL = """
import importlib, sys
from airflow_provider_graine.get_provider_info import get_provider_info

info = get_provider_info()
rows = [row for kind in ("hooks", "operators", "sensors", "triggers") for row in info.get(kind, ())]
modules = {module for row in rows for module in row["python-modules"]}
modules |= {row["python-module"] for row in info["transfers"]}
paths = [*info.get("notifications", ()), *info.get("extra-links", ())]
paths += [row["hook-class-name"] for row in info["connection-types"]]
paths += [row["class-name"] for row in info.get("task-decorators", ())]
paths += [row["plugin-class"] for row in info.get("plugins", ())]
for path in paths:
    module, _, name = path.rpartition(".")
    modules.add(module)
    getattr(importlib.import_module(module), name)
for module in modules:
    importlib.import_module(module)
assert "site-packages" in sys.modules["airflow_provider_graine"].__file__
print(len(modules), "modules")
"""


class NotSo(Exception):
    """What was checked does not hold; the message says what is wrong."""


class Release:
    """
    The commit that is to be released.

    :param folder: for clones, distributions and environments
    :param tag: the tag that is to be made, if it is known
    """

    def __init__(self, folder: Path, tag: str | None) -> None:
        self.folder = folder
        self.tag = tag

    @cached_property
    def version(self) -> str:
        """The version, as the package says it."""
        tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
                return str(ast.literal_eval(node.value))
        raise NotSo(f"{PACKAGE}/__init__.py has no __version__")

    @cached_property
    def committed(self) -> frozenset[str]:
        """The files of the commit."""
        return frozenset(_git("ls-tree", "-r", "--name-only", "HEAD").splitlines())

    def build(self, name: str, umask: int) -> Path:
        """
        Build both distributions from a clone of its own.

        :param name: of the folder, so that no two builds are at the same place
        :param umask: file permissions of the clone
        :return: the folder with the distributions
        """
        clone, built = self.folder / name / "source", self.folder / name / "dist"
        _run("git", "clone", "--quiet", str(ROOT), str(clone), umask=umask)
        epoch = _git("log", "-1", "--format=%ct")
        _run(
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            str(built),
            str(clone),
            epoch=epoch,
            umask=umask,
        )
        return built

    @cached_property
    def distributions(self) -> tuple[Path, Path]:
        """Wheel and source distribution."""
        built = self.build("first", 0o022)
        [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
        return wheel, sdist


def clean_tree(release: Release) -> str:
    """Nothing is changed or added beside the commit."""
    if left := _git("status", "--porcelain"):
        raise NotSo(f"{len(left.splitlines())} files are changed or not committed, such as {left.splitlines()[0][3:]}")
    return _git("log", "-1", "--format=%h %s")


def versions(release: Release) -> str:
    """Package, changelog, tag and the stored triggers speak of the same version."""
    version = release.version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    title = re.search(r"^## (\S+) \((.*)\)$", changelog, flags=re.MULTILINE)
    if title is None or title[1] != version:
        raise NotSo(f"the package is {version}, and the first section of CHANGELOG.md is not")
    serialised = json.loads((ROOT / "tests" / "triggers" / "serialised.json").read_text(encoding="utf-8"))
    if version not in serialised:
        raise NotSo(f"tests/triggers/serialised.json has no triggers of {version}")
    tags = [release.tag] if release.tag else _git("tag", "--points-at", "HEAD").split()
    if tags and f"v{version}" not in tags:
        raise NotSo(f"the tag is {', '.join(tags)}, and the version {version}")
    if title[2] == "unreleased":
        if tags:
            raise NotSo(f"{version} is to be tagged, and CHANGELOG.md calls it unreleased: give it its date")
        return f"{version}, unreleased"
    try:
        released = date.fromisoformat(title[2])
    except ValueError:
        raise NotSo(f"CHANGELOG.md: {title[2]} is no date") from None
    if released > date.today():
        raise NotSo(f"CHANGELOG.md: {released} is still to come")
    return f"{version} of {released}"


def reproducible(release: Release) -> str:
    """Another build, elsewhere, later and with other permissions, gives the same bytes; so does one from the sdist."""
    wheel, sdist = release.distributions
    again = release.build("second/somewhere else", 0o077)
    for first in (wheel, sdist):
        if _hash(first) != _hash(again / first.name):
            raise NotSo(f"{first.name} differs from build to build")
    unpacked = release.folder / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    [source] = unpacked.iterdir()
    epoch = _git("log", "-1", "--format=%ct")
    out = release.folder / "from-sdist"
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source), epoch=epoch)
    if _hash(out / wheel.name) != _hash(wheel):
        raise NotSo("the wheel that is built from the source distribution is another one")
    return f"wheel {_hash(wheel)[:16]}…, sdist {_hash(sdist)[:16]}…"


def contents(release: Release) -> str:
    """The wheel has all of the package and nothing else, the source distribution all that is committed."""
    wheel, sdist = release.distributions
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    own = {name for name in release.committed if name.startswith(f"{PACKAGE}/")}
    info = {name for name in packed if name.startswith(f"{PACKAGE}-{release.version}.dist-info/")}
    _same(packed - info, own, "the wheel")
    if f"{PACKAGE}/py.typed" not in packed:
        raise NotSo("the wheel has no py.typed")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name for name in release.committed if not NOT_IN_SDIST.match(name)}
    _same(names - {"PKG-INFO"}, wanted, "the source distribution")
    return f"{len(packed)} files in the wheel, {len(names)} in the source distribution"


def metadata(release: Release) -> str:
    """The package index takes it, and shows the readme."""
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, release.distributions))
    return "taken by twine"


def licences(release: Release) -> str:
    """The licence is in the wheel, and so is that of each file of others, which are as they were published."""
    wheel, _ = release.distributions
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
            raise NotSo("the wheel has no LICENSE")
        for path, (published, licence) in VENDORED.items():
            if sha256(archive.read(f"{PACKAGE}/{path}")).hexdigest() != published:
                raise NotSo(f"{path} is not as it was published")
            if not any(name.endswith(f".dist-info/licenses/{PACKAGE}/{licence}") for name in names):
                raise NotSo(f"the licence of {path} is not among those of the wheel (license-files)")
    scripts = {name for name in release.committed if name.endswith((".min.js", ".min.css"))}
    if strangers := scripts - {f"{PACKAGE}/{path}" for path in VENDORED}:
        raise NotSo(f"nobody knows where {sorted(strangers)} come from (VENDORED)")
    return f"own, and of {len(VENDORED)} file of others"


def clean_install(release: Release) -> str:
    """The wheel alone brings all it needs: into an empty environment, with the newest of everything."""
    wheel, _ = release.distributions
    environment = release.folder / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    _run(python, "-m", "pip", "check")
    home = {"AIRFLOW_HOME": str(release.folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    imported = _run(python, "-c", IMPORT_ALL, variables=home, cwd=environment)  # not where the source lies
    airflow = str(environment / "bin" / "airflow")
    listed = _run(airflow, "providers", "get", DISTRIBUTION, "--output", "json", variables=home)
    if release.version not in listed:
        raise NotSo("airflow providers get does not show this version")
    newest = _run(python, "-c", "from importlib.metadata import version; print(version('apache-airflow'))")
    return f"{imported.split()[-2]} modules import, with Airflow {newest.strip()}"


def vulnerabilities(release: Release) -> str:
    """No pinned package has a known hole. A package that could not be looked up counts as not looked at."""
    audited = 0
    for pins in ("dev.txt", "demo.txt"):
        given = ["--requirement", str(ROOT / "requirements" / pins), "--require-hashes", "--disable-pip"]
        report = _run(
            sys.executable, "-m", "pip_audit", *given, "--vulnerability-service", "pypi", "--format", "json",
            "--progress-spinner", "off", fails=True,
        )  # fmt: skip
        try:
            packages = json.loads(report[report.index("{") :].splitlines()[0])["dependencies"]
        except (ValueError, KeyError):
            raise NotSo(f"{pins}: pip-audit says: {report.strip().splitlines()[-1][:200]}") from None
        holes = [f"{each['name']} {hole['id']}" for each in packages for hole in each.get("vulns", ())]
        if holes:
            raise NotSo(f"{pins}: {', '.join(holes)}")
        if unseen := [each for each in packages if "skip_reason" in each]:
            raise NotSo(f"{pins}: {len(unseen)} of {len(packages)} packages could not be looked up")
        audited += len(packages)
    return f"none in {audited} pins"


def site(release: Release) -> str:
    """The documentation builds without a warning."""
    clone = release.folder / "site"
    _run("git", "clone", "--quiet", str(ROOT), str(clone))
    _run(
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "docs",
        str(release.folder / "html"),
        cwd=clone,
    )
    return f"{len(list((release.folder / 'html').rglob('*.html')))} pages"


#: In this order: what is cheap and tells much comes first.
CHECKS: dict[str, Callable[[Release], str]] = {
    "tree": clean_tree,
    "versions": versions,
    "contents": contents,
    "licences": licences,
    "metadata": metadata,
    "reproducible": reproducible,
    "install": clean_install,
    "audit": vulnerabilities,
    "docs": site,
}


def main() -> int:
    """Check everything and return the exit code."""
    parser = argparse.ArgumentParser(prog="release_check", description="What must hold of a release.")
    parser.add_argument("--tag", help="the tag that is to be made, such as v0.1.0; default: those of the commit")
    parser.add_argument("--without", nargs="+", default=[], choices=CHECKS, help="checks to leave out")
    options = parser.parse_args()
    began = time.monotonic()
    failed = []
    folder = Path(tempfile.mkdtemp(prefix="release-"))
    try:
        release = Release(folder, options.tag)
        _ = release.distributions  # built once, for all
        # The install waits for the network most of the time; the others need not wait for it.
        with ThreadPoolExecutor(1) as beside:
            installs = None if "install" in options.without else beside.submit(_outcome, clean_install, release, True)
            for name, check in CHECKS.items():
                if name in options.without:
                    print(f"  {name:13} left out", flush=True)
                    continue
                is_well, said = installs.result() if check is clean_install and installs else _outcome(check, release)
                print(f"  {name:13} {'ok    ' if is_well else 'FAILED'}  {said}", flush=True)
                failed += [] if is_well else [name]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    done = len(CHECKS) - len(set(options.without))
    print(f"\n{len(failed)} of {done} checks failed, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def _outcome(check: Callable[[Release], str], release: Release, waits: bool = False) -> tuple[bool, str]:
    try:
        return True, check(release)
    except NotSo as wrong:
        return False, str(wrong)


def _same(found: set[str], wanted: set[str], where: str) -> None:
    if missing := sorted(wanted - found):
        raise NotSo(f"{where} lacks {len(missing)} files, such as {missing[0]}")
    if extra := sorted(found - wanted):
        raise NotSo(f"{where} has {len(extra)} files that are not committed, such as {extra[0]}")


def _hash(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _git(*arguments: str) -> str:
    return _run("git", *arguments).strip()


def _run(
    *command: str,
    cwd: Path = ROOT,
    umask: int = -1,
    epoch: str | None = None,
    variables: dict[str, str] | None = None,
    fails: bool = False,
) -> str:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "SOURCE_DATE"))
    }
    environment = {**kept, **(variables or {}), **({"SOURCE_DATE_EPOCH": epoch} if epoch else {})}
    done = subprocess.run(
        command, cwd=cwd, env=environment, umask=umask, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode and not fails:
        said = [line for line in (done.stderr + done.stdout).strip().splitlines() if line.strip()]
        raise NotSo(f"{' '.join(command[:4])} …: {' / '.join(said[-3:])[:600]}")
    return done.stdout if not fails else done.stdout or done.stderr


if __name__ == "__main__":
    sys.exit(main())
