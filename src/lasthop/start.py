"""Where the installed program starts, and how every run of it ends.

Owns the choice of what to be by the name it was called, the exit codes, and the last line about an error. Called
ipvsadm it needs the standard library alone: scripts call that thousands of times, and click would be a good part of it.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lasthop.errors import ConfigurationError, LasthopError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.api.client import Client

FAILED = 1
#: 128 + signal number, as a shell reports it.
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


def main(socket_directory: Path | None = None) -> NoReturn:
    """Be ipvsadm if that is what the program was called, otherwise lasthop; exit."""
    as_ipvsadm(socket_directory)
    importlib.import_module("lasthop.__main__").main(socket_directory)
    raise AssertionError


def as_ipvsadm(socket_directory: Path | None = None) -> None:
    """Be ipvsadm, ipvsadm-save or ipvsadm-restore and exit; return if the program was not called so."""
    name = Path(sys.argv[0]).name
    if not name.startswith("ipvsadm"):
        return
    from lasthop.api.client import Client, Credentials
    from lasthop.api.location import SOCKET_DIRECTORY
    from lasthop.cli.ipvsadm.program import NAMES

    if name in NAMES:
        director = os.environ.get("LASTHOP_DIRECTOR") or None
        client = Client(director, socket_directory or SOCKET_DIRECTORY, Credentials.of(os.environ))
        sys.exit(_done(name, sys.argv[1:], client))


def _done(name: str, words: Sequence[str], client: Client) -> int:
    from lasthop.cli.ipvsadm.program import called

    try:
        status = called(name, words, client)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        forget_stdout()
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("LASTHOP_TRACEBACK") == "1":
            raise
        for line in error_lines(error):
            sys.stderr.write(f"lasthop: {line}\n")
        return FAILED
    return status


def error_lines(error: Exception) -> list[str]:
    """What is said of `error`: a line, or one per mistake of a configuration file."""
    if isinstance(error, ConfigurationError):
        return [" ".join(f"{error.file}: {mistake}".split()) for mistake in error.mistakes]
    if isinstance(error, LasthopError):
        return [" ".join(str(error).split())]
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return [f"fault in lasthop: {told}; set LASTHOP_TRACEBACK=1 and report what it then says"]


def forget_stdout() -> None:
    """Have the interpreter's last flush go nowhere: whoever read our output has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
