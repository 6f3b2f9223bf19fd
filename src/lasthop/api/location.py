"""Where directors' sockets are, and whether anybody listens on one.

Owns the paths and the test for a live socket; both client and server need them. No HTTP here.
"""

from __future__ import annotations

import socket
from pathlib import Path

from lasthop.errors import DirectorError

SOCKET_DIRECTORY = Path("/run/lasthop")
SUFFIX = ".sock"


def socket_path(director: str, directory: Path = SOCKET_DIRECTORY) -> Path:
    """Path of the socket of the director named `director`. Raises DirectorError if no file can be called that."""
    if not director or "/" in director or "\0" in director or director.startswith("."):
        raise DirectorError(
            f"can't use {director!r} as a director's name: it names a file in {directory}",
            "use letters, digits, '-' and '_'",
        )
    return directory / f"{director}{SUFFIX}"


def is_live(path: Path) -> bool:
    """Whether a process listens on the socket at `path`, however slow it is to answer.

    A full backlog (EAGAIN) and a socket that may not be opened (EACCES) are somebody's; a refused
    connection is what a killed process leaves behind (unix(7)).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            return False
    return True


def running(directory: Path = SOCKET_DIRECTORY) -> list[str]:
    """Names of the directors that listen in `directory`; sockets left by killed ones do not count.

    Raises DirectorError if the directory may not be read.
    """
    try:
        return sorted(path.stem for path in directory.glob(f"*{SUFFIX}") if is_live(path))
    except OSError as problem:
        raise DirectorError(f"can't look for directors in {directory}: {problem.strerror}", "run as root") from problem
