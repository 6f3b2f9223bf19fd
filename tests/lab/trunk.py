"""A director on a trunk, and neighbours whose VLANs are the kernel's own interfaces (module 8021q). No tests here.

    client 198.51.100.11 on the router, 192.0.2.1 ── VLAN ──┐
                                                             far0 ── trunk0, the director's machine
    server 203.0.113.80 on the firewall, 10.0.1.11 ─ VLAN ──┘

The machine's kernel forwards nothing, and has the same VLANs as interfaces: there are its addresses and neighbours.
"""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lasthop.api.client import Client
from lasthop.lab.waiting import patience, wait_until
from tests.contract.network_worlds import enter, namespace
from tests.lab.machines import FW1_MAC, PATIENCE_S, ROUTER_MAC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.model.vlan import Vlan
    from tests.lab.machines import Machine

NEAR, FAR = "trunk0", "far0"
CLIENT, WWW = "198.51.100.11", "203.0.113.80"
ROUTER, ROUTERS_GATEWAY = "192.0.2.1", "192.0.2.2"
FIREWALL, FIREWALLS_GATEWAY = "10.0.1.11", "10.0.1.1"
PORT = 80
#: Names of two network cards with a cable between them that tests may take for themselves: only a virtual machine has
#: such (tests/kernels).
CARDS = os.environ.get("LASTHOP_LAB_CARDS", "").split()
#: What one end sends before the other answers: several segments, several fragments, and less than a socket's buffer.
SAID = bytes(range(256)) * 80

_CONFIGURATION = f"""
[director]
name = "lb"

[table]
connections = 5000

[[leg]]
name = "outside"
interface = "{NEAR}"
vlan = "%(outside)s"
zone = "edge"
mode = "%(mode)s"

[[leg]]
name = "firewalls"
interface = "{NEAR}"
vlan = "%(firewalls)s"
zone = "edge"
mode = "%(mode)s"

[[service]]
mark = 1
match = [{{ leg = "outside" }}]

[[service.real_server]]
name = "fw1"
address = "{FIREWALL}"

[[service]]
mark = 2
match = [{{ leg = "firewalls" }}]

[[service.real_server]]
name = "router"
address = "{ROUTER}"
"""


@dataclass(frozen=True, slots=True)
class Station:
    """A neighbour: a nameless network namespace, in it an interface that is a VLAN of the trunk's far end."""

    descriptor: int
    interface: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread and its sockets there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            enter(self.descriptor)
            yield
        finally:
            enter(home)
            os.close(home)

    def furnish(self, address: str, end: str, route: str) -> None:
        """Give it the address of a box on the VLAN, and the end whose connections go through the director."""
        lines = [
            *("link set lo up", f"address add {end}/32 dev lo"),
            *(f"address add {address}/24 dev {self.interface}", f"link set {self.interface} up"),
            f"route add {route} src {end}",
        ]
        with self.inside():
            _run_ip(*lines)

    def socket(self, kind: socket.SocketKind, address: str, port: int = 0) -> socket.socket:
        """A bound socket there."""
        with self.inside():
            made = socket.socket(socket.AF_INET, kind)
        made.settimeout(patience(PATIENCE_S))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        return made


class Trunk:
    """A machine with the interface `trunk0`, and what is at the other end of its cable."""

    def __init__(self, machine: Machine, stack: ExitStack) -> None:
        self.machine = machine
        self._stack = stack
        self.client = Client("lb", machine.root / "run/lasthop")
        machine.run("sysctl", "--quiet", "net.ipv4.ip_forward=0")

    def offloads(self, *words: str, ends: tuple[str, ...] = (NEAR, FAR)) -> None:
        """Switch offloads of the cable's ends."""
        for end in ends:
            done = self.machine.run("ethtool", "-K", end, *words)
            assert done.returncode == 0, done.stderr

    def join(self, outside: Vlan, firewalls: Vlan) -> None:
        """Put the router into VLAN `outside` and the firewall into VLAN `firewalls`, the machine into both."""
        self._outside, self._firewalls = outside, firewalls
        # A veth takes one tag beyond its MTU, not two.
        self.machine.ip(f"link set {NEAR} mtu 1504 up", f"link set {FAR} mtu 1504 up")
        for vlan, address in ((outside, ROUTERS_GATEWAY), (firewalls, FIREWALLS_GATEWAY)):
            device = self._device(NEAR, vlan)
            self.machine.ip(f"address add {address}/24 dev {device}")
        self.router, self.firewall = self._station(outside, ROUTER_MAC), self._station(firewalls, FW1_MAC)
        self.router.furnish(ROUTER, CLIENT, f"{WWW} via {ROUTERS_GATEWAY}")
        self.firewall.furnish(FIREWALL, WWW, f"{CLIENT} via {FIREWALLS_GATEWAY}")

    def _station(self, vlan: Vlan, mac: str) -> Station:
        with namespace() as made:
            descriptor = os.dup(made)
        self._stack.callback(os.close, descriptor)
        device = self._device(FAR, vlan)
        self.machine.ip(f"link set {device} address {mac} netns /proc/{os.getpid()}/fd/{descriptor}")
        return Station(descriptor, device)

    def _device(self, on: str, vlan: Vlan) -> str:
        """The kernel's interface for a VLAN of an interface; for two tags it sits on another one."""
        for protocol, number in vlan.tags:
            below, on = on, f"{on}.{number}"
            if self.machine.run("ip", "link", "show", on).returncode:
                self.machine.ip(f"link add link {below} name {on} type vlan protocol {protocol} id {number}")
                self.machine.ip(f"link set {on} up")
        self.machine.ip(f"link set {on} mtu 1500")
        return on

    def configuration(self, mode: str) -> str:
        """Write the director's file; returns its path."""
        return self.machine.write(
            _CONFIGURATION % {"outside": self._outside, "firewalls": self._firewalls, "mode": mode}
        )

    def start(self, mode: str) -> None:
        """Start a director that has resolved everybody through the kernel's VLAN interfaces."""
        self.machine.start(self.configuration(mode))
        assert wait_until(lambda: not self.client.status()["unresolved"], timeout=PATIENCE_S), self.client.status()

    def await_mode(self, how: str) -> None:
        """Wait until the data plane sits on the trunk this way."""
        assert wait_until(lambda: self.modes == [how, how], timeout=PATIENCE_S), self.modes

    @property
    def modes(self) -> list[str]:
        """How the data plane sits on the trunk, for each leg."""
        return [leg["mode"] for leg in self.client.legs()]

    def converse(self) -> None:
        """Connections from both sides, with TCP segments and with fragments of UDP datagrams: all is answered."""
        for asking, asked, source, destination in (
            (self.router, self.firewall, CLIENT, WWW),
            (self.firewall, self.router, WWW, CLIENT),
        ):
            self._by_tcp(asking, asked, source, destination)
            self._by_udp(asking, asked, source, destination)

    def _by_tcp(self, asking: Station, asked: Station, source: str, destination: str) -> None:
        with (
            closing(asked.socket(socket.SOCK_STREAM, destination, PORT)) as server,
            closing(asking.socket(socket.SOCK_STREAM, source)) as client,
        ):
            server.listen()
            client.connect((destination, PORT))
            accepted, (peer, _) = server.accept()
            assert peer == source
            with closing(accepted):
                accepted.settimeout(patience(PATIENCE_S))
                for one, other in ((client, accepted), (accepted, client)):
                    one.sendall(SAID)
                    assert _heard(other, len(SAID)) == SAID

    def _by_udp(self, asking: Station, asked: Station, source: str, destination: str) -> None:
        with (
            closing(asked.socket(socket.SOCK_DGRAM, destination, PORT)) as server,
            closing(asking.socket(socket.SOCK_DGRAM, source)) as client,
        ):
            client.sendto(SAID, (destination, PORT))
            said, peer = server.recvfrom(len(SAID))
            assert (said, peer[0]) == (SAID, source)
            server.sendto(SAID, peer)
            assert client.recv(len(SAID)) == SAID


@contextmanager
def trunk(machine: Machine) -> Iterator[Trunk]:
    """Lay a cable of veth. Skips the test where the kernel has no VLAN interfaces."""
    with ExitStack() as stack:
        machine.ip("link delete eth0", "link delete eth1", f"link add {NEAR} type veth peer name {FAR}")
        probe = machine.run("ip", "link", "add", "link", FAR, "name", "probe", "type", "vlan", "id", "1")
        if probe.returncode:
            pytest.skip(f"needs VLAN interfaces (module 8021q), which Linux {os.uname().release} does not have here")
        machine.ip("link delete probe")
        yield Trunk(machine, stack)


@contextmanager
def trunk_of_cards(machine: Machine) -> Iterator[Trunk]:
    """Take the cards, and give them back. Skips the test where there are none."""
    if len(CARDS) != 2:
        pytest.skip("needs two network cards with a cable between them that it may take: make test-kernels has them")
    with ExitStack() as stack:
        machine.ip("link delete eth0", "link delete eth1")
        for card, end in zip(CARDS, (NEAR, FAR), strict=True):
            _run_ip(f"link set {card} netns {machine.pid}")
            stack.callback(machine.ip, f"link set {end} down", f"link set {end} name {card} netns {os.getpid()}")
            machine.ip(f"link set {card} name {end}")
        yield Trunk(machine, stack)


def _run_ip(*lines: str) -> None:
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _heard(by: socket.socket, length: int) -> bytes:
    heard = b""
    while len(heard) < length and (piece := by.recv(length - len(heard))):
        heard += piece
    return heard
