"""The Debian package's files: whole without anything else, and what the package says of itself."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distribution import closure, deb, tree
from lasthop import __version__
from tests.architecture.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNIT = ROOT / "packaging" / "systemd" / "lasthop@.service"
#: Imports every module that is packed, and says which of them came from elsewhere than the tree or Python itself.
_IMPORT_ALL = """
import importlib, pkgutil, sys, sysconfig
import lasthop
for module in pkgutil.walk_packages(lasthop.__path__, "lasthop."):
    importlib.import_module(module.name)
homes = (sys.argv[1], sysconfig.get_path("stdlib"))
strangers = {m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)}
print(sorted(path for path in strangers if not path.startswith(homes)))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's root with the package's files, and an interpreter where theirs points."""
    made = tmp_path_factory.mktemp("root")
    tree.lay_out(made, closure.needed_by("lasthop"))
    (made / "usr/bin/python3").symlink_to(os.path.realpath(sys.executable))
    return made


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(root / tree.HOME / "bin/python3"), "-IB", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env={}, cwd="/")


def test_every_module_can_be_imported_from_the_packages_own_files_alone(root: Path) -> None:
    done = run(root, "-c", _IMPORT_ALL, str(root))
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_program_of_the_package_checks_a_configuration(root: Path) -> None:
    done = run(root, str(root / "usr/bin/lasthop"), "check", str(root / "etc/lasthop/lb1.toml.example"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok: director lb1" in done.stdout


def test_ipvsadm_is_out_of_everybodys_path(root: Path) -> None:
    assert [path.name for path in (root / "usr/bin").iterdir() if path.name != "python3"] == ["lasthop"]
    done = run(root, str(root / tree.HOME / "bin/ipvsadm"), "--help")
    assert done.stdout.startswith("ipvsadm v1.31")


def test_what_an_operator_looks_for_is_where_debian_has_it(root: Path) -> None:
    for path in (
        "usr/lib/systemd/system/lasthop@.service",
        "usr/lib/sysusers.d/lasthop.conf",
        "usr/share/man/man1/lasthop.1.gz",
        "usr/share/man/man5/lasthop.toml.5.gz",
        "usr/share/bash-completion/completions/lasthop",
        "usr/share/doc/lasthop/examples/one-box.toml",
    ):
        assert (root / path).is_file(), path
    assert gzip.decompress((root / "usr/share/man/man1/lasthop.1.gz").read_bytes()).startswith(b".TH")


def test_the_package_has_neither_tests_nor_traces_of_who_built_it(root: Path) -> None:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "python3"]
    named = {part for path in files for part in path.relative_to(root).parts}
    assert not named & {"tests", "__pycache__", "direct_url.json", "RECORD"}
    here = str(ROOT).encode()
    assert not [
        path for path in files if path.suffix in {".py", ".toml", ".cfg", ".json"} and here in path.read_bytes()
    ]


def test_the_version_is_of_a_release_of_debian() -> None:
    assert re.fullmatch(rf"{re.escape(__version__)}-1~deb\d+", deb.version())


def test_every_declared_dependency_is_packed() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    packed = {canonicalize_name(each.name) for each in closure.needed_by("lasthop")}
    assert {canonicalize_name(Requirement(line).name) for line in declared} <= packed
    assert "pytest" not in packed


def test_a_licence_is_told_of_everything_that_is_packed() -> None:
    assert all(closure.licence_of(each) != "see its files" for each in closure.needed_by("lasthop"))


def test_programs_and_tests_of_a_library_are_left_out() -> None:
    files = closure.files_of(distribution("numpy"))
    assert PurePosixPath("numpy/__init__.py") in files
    assert not [path for path in files if ".." in path.parts or "tests" in path.parts]


def test_the_unit_has_the_capabilities_that_doctor_asks_for() -> None:
    from lasthop.policy.findings import NEEDED_CAPABILITIES

    wanted = {f"CAP_{each.name}" for each in NEEDED_CAPABILITIES}
    lines = dict(line.partition("=")[::2] for line in UNIT.read_text().splitlines() if not line.startswith("#"))
    assert set(lines["CapabilityBoundingSet"].split()) == set(lines["AmbientCapabilities"].split()) == wanted
    assert (lines["Type"], lines["RuntimeDirectoryPreserve"]) == ("notify", "yes")


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_a_maintainer_script_is_one_that_sh_can_read_and_ends_at_the_first_failure(name: str) -> None:
    script = ROOT / "packaging" / "deb" / name
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "\nset -e\n" in script.read_text()
