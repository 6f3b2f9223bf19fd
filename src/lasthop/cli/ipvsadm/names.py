"""Addresses and ports: as they are typed, and as they are shown.

Owns the reading of ``host[:port]`` and both ways of asking the resolver. Nothing is asked for what is a number.
The socket module raises ValueError for a text with a zero byte or one that is no host's name in any alphabet.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import NamedTuple

from lasthop.cli.ipvsadm.numbers import number

MAX_PORT = 65_535
IPV4, IPV6 = 4, 6
#: An address of IPv6 has two colons or more; a host with a port has one.
_IPV6_COLONS = 2
#: ipvsadm keeps no more of an address with its port (a buffer of 60).
_LONGEST = 59


class Endpoint(NamedTuple):
    """What ``host[:port]`` says."""

    family: int
    address: str
    name: str
    """The host as it was typed; empty if that was an address."""
    port: int | None


@cache
def endpoint(text: str, protocol: str) -> Endpoint | None:
    """Read ``host``, ``host:port``, an IPv6 address or ``[address]:port``; None where ipvsadm finds no address."""
    if not text or (text.isascii() and text.isdigit()):
        return None
    host, port = text, None
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        if not bracket or not after.startswith(":"):
            return None
        port = after[1:]
    if host.count(":") >= _IPV6_COLONS and (address := _ipv6(host)):
        family, name = IPV6, ""
    else:
        host, colon, last = host.rpartition(":") if ":" in host else (host, "", "")
        port = last if colon else None
        family, (address, name) = IPV4, ipv4(host)
        if not address:
            return None
    if port is None:
        return Endpoint(family, address, name, None)
    found = _port(port, protocol)
    return None if found is None else Endpoint(family, address, name, found)


def ipv4(host: str) -> tuple[str, str]:
    """The address of `host`, and `host` if it is a name; two empty texts where nobody knows it."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host)), ""
    except (OSError, ValueError):
        pass
    if not host or "\0" in host:
        return "", ""
    try:
        return socket.gethostbyname(host), host
    except (OSError, ValueError):
        return "", ""


def _ipv6(host: str) -> str:
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
    except (OSError, ValueError):
        return ""


@cache
def _port(text: str, protocol: str) -> int | None:
    found = number(text, 0, MAX_PORT)
    if found is None and protocol:
        try:
            return socket.getservbyname(text, protocol)
        except (OSError, ValueError):
            return None
    return found


class Names:
    """How addresses and ports are shown; each is looked up once."""

    def __init__(self, *, numeric: bool) -> None:
        self._numeric = numeric
        self._hosts: dict[str, str] = {}
        self._ports: dict[tuple[int, str], str] = {}

    def shown(self, address: str, port: int, protocol: str) -> str:
        """``address:port``, IPv6 in brackets; `protocol` is ``tcp``, ``udp``, ``sctp`` or empty."""
        host = address if self._numeric else self._host(address)
        service = port if self._numeric else self._port(port, protocol)
        return (f"[{host}]:{service}" if ":" in address else f"{host}:{service}")[:_LONGEST]

    def _host(self, address: str) -> str:
        found = self._hosts.get(address)
        if found is None:
            try:
                found = socket.gethostbyaddr(address)[0]
            except (OSError, ValueError):
                found = address
            self._hosts[address] = found
        return found

    def _port(self, port: int, protocol: str) -> str:
        found = self._ports.get((port, protocol))
        if found is None:
            try:
                found = socket.getservbyport(port, protocol) if protocol else str(port)
            except OSError:
                found = str(port)
            self._ports[port, protocol] = found
        return found
