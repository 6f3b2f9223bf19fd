"""A booted Debian with network, mounts, processes and systemd of its own, and what an administrator does there.

Owns its start and its end, in any case: its processes go with the first of them, then its control groups. No tests
here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.lab.waiting import patience, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

BOOT_S = 60
COMMAND_S = 60


def control_groups() -> Path | None:
    """Where control groups of version 2 are, if they may be made here."""
    places = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    return next((each for each in places if (each / "cgroup.procs").exists() and _is_version_2(each)), None)


class Booted:
    """The machine whose root is `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._console = root.with_suffix(".console")
        groups = control_groups()
        assert groups is not None
        self._group = groups / f"lasthop-test-{os.getpid()}"

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("boot.sh")
        with self._console.open("w") as console:
            self._outer = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "bash", str(script), str(self.root), str(self._group)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        try:
            up = wait_until(lambda: self._first() is not None and self._is_up(), timeout=BOOT_S)
            assert up, self._console.read_text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()  # and --kill-child its namespace's first process, which takes all others along
        self._outer.wait()
        if self._group.exists():
            wait_until(lambda: "populated 0" in (self._group / "cgroup.events").read_text(), timeout=BOOT_S)
            for found in os.walk(self._group, topdown=False):
                Path(found[0]).rmdir()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root."""
        entering = ["nsenter", f"--target={self._first()}", "--all", "--root", "--wd"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER="]
        return subprocess.run(
            [*entering, *clean, *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=patience(COMMAND_S),
        )  # fmt: skip

    def must(self, *command: str) -> str:
        """Run a command there that must succeed; what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.must("systemctl", "show", "--property", name, "--value", unit).strip()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds."""
        assert wait_until(condition, timeout=COMMAND_S), (
            f"{what} did not happen: {self.run('journalctl').stdout[-4000:]}"
        )

    def _first(self) -> int | None:
        """Its first process: the child of the unshare that boot.sh becomes."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        found = children.read_text().split() if children.exists() else []
        return int(found[0]) if found else None

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


def _is_version_2(place: Path) -> bool:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return any(words[1] == str(place) and words[2] == "cgroup2" for words in lines) and os.access(place, os.W_OK)
