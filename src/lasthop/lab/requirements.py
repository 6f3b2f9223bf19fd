"""What a machine must have before a topology can be built on it."""

from __future__ import annotations

import os
import shutil

from lasthop.errors import LabError

#: Command -> Debian package that brings it.
TOOLS = {"ip": "iproute2", "nft": "nftables"}


def check_requirements(*more: str) -> None:
    """Raise LabError with the remedy unless this process is root and all tools are there.

    `more` are commands that are Debian packages of the same name.
    """
    if os.geteuid() != 0:
        raise LabError("the lab builds network namespaces, which only root may do", "run it with sudo")
    needed = TOOLS | {name: name for name in more}
    missing = sorted({package for tool, package in needed.items() if shutil.which(tool) is None})
    if missing:
        raise LabError(f"the lab needs {', '.join(missing)}", f"apt-get install -y {' '.join(missing)}")
