"""A clean Debian in a folder: what debootstrap makes, and what lasthop's package depends on. No tests here.

Owns its making, and the archive that is kept of it from one run to the next, as it takes a minute.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.architecture.tree import ROOT

KEPT = ROOT / "build" / "packages"
#: Beside the smallest system that apt runs on: systemd itself, and what `apt install` would fetch for the package.
_INCLUDED = "python3,libbpf1,iproute2,libstdc++6,systemd,systemd-sysv,dbus"


def unpack(folder: Path) -> None:
    """Make `folder` a clean Debian of this machine's release."""
    archive = KEPT / f"root-{_release()}.tar"
    if not archive.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        draft = archive.with_suffix(".part.tar")
        _run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_INCLUDED}", _release(), str(draft))
        draft.rename(archive)
    folder.mkdir(parents=True)
    _run("tar", "--extract", "--file", str(archive), "--directory", str(folder), "--numeric-owner")
    # Each boot gives the machine another identity.
    (folder / "etc/machine-id").write_text("")
    (folder / "etc/hostname").write_text("director\n")


def _release() -> str:
    lines = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return next(value.strip('"') for key, _, value in lines if key == "VERSION_CODENAME")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
