"""Debian's own kernels: which is the newest of a series in apt's archive, and its files, unpacked.

Owns the folder they are kept in from one run to the next. Nothing is installed. Must not be here: how one is booted.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.kernels.refusal import KernelTestError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kernel:
    """One that is unpacked below `tree`."""

    release: str
    tree: Path

    @property
    def image(self) -> Path:
        return self.tree / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        return self.tree / "usr" / "lib" / "modules" / self.release


def newest(series: str, folder: Path) -> Kernel:
    """The newest kernel of `series`, such as 6.1, from the archive. Raises KernelTestError."""
    package = _newest_package(series)
    version = _candidate(package)
    kernel = Kernel(package.removeprefix("linux-image-"), folder / f"{package}_{version.replace(':', '%3a')}")
    if not kernel.image.exists():
        _fetch(package, kernel.tree)
    if not kernel.image.exists() or not kernel.modules.is_dir():
        raise KernelTestError(
            f"can't use {package}: it has no {kernel.image.name} or no modules of {kernel.release}",
            f"remove {kernel.tree} and try again",
        )
    return kernel


def _newest_package(series: str) -> str:
    pattern = rf"linux-image-{re.escape(series)}\.0-([0-9]+)-cloud-amd64"
    said = _run("apt-cache", "pkgnames", f"linux-image-{series}.0-")
    found = {int(match[1]): match[0] for line in said.splitlines() if (match := re.fullmatch(pattern, line))}
    usable = [found[number] for number in sorted(found, reverse=True) if _candidate(found[number]) != "(none)"]
    if not usable:
        raise KernelTestError(
            f"can't find a package linux-image-{series}.0-NN-cloud-amd64 in apt's lists",
            "run `apt-get update` with Debian's archive of that kernel among the sources",
        )
    return usable[0]


def _candidate(package: str) -> str:
    match = re.search(r"^ +Candidate: (\S+)", _run("apt-cache", "policy", package), re.MULTILINE)
    return match[1] if match else "(none)"


def _fetch(package: str, tree: Path) -> None:
    """Download and unpack into `tree`, which appears whole or not at all."""
    draft = tree.with_name(f"{tree.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _run("apt-get", "download", "--quiet", package, cwd=draft)
        (archive,) = draft.glob("*.deb")
        _run("dpkg", "--extract", str(archive), str(draft))
        archive.unlink()
        _run("depmod", "--basedir", str(draft), package.removeprefix("linux-image-"))
        # Where they are on a machine whose /lib is a link, as Debian's is.
        (draft / "usr" / "lib").mkdir(parents=True)
        (draft / "lib" / "modules").rename(draft / "usr" / "lib" / "modules")
        draft.rename(tree)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise KernelTestError(
            f"can't fetch Debian's kernel: there is no {command[0]}", "run this on Debian, by `make test-kernels`"
        ) from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise KernelTestError(f"'{' '.join(command)}' failed: {words[-1]}", "run `apt-get update` and try again")
    return done.stdout
