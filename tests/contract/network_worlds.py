"""The two worlds that the tests of `lasthop.network` run in: the fake's and the kernel's, with the same things to do.

The kernel's is two nameless network namespaces joined by a veth pair, which are gone when their descriptors are.
No tests here.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import TYPE_CHECKING, Any, Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT

from lasthop.network.fake import FakeNetwork
from lasthop.network.interface import Link
from lasthop.network.kernel import KernelNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lasthop.model.real_server import Address
    from lasthop.network.interface import Network

INTERFACE = "leg0"
OWN, OWN6 = ip_interface("10.9.0.1/24"), ip_interface("fd09::1/64")
#: The kernel retries a failed managed neighbour every 5 s, and asks three times at 1 s.
PATIENCE_S = 15


class World(Protocol):
    """A director's network with one interface, and the station at the other end of its cable."""

    @property
    def network(self) -> Network:
        """What is under test."""

    def answer(self, address: Address, mac: str) -> None:
        """The station takes `address` and `mac` and announces itself."""

    def silence(self, address: Address) -> None:
        """The station gives up `address`."""

    def make_permanent(self, address: Address, mac: str) -> None:
        """The operator sets a neighbour by hand."""

    def set_up(self, *, up: bool) -> None:
        """The operator sets the interface up or down."""

    def remove(self) -> None:
        """The operator removes the interface."""


class FakeWorld:
    """The fake: `FakeNetwork`'s own methods change it."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        addresses = (OWN, OWN6)
        self.link = Link(7, INTERFACE, "02:00:00:00:00:01", 1500, up=True, kind="veth", addresses=addresses)
        self.network.put_link(self.link)
        self.network.drain()

    def answer(self, address: Address, mac: str) -> None:
        self.network.answer(INTERFACE, address, mac)

    def silence(self, address: Address) -> None:
        self.network.silence(INTERFACE, address)

    def make_permanent(self, address: Address, mac: str) -> None:
        self.network.make_permanent(INTERFACE, address, mac)

    def set_up(self, *, up: bool) -> None:
        self.network.put_link(replace(self.link, up=up))

    def remove(self) -> None:
        self.network.remove_link(INTERFACE)


LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def namespace() -> Iterator[int]:
    """Put this thread into a new, nameless network namespace; it ends with the last descriptor."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            yield made
        finally:
            os.close(made)
            enter(before)
    finally:
        os.close(before)


class KernelWorld:
    """The kernel: this thread is in the director's namespace, the station in another."""

    def __init__(self, stack: ExitStack, far: int) -> None:
        self.far = stack.enter_context(closing(IPRoute()))
        self.wire = stack.enter_context(closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW)))
        self.near = self._near(stack)
        # With the same ifindex at both ends the kernel takes a veth for no stacked device, and lets a change
        # of its carrier wait for up to a second (linkwatch_urgent_event in net/core/link_watch.c).
        self.index = 77
        peer = {"ifname": "far0", "net_ns_fd": far}
        self.near.link("add", index=self.index, ifname=INTERFACE, kind="veth", peer=peer)
        (self.far_index,) = self.far.link_lookup(ifname="far0")
        self.near.addr("add", index=self.index, address=str(OWN.ip), prefixlen=24)
        self.near.addr("add", index=self.index, address=str(OWN6.ip), prefixlen=64, IFA_FLAGS=2)
        self.far.link("set", index=self.far_index, state="up")
        self.wire.bind(("far0", 0x0806))
        self.network = KernelNetwork()
        stack.callback(self.network.close)
        self.set_up(up=True)
        wait_until(self.network, lambda: self.network.observe().links[INTERFACE].up)

    @staticmethod
    def _near(stack: ExitStack) -> Any:
        stack.enter_context(namespace())
        return stack.enter_context(closing(IPRoute()))

    def answer(self, address: Address, mac: str) -> None:
        self.far.link("set", index=self.far_index, address=mac)
        prefixlen, flags = (24, 0) if address.version == 4 else (64, 2)  # IFA_F_NODAD
        self.far.addr("replace", index=self.far_index, address=str(address), prefixlen=prefixlen, IFA_FLAGS=flags)
        packed = bytes.fromhex(mac.replace(":", ""))
        if isinstance(address, IPv4Address):
            self._announce(address, packed)
        else:
            self._advertise(address, packed)

    def _announce(self, address: IPv4Address, mac: bytes) -> None:
        """Send a gratuitous ARP request."""
        header = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
        self.wire.send(header + mac + address.packed + bytes(6) + address.packed)

    def _advertise(self, address: IPv6Address, mac: bytes) -> None:
        """Send an unsolicited neighbour advertisement that overrides what is known (RFC 4861 section 7.2.6)."""
        everybody = IPv6Address("ff02::1").packed
        message = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + address.packed + b"\x02\x01" + mac
        words = address.packed + everybody + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6) + message
        checksum = 0xFFFF - sum(struct.unpack(f"!{len(words) // 2}H", words)) % 0xFFFF
        header = struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 255) + address.packed + everybody
        packet = header + message[:2] + struct.pack("!H", checksum) + message[4:]
        self.wire.send(b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd" + packet)

    def silence(self, address: Address) -> None:
        self.far.addr("del", index=self.far_index, address=str(address), prefixlen=24 if address.version == 4 else 64)
        self.near.neigh("del", ifindex=self.index, dst=str(address))

    def make_permanent(self, address: Address, mac: str) -> None:
        self.near.neigh("replace", ifindex=self.index, dst=str(address), lladdr=mac, state=NUD_PERMANENT)

    def set_up(self, *, up: bool) -> None:
        self.near.link("set", index=self.index, state="up" if up else "down")

    def remove(self) -> None:
        self.near.link("del", index=self.index)

    def flags(self, address: Address) -> tuple[int, int]:
        """State and extended flags of the kernel's entry."""
        (entry,) = self.near.neigh("get", dst=str(address), ifindex=self.index)
        return entry["state"], entry.get_attr("NDA_FLAGS_EXT") or 0


def announced(network: Network, timeout_s: float) -> bool:
    """Whether a change is announced within the time."""
    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(network.changes(), select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def wait_until(network: Network, condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, looking again after each announced change."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert announced(network, max(0, end - time.monotonic())), "no change was announced in time"
        network.drain()
