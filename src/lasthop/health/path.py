"""Check ``path``: a datagram through a real server to the director behind it, and back the same way.

Owns the probes, and who waits for their answers. They are sent with the real server's MAC address whatever the routing
table says, sent back by the data plane of the director that they reach (bpf/probe.h), and known again by a nonce. That
an answer came from the real server it was sent through is the proof that it passes traffic both ways.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dpkt

from lasthop.health.sockets import problem_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.health.probe import Asked
    from lasthop.model.real_server import Address

#: What the payload begins with (bpf/probe.h); a nonce follows.
MAGIC = b"lasthopP"
_NONCE = 16
#: Each probe has another one, so that a firewall takes it for a new conversation: the dynamic ports of RFC 6335.
_PORTS = itertools.cycle(range(49_152, 65_536))
_IPV4 = 4
_TTL = 64
_WORD = 0xFFFF
#: A probe from its UDP header on.
_UDP = 8 + len(MAGIC) + _NONCE


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a real server: by which interface, from whom, to which MAC address."""

    leg: str
    device: str
    mac: str
    own_mac: str
    own_address: Address


class Paths:
    """The probes of one director, all in one loop."""

    def __init__(self) -> None:
        self.port = 0
        """That of probes."""
        self.way: Callable[[Asked], Way | str] = lambda _: "the director has not started"
        """Finds the way to a real server, or says why there is none."""
        self._sender = _Sender()
        self._waiting: dict[bytes, asyncio.Future[tuple[str, str]]] = {}

    async def probe(self, asked: Asked) -> str:
        """See `lasthop.health.probe.Probe`."""
        way = self.way(asked)
        if isinstance(way, str):
            return way
        nonce = os.urandom(_NONCE)
        came_from = self._waiting[nonce] = asyncio.get_running_loop().create_future()
        try:
            self._sender.send(way.device, _frame(way, asked.address, self.port, nonce))
            leg, mac = await came_from
        except OSError as error:
            return problem_of(error)
        finally:
            del self._waiting[nonce]
        if (leg, mac) == (way.leg, way.mac):
            return ""
        return f"the answer came from {mac} on leg {leg}, not from {way.mac} on leg {way.leg}"

    def close(self) -> None:
        """Close the socket."""
        self._sender.close()

    def answered(self, nonce: bytes, leg: str, mac: str) -> None:
        """A probe came back through a leg from a MAC address; one that nobody waits for (any more) is nobody's."""
        waiting = self._waiting.get(nonce)
        if waiting is not None and not waiting.done():
            waiting.set_result((leg, mac))


class _Sender:
    """One socket, which receives nothing: closing a packet socket takes the kernel some ten milliseconds."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def send(self, device: str, frame: bytes) -> None:
        """Raises OSError."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.sendto(frame, (device, 0))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@functools.lru_cache(maxsize=4096)
def _template(way: Way, target: Address, port: int) -> tuple[bytes, int]:
    """A probe without source port and nonce, and the sum that its checksum was made of (RFC 1071)."""
    datagram = dpkt.udp.UDP(sport=0, dport=port, data=MAGIC + bytes(_NONCE))
    datagram.ulen = len(datagram)
    ends = {"src": way.own_address.packed, "dst": target.packed, "data": datagram}
    if target.version == _IPV4:
        packet, kind = dpkt.ip.IP(p=dpkt.ip.IP_PROTO_UDP, ttl=_TTL, id=0, df=1, **ends), dpkt.ethernet.ETH_TYPE_IP
        packet.len = len(packet)
    else:
        packet, kind = dpkt.ip6.IP6(nxt=dpkt.ip.IP_PROTO_UDP, hlim=_TTL, **ends), dpkt.ethernet.ETH_TYPE_IP6
        packet.plen = len(datagram)
        packet.extension_hdrs = {}
    macs = [bytes.fromhex(each.replace(":", "")) for each in (way.own_mac, way.mac)]
    frame = bytes(dpkt.ethernet.Ethernet(src=macs[0], dst=macs[1], type=kind, data=packet))
    return frame, _WORD - int.from_bytes(frame[-_UDP:][6:8], "big")


def _frame(way: Way, target: Address, port: int, nonce: bytes) -> bytes:
    whole, total = _template(way, target, port)
    source = next(_PORTS)
    total += source + sum(struct.unpack(f"!{_NONCE // 2}H", nonce))
    while total > _WORD:
        total = (total >> 16) + (total & _WORD)
    # A checksum of zero would say that there is none: RFC 768.
    checksum = (_WORD - total) or _WORD
    head, udp = whole[:-_UDP], whole[-_UDP:]
    return b"".join((head, source.to_bytes(2, "big"), udp[2:6], checksum.to_bytes(2, "big"), MAGIC, nonce))
