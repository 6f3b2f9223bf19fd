"""Which of this machine's files go along into a virtual machine: those of Debian packages, and the project's.

Owns the list. Must not be here: how it becomes a file system.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kernels.refusal import KernelTestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What every program of the tests expects of a machine.
BASE = (
    *("bash", "dash", "coreutils", "grep", "sed", "findutils", "diffutils", "mawk", "libc-bin", "hostname"),
    *("mount", "kmod", "base-files", "base-passwd", "netbase", "libstdc++6", "zlib1g"),
)
_CONFIGURATION = ("etc/passwd", "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/ld.so.cache", "etc/alternatives")
_UNUSED_FILES = re.compile(r"^usr/(share/(doc|man|locale|info|lintian|bash-completion)|lib/python3[^/]*/test)/")
#: Compilers and linters: what they make is made, and what they say was said, before the machine starts.
_UNUSED_OF_ENVIRONMENT = re.compile(
    r"/(ziglang|mypy|mypyc|[0-9a-f]+__mypyc[^/]*|pip|setuptools|grimp|hatchling|importlinter|clang_format|bin/ruff)(/|$)"
)
_FOLDERS = ("src", "tests", "bench", "bpf", "docs", "examples", ".venv", "build/bench")


def of_packages(names: Iterable[str]) -> Iterator[str]:
    """Files of installed packages and of all they depend on, relative to the root. Raises KernelTestError."""
    found = _with_dependencies({*names, *BASE})
    listed = _query("--listfiles", *sorted(found)).splitlines()
    for path in {line.removeprefix("/") for line in listed if line.startswith("/")}:
        if not _UNUSED_FILES.match(path) and os.path.lexists(f"/{path}"):
            yield path
            yield from _compiled(path)
    for path in _CONFIGURATION:
        yield from _below(Path("/", path)) if Path("/", path).exists() else ()


def of_project(root: Path) -> Iterator[str]:
    """The project's files, its environment included; absolute paths in there stay true."""
    for folder in _FOLDERS:
        yield from (path for path in _below(root / folder) if not _UNUSED_OF_ENVIRONMENT.search(f"/{path}"))
    yield from (str(path).removeprefix("/") for path in root.iterdir() if path.is_file())


def _compiled(path: str) -> Iterator[str]:
    """Where Python keeps a module compiled: no package lists that."""
    if path.endswith(".py"):
        folder, name = os.path.split(path)
        yield from (str(each).removeprefix("/") for each in Path("/", folder, "__pycache__").glob(f"{name[:-3]}.*.pyc"))


def _below(top: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            yield os.path.join(folder, name).removeprefix("/")  # noqa: PTH118 -- 30,000 of them


def _with_dependencies(names: set[str]) -> set[str]:
    """Of all that is installed, what `names` need. Raises KernelTestError if one of those is missing."""
    needs: dict[str, list[list[str]]] = {}
    providers: dict[str, list[str]] = {}
    form = "${db:Status-Status}\t${binary:Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    for line in _query("--show", f"--showformat={form}").splitlines():
        status, full, provides, depends = line.split("\t")
        if status == "installed":
            name = full.partition(":")[0]
            needs[name] = [re.findall(r"(?:^|\|)\s*([a-z0-9][a-z0-9+.-]+)", each) for each in depends.split(",")]
            for provided in (name, *re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]+)", provides)):
                providers.setdefault(provided, []).append(name)
    if missing := sorted(names - needs.keys()):
        raise KernelTestError(
            f"can't assemble the machine: {', '.join(missing)} is not installed",
            f"apt-get install -y {' '.join(missing)}",
        )
    found, rest = set(names), list(names)
    while rest:
        for choice in needs[rest.pop()]:
            met = [name for wanted in choice for name in providers.get(wanted, ())][:1]
            rest += [name for name in met if name not in found]
            found.update(met)
    return found


def _query(*arguments: str) -> str:
    try:
        return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise KernelTestError(f"can't list this machine's packages: {error}", "run this on Debian") from error
