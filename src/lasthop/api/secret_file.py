"""Files that not everybody may read: private keys and tokens.

Owns the check of who else could read or change one. What is in it is others' business.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lasthop.errors import DirectorError

#: Anybody's right to read, write or execute, and the group's to write.
_TOO_MUCH = stat.S_IRWXO | stat.S_IWGRP
#: Far more than any of them has.
_MOST_BYTES = 1 << 20


def read_secret(what: str, path: str) -> bytes:
    """What is in the file. Raises DirectorError where it cannot be read, or where others could read or change it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - pathlib opens no descriptor
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode & _TOO_MUCH:
                raise DirectorError(
                    f"can't use {what} {path}: others may read or change it (mode {mode:04o})",
                    f"take that from them: chmod o-rwx,g-w {path}",
                )
            return file.read(_MOST_BYTES)
    except OSError as problem:
        raise _unreadable(what, path, problem) from problem


def read_public(what: str, path: str) -> bytes:
    """What is in a file that everybody may read. Raises DirectorError where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise _unreadable(what, path, problem) from problem


def _unreadable(what: str, path: str, problem: OSError) -> DirectorError:
    return DirectorError(
        f"can't read {what} {path}: {(problem.strerror or str(problem)).lower()}", "check its path and permissions"
    )
