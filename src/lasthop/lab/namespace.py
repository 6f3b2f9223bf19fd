"""Network namespaces: making, entering and emptying them.

Owns everything that names a namespace to the kernel. What is inside them is `lasthop.lab.wiring`'s
and `lasthop.lab.firewall`'s business. `ip netns exec` is not used: it remounts /sys and hides the
BPF file system, so threads enter with setns(2) and their children inherit the namespace.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import lasthop
from lasthop.errors import LabError
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have the calling thread, its sockets and its children in `namespace` for the time of the block.

    Raises LabError if there is no such namespace or it may not be entered.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(_opened(namespace), namespace)
        try:
            yield
        finally:
            _enter(os.dup(home), "the one this thread came from")
    finally:
        os.close(home)


def _opened(namespace: str) -> int:
    try:
        return os.open(NAMESPACES / namespace, os.O_RDONLY)
    except OSError as error:
        raise LabError(
            f"can't enter network namespace {namespace}: {error.strerror}", "build the topology again"
        ) from error


def _enter(descriptor: int, namespace: str) -> None:
    """Enter the namespace of `descriptor`, and close that."""
    failed = _libc.setns(descriptor, _CLONE_NEWNET)
    os.close(descriptor)
    if failed:
        raise LabError(f"can't enter network namespace {namespace}: {os.strerror(ctypes.get_errno())}", "run as root")


def run_inside(namespace: str, command: Sequence[str], *, text: str = "") -> str:
    """Run a command in `namespace`, with `text` on its standard input; return what it printed.

    Raises LabError if it fails.
    """
    with inside(namespace):
        return run(command, text=text, where=namespace)


def run(command: Sequence[str], *, text: str = "", where: str = "this namespace") -> str:
    """Run a command; return what it printed. Raises LabError if it is missing or fails."""
    try:
        done = subprocess.run(list(command), input=text, capture_output=True, text=True, check=False, env=environment())
    except OSError as error:
        raise LabError(f"can't run {command[0]}: {error.strerror}", f"apt-get install {command[0]}") from error
    if done.returncode:
        detail = " / ".join((done.stderr or done.stdout).strip().splitlines()[:3])
        raise LabError(f"'{' '.join(command)}' failed in {where}: {detail}", "the kernel may lack a feature")
    return done.stdout


def start_inside(
    namespace: str, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in `namespace`, in a process group of its own, its output in `log`.

    `variables` are added to its environment.

    It outlives the caller unless it is ended: whoever builds a topology empties its namespaces.
    """
    with inside(namespace), log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment() | dict(variables or {}),
        )


def environment() -> dict[str, str]:
    """The environment of this process, such that a Python started with it finds this very lasthop."""
    paths = [str(Path(lasthop.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def delete(namespaces: Iterable[str]) -> None:
    """End every process in the namespaces, then delete them; those that are gone already are skipped."""
    present = [name for name in namespaces if (NAMESPACES / name).exists()]
    _end_processes(present)
    for name in present:
        with suppress(LabError):
            run(["ip", "netns", "delete", name])


def _end_processes(namespaces: Sequence[str]) -> None:
    if not namespaces:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        running = processes_in(namespaces)
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: not processes_in(namespaces), timeout=3 if running else 0.01):
            return


def processes_in(namespaces: Sequence[str]) -> list[int]:
    """Living processes whose network namespace is one of these; the caller's own is left out."""
    with ExitStack() as stack:
        wanted = set()
        for name in namespaces:
            # Held open while processes are looked at: the number of a deleted namespace is given to the next new one.
            with suppress(OSError):
                held = stack.enter_context((NAMESPACES / name).open("rb"))
                wanted.add(_identity(os.fstat(held.fileno())))
        return [pid for pid in _other_processes() if _lives_in(pid, wanted)]


def _other_processes() -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def _lives_in(pid: int, wanted: set[tuple[int, int]]) -> bool:
    process = Path("/proc", str(pid))
    # A process may end while it is looked at.
    with suppress(OSError):
        return _identity((process / "ns" / "net").stat()) in wanted and not _is_zombie(process)
    return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_zombie(process: Path) -> bool:
    return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
