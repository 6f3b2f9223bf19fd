"""Check ``ping``: ICMP and ICMPv6 echo (RFC 792, 4443), all of them over one socket of each family.

Owns the messages. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING

from lasthop.health.sockets import problem_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from lasthop.health.probe import Asked

_ECHO, _ECHO_REPLY = 8, 0
_ECHO6, _ECHO_REPLY6 = 128, 129
_IPV4, _IPV6 = 4, 6
#: Options of raw sockets: linux/icmp.h ICMP_FILTER, RFC 3542 ICMP6_FILTER. A bit that is set blocks a type.
_ICMP_FILTER, _SOL_RAW = 1, 255
_ICMP6_FILTER = 1
_TYPES6 = 256
_RECEIVED = 2048
_NONCE = 16


class Pings:
    """The pings of one process."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._identifiers: dict[IPv4Address | IPv6Address, int] = {}
        """As long as one is answered it is used again. What is on the way may have taken its messages for something
        else, and would keep to that for as long as they come."""
        self._sequence = 0

    async def probe(self, asked: Asked) -> str:
        """See `lasthop.health.probe.Probe`."""
        nonce = os.urandom(_NONCE)
        self._sequence = (self._sequence + 1) % 65536
        identifier = self._identifiers.setdefault(asked.address, int.from_bytes(os.urandom(2)))
        answered = self._waiting[nonce] = asyncio.get_running_loop().create_future()
        try:
            sock = self._socket(asked.address)
            sock.sendto(_message(asked.address, identifier, self._sequence, nonce), (str(asked.address), 0))
            await answered
        except OSError as error:
            return problem_of(error)
        finally:
            del self._waiting[nonce]
            if not answered.done() or answered.cancelled():
                self._identifiers.pop(asked.address, None)
        return ""

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _socket(self, address: IPv4Address | IPv6Address) -> socket.socket:
        sock = self._sockets.get(address.version)
        if sock is None:
            sock = self._sockets[address.version] = _open(address.version)
            asyncio.get_running_loop().add_reader(sock, self._read, sock, address.version)
        return sock

    def _read(self, sock: socket.socket, version: int) -> None:
        while True:
            try:
                data = sock.recv(_RECEIVED)
            except OSError:
                return
            header = (data[0] & 15) * 4 if version == _IPV4 else 0
            answered = self._waiting.get(data[header + 8 : header + 8 + _NONCE])
            if answered is not None and not answered.done():
                answered.set_result(None)


def _open(version: int) -> socket.socket:
    if version == _IPV4:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
    else:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        blocked = (1 << _TYPES6) - 1 & ~(1 << _ECHO_REPLY6)
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, blocked.to_bytes(_TYPES6 // 8, "little"))
    sock.setblocking(False)
    return sock


def _message(address: IPv4Address | IPv6Address, identifier: int, sequence: int, nonce: bytes) -> bytes:
    """An echo request; the kernel fills in ICMPv6's checksum."""
    kind = _ECHO if address.version == _IPV4 else _ECHO6
    message = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + nonce
    if address.version == _IPV6:
        return message
    return message[:2] + _checksum(message).to_bytes(2) + message[4:]


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
