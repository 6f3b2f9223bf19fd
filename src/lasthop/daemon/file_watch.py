"""Watching the configuration file: what was written and has come to rest is told.

Owns when a change counts. A look at the file's state every second, and no notification of the kernel's: editors replace
files, links are turned (Kubernetes, Ansible), and file systems that are mounted from elsewhere notify nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EVERY_S = 1.0

#: What tells one content of a file from another without reading it; None: there is no file now.
State = tuple[int, int, int] | None


def state_of(path: Path) -> State:
    """Inode, time of the last change, and size, wherever links lead."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


async def follow(path: Path, known: State, changed: Callable[[], None], every_s: float = _EVERY_S) -> None:
    """Call `changed` whenever the file is another one than before and has been so for `every_s`, until cancelled.

    `known` is what it was when it was read.
    """
    told = seen = known
    while True:
        await asyncio.sleep(every_s)
        now = state_of(path)
        if now == seen != told and now is not None:
            told = now
            changed()
        seen = now
