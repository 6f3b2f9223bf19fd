"""The listening socket of a director: claimed, guarded against a second director, removed.

Owns the file at the socket's path. What is spoken on it is `lasthop.api.server`'s.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lasthop.api.location import is_live
from lasthop.errors import DirectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTORY_MODE = 0o755
SOCKET_MODE = 0o660
BACKLOG = 64


class Listener:
    """A socket that listens at `path`, mode 0660; `close` removes the file, unless it is another's by then."""

    def __init__(self, path: Path) -> None:
        """Claim `path`, replacing what a killed director left there.

        Raises DirectorError when a live director listens on it, when it is no socket, or when it cannot be made.
        """
        self.path = path
        try:
            path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            with _only_claimant(path.parent):
                _clear(path)
                self.socket = _bound(path)
                found = path.stat()
        except OSError as problem:
            raise DirectorError(
                f"can't listen on {path}: {problem.strerror or problem}",
                "run as root, and keep the path shorter than 108 bytes",
            ) from problem
        self._identity = (found.st_dev, found.st_ino)

    def close(self) -> None:
        """Close the socket and remove its file."""
        self.socket.close()
        with suppress(OSError), _only_claimant(self.path.parent):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.path.unlink()


@contextmanager
def _only_claimant(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, so that of two directors that start at once one sees the other's socket."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise DirectorError(f"can't listen on {path}: it is a file, not a socket", f"move it away: mv {path} /tmp/")
    if is_live(path):
        raise DirectorError(
            f"can't start director '{path.stem}': one of that name is running",
            f"stop it first, or give this one another name (see lasthop --director {path.stem} status)",
        )
    path.unlink()


def _bound(path: Path) -> socket.socket:
    """Listen only after chmod: until then connecting is refused, so nobody gets in by the umask's mode."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(SOCKET_MODE)
        listening.listen(BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening
