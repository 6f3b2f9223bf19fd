"""A director that runs inside a topology: started, asked, killed and started again.

Owns the process and the questions put to it. The lab knows a director as an operator does: by its
command line and its socket.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from lasthop.api.client import Client
from lasthop.errors import LabError, LasthopError
from lasthop.lab.namespace import run_inside, start_inside
from lasthop.lab.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: How long a director may take to start on a slow, busy machine, in seconds.
START_TIMEOUT = 20.0


class DirectorProcess:
    """One director of a topology: `box` in the drawing, `name` on the host."""

    def __init__(self, box: str, name: str, namespace: str, file: Path) -> None:
        self.box = box
        self.name = name
        self.namespace = namespace
        self.file = file
        self.log = file.with_suffix(".log")
        self.client = Client(name)
        self.before: tuple[str, ...] = ()
        """Put in front of its command line: a program that becomes what follows it, such as ``unshare`` or ``env``."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and do not wait. Raises LabError if it runs already."""
        if self.running:
            raise LabError(f"can't start director {self.name}: it runs already", "stop it first")
        command = [*self.before, sys.executable, "-m", "lasthop", "run", str(self.file)]
        self._process = start_inside(self.namespace, command, self.log, {"STATE_DIRECTORY": str(self.file.parent)})

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id; 0 if none was started."""
        return self._process.pid if self._process else 0

    def wait_ready(self, *, resolved: bool = True, timeout: float = START_TIMEOUT) -> None:
        """Wait until it answers and, with `resolved`, knows every real server's MAC address.

        Raises LabError with the end of its log if it ended or took too long.
        """

        def condition() -> bool:
            return not self.running or self.is_ready(resolved=resolved)

        held = wait_until(condition, timeout=timeout)
        if not self.running or not held:
            state = "does not answer" if self.running else "ended"
            raise LabError(f"director {self.name} {state}: {self.last_words()}", "see what `lasthop doctor` says")

    def is_ready(self, *, resolved: bool = True) -> bool:
        """Whether this process answers and, with `resolved`, knows every real server's MAC address."""
        with suppress(LasthopError):
            status = self.client.status()
            return int(status["pid"]) == self.pid and not (resolved and status["unresolved"])
        return False

    def wait_for(self, condition: Callable[[Client], object], what: str, *, timeout: float = 10.0) -> None:
        """Wait until its answers fulfil `condition`. Raises LabError that says `what` did not happen."""

        def holds() -> bool:
            with suppress(LasthopError):
                return bool(condition(self.client))
            return False

        if not wait_until(holds, timeout=timeout):
            raise LabError(
                f"director {self.name}: {what} did not happen within {timeout:g} s", f"it said: {self.last_words()}"
            )

    def last_words(self) -> str:
        """The last line it printed."""
        with suppress(OSError):
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1].removeprefix("lasthop: ")
        return "it printed nothing"

    def end(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = 10.0) -> int:
        """Send a signal and wait for the end; return the exit code. The data plane goes on forwarding.

        Raises LabError if it is still there after `timeout` seconds.
        """
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(number)
        try:
            return self._process.wait(patience(timeout))
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"director {self.name} did not end within {timeout:g} s of {number.name}",
                f"it said: {self.last_words()}",
            ) from error

    def detach(self) -> str:
        """Take the data plane out, as an operator would; return what the command printed."""
        return run_inside(self.namespace, [sys.executable, "-m", "lasthop", "--director", self.name, "detach"])
