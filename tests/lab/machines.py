"""A machine of its own for a director as an operator meets it: the real command line, in its own namespaces.

Network, BPF file system and /run/lasthop are the machine's own, so that it holds no director but its own and
nothing of it outlives it. For topologies with traffic see `lasthop.lab`. No tests here.

    far-eth0 ── eth0 (outside) 192.0.2.2/24, 10.0.1.1/24 eth1 (firewalls) ── far-eth1, bridge0 10.0.8.1/24
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.api.location import is_live
from lasthop.dataplane import attach
from lasthop.lab.namespace import environment
from lasthop.lab.waiting import patience, wait_until
from tests.contract.dataplane_worlds import WWW, datagram
from tests.contract.network_worlds import enter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

FW1_MAC, ROUTER_MAC = "02:00:00:00:01:11", "02:00:00:00:01:01"
PATIENCE_S = 20

CONFIGURATION = """
[director]
name = "lb"

[table]
connections = 5000

[[leg]]
name = "outside"
interface = "eth0"
zone = "edge"

[[leg]]
name = "firewalls"
interface = "eth1"
zone = "edge"

[[service]]
mark = 1
match = [{ leg = "outside" }]

[[service.real_server]]
name = "fw1"
address = "10.0.1.11"

[[service]]
mark = 2
match = [{ leg = "firewalls" }]

[[service.real_server]]
name = "router"
address = "192.0.2.1"
"""

# The last line ends with the pipe, and so with the tests, however those end.
_HOLD = """
mkdir -p /run/lasthop && mount -t tmpfs lasthop /run/lasthop && mount -t bpf bpf /sys/fs/bpf || exit
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
echo held && exec cat
"""
_WIRING = """
link set lo up
link add eth0 address 02:00:00:00:00:02 type veth peer name far-eth0
link add eth1 address 02:00:00:00:00:03 type veth peer name far-eth1
link add bridge0 type bridge
address add 192.0.2.2/24 dev eth0
address add 10.0.1.1/24 dev eth1
address add 10.0.8.1/24 dev bridge0
link set eth0 up
link set far-eth0 up
link set eth1 up
link set far-eth1 up
link set bridge0 up
neighbour add 192.0.2.1 lladdr 02:00:00:00:01:01 dev eth0 nud permanent
neighbour add 10.0.1.11 lladdr 02:00:00:00:01:11 dev eth1 nud permanent
"""


class Machine:
    """Namespaces with interfaces, and what an operator does there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        hold = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _HOLD]
        self._holder = self._stack.enter_context(
            subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "held\n"
        self._stack.callback(self.end_all)
        self.ip(*_WIRING.strip().splitlines())
        return self

    def __exit__(self, *_: object) -> None:
        # Processes first, then the pipe: the namespaces go with the last of them.
        self._stack.close()

    def run(self, *command: str, before: Sequence[str] = (), given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command here; `before` is put in front of it, such as setpriv; `given` is its standard input."""
        return subprocess.run(
            [*self._entering, *before, *command], capture_output=True, text=True, check=False, env=environment(),
            timeout=patience(PATIENCE_S), input=given,
        )  # fmt: skip

    def lasthop(self, *arguments: str, before: Sequence[str] = (), given: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line here."""
        return self.run(sys.executable, "-m", "lasthop", *arguments, before=before, given=given)

    def ip(self, *lines: str) -> None:
        """Run lines of ``ip -batch`` here."""
        done = subprocess.run(
            [*self._entering, "ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def write(self, text: str = CONFIGURATION, name: str = "lb.toml") -> str:
        """Write a configuration file; returns its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def start(
        self,
        file: str,
        name: str = "lb",
        state: Path | None = None,
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """Start a director and wait until it listens; it keeps its changes in `state`, or where its file is.

        `settings` are put into its environment; `before` is put in front of the command, such as setpriv.
        """
        command = [sys.executable, "-m", "lasthop", "run", *options, file]
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [*self._entering, *before, "setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env=environment() | {"STATE_DIRECTORY": str(state or self.folder), **(settings or {})},
            )
        self._running.append(process)

        def listens() -> bool:
            return process.poll() is not None or is_live(self.root / f"run/lasthop/{name}.sock")

        assert wait_until(listens, timeout=PATIENCE_S), f"director {name} does not listen"
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        return process

    def end(self, process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
        """End a director; returns its exit code."""
        process.send_signal(number)
        return process.wait(patience(PATIENCE_S))

    def end_all(self) -> None:
        """End the directors that still run."""
        for process in self._running:
            if process.poll() is None:
                self.end(process, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """A process that is in its namespaces."""
        return self._holder.pid

    @property
    def root(self) -> Path:
        """The machine's file system, as seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    def pins(self, name: str = "lb") -> list[str]:
        """Names of everything that is pinned for a director."""
        return sorted(path.name for path in (self.root / "sys/fs/bpf/lasthop" / name).rglob("*") if path.is_file())

    def directors(self) -> list[str]:
        """Names of the directors that have pins."""
        folder = self.root / "sys/fs/bpf/lasthop"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread and its sockets in the machine's network namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        here = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            enter(here)
            yield
        finally:
            enter(home)
            os.close(here)
            os.close(home)

    def attached(self, interface: str) -> list[str]:
        """Names of the programs on an interface, foreign ones included."""
        with self.inside():
            ifindex = socket.if_nametoindex(interface)
            programs = attach._tcx_programs(ifindex) + attach._filter_programs(ifindex) + attach._xdp_programs(ifindex)
            return sorted(attach._describe(program)[0] for program in programs)

    def arrive(self, port: int = 40_000, to: str = "02:00:00:00:00:02") -> None:
        """Have a datagram that opens a connection come in on eth0, from the router."""
        own, router = bytes.fromhex(to.replace(":", "")), bytes.fromhex(ROUTER_MAC.replace(":", ""))
        with self.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("far-eth0", 0))
            wire.send(own + router + b"\x08\x00" + datagram(("198.51.100.11", port), WWW))

    def listen(self) -> socket.socket:
        """A socket that hears what the director sends to the firewall."""
        with self.inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            wire.bind(("far-eth1", 0x0800))
        wire.settimeout(patience(PATIENCE_S))
        return wire

    @property
    def _entering(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount"]
