"""The two worlds that the tests of `lasthop.dataplane` run in: the fake's and the kernel's, with the same things to do.

The kernel's is a nameless network namespace with a veth pair for each leg, and frames sent into their far ends.
Pins bear a name nobody else has, and are removed with the world. No tests here.
"""

from __future__ import annotations

import secrets
import socket
import struct
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pyroute2 import IPRoute

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.dataplane.kernel import KernelDataPlane
from lasthop.dataplane.leftover import detach_pins
from lasthop.lab.waiting import wait_until
from lasthop.model.configuration import Configuration
from lasthop.model.connection_query import ConnectionQuery
from lasthop.model.director import Director, State, Timeouts
from lasthop.model.leg import Leg
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import SeenLink, Surroundings
from tests.contract.network_worlds import namespace

if TYPE_CHECKING:
    from lasthop.dataplane.interface import DataPlane
    from lasthop.errors import DataPlaneError
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.hop import HopReport
    from lasthop.model.real_server import Address
    from lasthop.model.vlan import Vlan
    from lasthop.policy.plan import Plan

OUTSIDE, FIREWALLS, SPARE, NO_XDP = "out0", "fw0", "spare0", "bridge0"
ADDRESSES = {OUTSIDE: "192.0.2.2/24", FIREWALLS: "10.0.1.1/24", SPARE: "10.0.9.1/24", NO_XDP: "10.0.8.1/24"}
ROUTER_MAC = "02:00:00:00:00:01"
CLIENT, WWW = ("198.51.100.11", 40_000), ("203.0.113.80", 53)
CLIENT6, WWW6 = ("2001:db8:51::11", 40_000), ("2001:db8:80::80", 53)
CONNECTIONS = 4096
PATIENCE_S = 10
EVERYTHING = ConnectionQuery()


class World(Protocol):
    """A director's data plane with interfaces to attach to, and somebody who sends."""

    links: dict[str, SeenLink]

    @property
    def dataplane(self) -> DataPlane:
        """What is under test."""

    def arrive(self, source: tuple[str, int] = CLIENT, mac: str = ROUTER_MAC, vlan: Vlan | None = None) -> None:
        """A datagram that opens a connection comes in on leg `outside`, which is `vlan`.

        Returns when it is in the table.
        """

    def expire(self) -> None:
        """All connections reach the end of their time-outs."""

    def reopen(self) -> None:
        """The director's process ends and another one starts."""


class FakeWorld:
    """The fake: `FakeDataPlane`'s own methods change it."""

    def __init__(self) -> None:
        self.dataplane = FakeDataPlane(CONNECTIONS)
        self.dataplane.without_xdp = {NO_XDP}
        self.links = {
            name: _link(name, number, f"02:00:00:00:ff:{number:02x}") for number, name in enumerate(ADDRESSES, start=2)
        }

    def arrive(self, source: tuple[str, int] = CLIENT, mac: str = ROUTER_MAC, vlan: Vlan | None = None) -> None:
        """Least connections of FWM 1, first in list."""
        named = {hop.name for hop in self.dataplane.hops()}
        load = {key: each for key, each in self.dataplane.load().items() if key[0] == "FWM 1" and key[1] in named}
        plan = self.dataplane.pinned.plan
        assert plan is not None
        assert vlan == next(leg.vlan for leg in plan.legs if leg.name == "outside")
        usable = [s.name for each in plan.services if each.label == "FWM 1" for s in each.servers if s.usable]
        server = min(usable, key=lambda name: load["FWM 1", name].inactive)
        self.dataplane.open(("FWM 1", server), ("outside", mac), source, destination_of(source), State.UDP)

    def expire(self) -> None:
        self.dataplane.expire()

    def reopen(self) -> None:
        self.dataplane.close()
        self.dataplane = FakeDataPlane(pinned=self.dataplane.pinned)


class KernelWorld:
    """The kernel: this thread is in the world's network namespace."""

    def __init__(self, stack: ExitStack) -> None:
        stack.enter_context(namespace())
        self.name = f"contract-{secrets.token_hex(4)}"
        self.netlink: Any = stack.enter_context(closing(IPRoute()))
        for name in (OUTSIDE, FIREWALLS, SPARE):
            self.cable(name)
        self.netlink.link("add", ifname=NO_XDP, kind="bridge", state="up")
        self.links = {name: self.link(name) for name in ADDRESSES}
        self._wire = stack.enter_context(closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)))
        self._wire.bind((f"far-{OUTSIDE}", 0))
        stack.callback(self._take_out)
        self.dataplane = KernelDataPlane(self.name, CONNECTIONS)
        stack.callback(self._close)

    def cable(self, name: str) -> None:
        """Lay a veth pair: `name`, and ``far-`` at the other end."""
        self.netlink.link("add", ifname=name, kind="veth", peer={"ifname": f"far-{name}"})
        for end in (name, f"far-{name}"):
            # Otherwise the kernel speaks for itself there, and its frames are learned as hops.
            Path(f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6").write_text("1")
            self.netlink.link("set", index=self.index(end), state="up")

    def index(self, name: str) -> int:
        """The ifindex of an interface."""
        (index,) = self.netlink.link_lookup(ifname=name)
        return int(index)

    def link(self, name: str) -> SeenLink:
        """An interface as it is now."""
        (message,) = self.netlink.link("get", ifname=name)
        return _link(name, message["index"], message.get_attr("IFLA_ADDRESS"))

    @property
    def pins(self) -> Path:
        return Path("/sys/fs/bpf/lasthop", self.name)

    def send(self, source: tuple[str, int], mac: str = ROUTER_MAC, vlan: Vlan | None = None) -> None:
        """Send a datagram into the interface of leg `outside`."""
        self.send_packet(datagram(source, destination_of(source)), mac, vlan)

    def send_packet(self, packet: bytes, mac: str = ROUTER_MAC, vlan: Vlan | None = None) -> None:
        """Send an IP packet into the interface of leg `outside`."""
        own = bytes.fromhex(self.links[OUTSIDE].mac.replace(":", ""))
        tags = b"".join(struct.pack("!HH", each.ethertype, number) for each, number in (vlan.tags if vlan else ()))
        ethertype = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
        self._wire.send(own + bytes.fromhex(mac.replace(":", "")) + tags + ethertype + packet)

    def announce(self, address: str, mac: str) -> None:
        """A gratuitous ARP reply comes in on the interface of leg `outside` (RFC 5227 section 1.1)."""
        own, at = bytes.fromhex(mac.replace(":", "")), IPv4Address(address).packed
        self._wire.send(b"\xff" * 6 + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2) + own + at + own + at)

    def arrive(self, source: tuple[str, int] = CLIENT, mac: str = ROUTER_MAC, vlan: Vlan | None = None) -> None:
        self.send(source, mac, vlan)
        assert wait_until(lambda: source in self.sources(), timeout=PATIENCE_S), "the connection is not in the table"

    def sources(self) -> list[tuple[str, int]]:
        return [(each.source, each.source_port) for each in connections(self)]

    def expire(self) -> None:
        """Publish what is published with time-outs of nothing, and sweep."""
        published = self.dataplane._published
        assert published is not None
        self.dataplane.publish(replace(published, timeouts=Timeouts(seconds=dict.fromkeys(State, 0.0))))
        assert wait_until(lambda: self.dataplane.sweep().connections == 0, timeout=PATIENCE_S)
        self.dataplane.publish(published)

    def reopen(self) -> None:
        self.dataplane.close()
        self.dataplane = KernelDataPlane(self.name, CONNECTIONS)

    def _close(self) -> None:
        """Give back what the last director's process held: a data plane takes 50 MB of the kernel's memory."""
        if hasattr(self, "dataplane"):  # a test may have let go of it to see what is left
            self.dataplane.close()

    def _take_out(self) -> None:
        with suppress(OSError):
            detach_pins(self.name)


def _link(name: str, ifindex: int, mac: str) -> SeenLink:
    return SeenLink(ifindex, mac, 1500, up=True, addresses=(IPv4Interface(ADDRESSES[name]),), virtual=True)


def destination_of(source: tuple[str, int]) -> tuple[str, int]:
    """What a client of a family asks."""
    return WWW6 if ":" in source[0] else WWW


def datagram(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """An IP packet with a UDP datagram of four bytes; no UDP checksum, which nobody here looks at."""
    udp = struct.pack("!HHHH", source[1], destination[1], 12, 0) + b"ping"
    return packet(source[0], destination[0], socket.IPPROTO_UDP, udp)


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IP packet of the family of its addresses."""
    ends = ip_address(source).packed + ip_address(destination).packed
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    total = sum(struct.unpack("!10H", header))
    checksum = 0xFFFF - (total % 0xFFFF)
    return header[:10] + struct.pack("!H", checksum) + header[12:] + payload


def refused(world: World, plan: Plan) -> DataPlaneError:
    """The error that publishing `plan` ends in."""
    from lasthop.errors import DataPlaneError

    try:
        world.dataplane.publish(plan)
    except DataPlaneError as error:
        return error
    raise AssertionError("the plan was published")


FW1, FW2, FW3, ROUTER = "10.0.1.11", "10.0.1.12", "10.0.1.13", "192.0.2.1"
FW1_MAC, FW2_MAC, OTHER_MAC, CLIENT_MAC = (f"02:00:00:00:01:{n:02x}" for n in (0x11, 0x12, 0x99, 0xCC))
LEGS = (Leg("outside", OUTSIDE, "edge"), Leg("firewalls", FIREWALLS, "edge"))
SPARE_LEG = Leg("spare", SPARE, "edge")
MACS = {FW1: FW1_MAC, FW2: FW2_MAC, ROUTER: ROUTER_MAC}


def plan(
    world: World,
    firewalls: tuple[str, ...] = (FW1, FW2),
    macs: dict[str, str] = MACS,
    legs: tuple[Leg, ...] = LEGS,
    more: tuple[Service, ...] = (),
) -> Plan:
    """What a director would publish: FWM 1 from outside to the firewalls, FWM 2 from them to the router."""
    services = (
        Service(1, (Match(legs=("outside",)),), tuple(firewall(address) for address in firewalls)),
        Service(2, (Match(legs=("firewalls",)),), (RealServer("router", IPv4Address(ROUTER)),)),
        *more,
    )
    neighbours: dict[tuple[int, Address], str] = {
        (world.links[OUTSIDE if address == ROUTER else FIREWALLS].ifindex, IPv4Address(address)): mac
        for address, mac in macs.items()
    }
    return compile_plan(Configuration(Director("lb"), legs, services), Surroundings(world.links, neighbours=neighbours))


def firewall(address: str) -> RealServer:
    return RealServer(f"fw{address[-1]}", IPv4Address(address))


def only_connection(world: World) -> ConnectionReport:
    (connection,) = connections(world)
    return connection


def connections(world: World, query: ConnectionQuery = EVERYTHING) -> list[ConnectionReport]:
    """The connections that a query asks for, as many as it says."""
    page = world.dataplane.connections(query)
    shown = list(page.connections)
    assert len(shown) == (page.total if query.limit is None else min(page.total, query.limit))
    return shown


def hop_of(world: World, mac: str) -> HopReport:
    (hop,) = (hop for hop in world.dataplane.hops() if hop.mac == mac)
    return hop


def macs(world: World) -> list[str]:
    return sorted(hop.mac for hop in world.dataplane.hops())
