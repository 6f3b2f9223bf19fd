"""Which installed distributions a program needs, and their files.

Owns the walk along declared dependencies. The environment is the one this runs in: what is packed is what the tests
ran with.
"""

from __future__ import annotations

from importlib.metadata import Distribution, distribution
from pathlib import PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: Tests, sources and interfaces for compilers: nothing that runs needs them.
_UNUSED_FOLDERS = frozenset({"__pycache__", "tests", "_pyinstaller", "f2py", "distutils", "include", ".agents"})
_UNUSED_SUFFIXES = frozenset({".pyc", ".pyi", ".pxd", ".pyx", ".c", ".h", ".a", ".f", ".f90"})
#: What pip notes of where a distribution came from and how it got here.
_INSTALLERS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


def needed_by(name: str) -> list[Distribution]:
    """All distributions that `name` needs, without itself, by name. Raises PackageNotFoundError if one is missing."""
    found: dict[str, Distribution] = {}
    rest = _requirements(distribution(name))
    while rest:
        each = distribution(rest.pop())
        if canonicalize_name(each.name) not in found:
            found[canonicalize_name(each.name)] = each
            rest += _requirements(each)
    return [found[key] for key in sorted(found)]


def files_of(each: Distribution) -> list[PurePosixPath]:
    """What of a distribution is packed, relative to site-packages; programs of its own are not."""
    return [path for path in map(PurePosixPath, each.files or ()) if _is_needed(path)]


def licence_of(each: Distribution) -> str:
    """The licence as the distribution declares it: an SPDX expression, a name, or a classifier."""
    told = each.metadata
    for field in ("License-Expression", "License"):
        if field in told and "\n" not in (declared := str(told[field])):
            return declared
    classifiers = [str(line) for line in told.get_all("Classifier") or ()]
    classified = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
    return ", ".join(classified) or "see its files"


def _requirements(each: Distribution) -> list[str]:
    wanted = map(Requirement, each.requires or ())
    return [want.name for want in wanted if want.marker is None or want.marker.evaluate({"extra": ""})]


def _is_needed(path: PurePosixPath) -> bool:
    return not (
        ".." in path.parts
        or _UNUSED_FOLDERS.intersection(path.parts[:-1])
        or path.suffix in _UNUSED_SUFFIXES
        or (path.name in _INSTALLERS and path.parent.suffix == ".dist-info")
    )
