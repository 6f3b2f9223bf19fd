"""The lines of ipvsadm's lists.

Owns widths, units and order; rows are what there is to print, whoever reports it. Nothing is asked of a director here.
"""

from __future__ import annotations

import socket
from functools import cmp_to_key
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.cli.ipvsadm.names import Names

#: The version that ipvsadm 1.31 names; what scripts look for.
VERSION = "1.2.1"
NO_NUMBERS = (0, 0, 0, 0, 0)
_SERVICE_WIDTH, _SERVER_WIDTH = 33, 28
_EXACT_WIDTH = 8
_HALF = 1 << 31
#: Numbers below the limit are divided so, and have the unit behind them.
_UNITS = ((10**8, 1, ""), (10**9, 10**3, "K"), (10**11, 10**6, "M"), (10**14, 10**9, "G"))
_LAST_UNIT = (10**12, "T")
#: Protocols by their numbers, which is how they are ordered.
_PROTOCOL_NUMBERS = {"": 0, "tcp": 6, "udp": 17, "sctp": 132}
_FLAG_ORDER = ("sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3")

SHAPES = STATS, RATE, THRESHOLDS, PERSISTENT, TUNNELS = "stats", "rate", "thresholds", "persistent-conn", "tun-info"
"""The lists, by the options that ask for them; the first of these that was given is printed."""
PLAIN = ""

_TITLES = {
    PLAIN: (
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    ),
    TUNNELS: (
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn",
    ),
    STATS: (
        "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes",
        "  -> RemoteAddress:Port",
    ),
    RATE: (
        "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS",
        "  -> RemoteAddress:Port",
    ),
    THRESHOLDS: (
        "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ",
        "  -> RemoteAddress:Port",
    ),
    PERSISTENT: (
        "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ",
        "  -> RemoteAddress:Port",
    ),
}


class ServerRow(NamedTuple):
    """A real server of a service."""

    address: str
    port: int
    forward: str = "Route"
    """``Route``, ``Masq``, ``Tunnel`` or ``Local``."""
    tunnel: str = "n/a"
    weight: int = 1
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    upper: int = 0
    lower: int = 0
    statistics: tuple[int, ...] = NO_NUMBERS
    """Connections, packets in and out, bytes in and out."""
    rates: tuple[int, ...] = NO_NUMBERS


class ServiceRow(NamedTuple):
    """A service."""

    mark: int
    """0: by address."""
    ipv6: bool
    protocol: str
    """``tcp``, ``udp``, ``sctp``; empty by mark."""
    address: str
    port: int
    scheduler: str
    flags: tuple[str, ...] = ()
    persistence_s: int | None = None
    mask: str = ""
    """Dotted, or a number of bits for IPv6; empty: the whole address."""
    one_packet: bool = False
    servers: tuple[ServerRow, ...] = ()
    statistics: tuple[int, ...] = NO_NUMBERS
    rates: tuple[int, ...] = NO_NUMBERS

    def name(self, names: Names) -> str:
        """The service as lists have it."""
        if self.mark:
            return f"FWM  {self.mark}{' IPv6' if self.ipv6 else ''}"
        shown = f"{self.protocol.upper():<4} {names.shown(self.address, self.port, self.protocol)}"
        return shown if self.ipv6 else shown[:_SERVICE_WIDTH]

    def flag_text(self) -> str:
        """Its scheduler's flags in ipvsadm's order."""
        return ",".join(sorted(self.flags, key=(*_FLAG_ORDER, *self.flags).index))


class Shape(NamedTuple):
    """How a list is to look."""

    kind: str
    names: Names
    exact: bool = False


def titles(kind: str) -> tuple[str, str]:
    """The two lines above the services."""
    return _TITLES[kind]


def version_line(size: int) -> str:
    """The line above a list of everything."""
    return f"IP Virtual Server version {VERSION} (size={size})"


def lines(services: Sequence[ServiceRow], shape: Shape) -> Iterator[str]:
    """Each service and its real servers below it, in the order given."""
    for service in services:
        yield _service_line(service, shape)
        for server in service.servers:
            yield _server_line(service, server, shape)


def _service_line(service: ServiceRow, shape: Shape) -> str:
    name = service.name(shape.names)
    if shape.kind in {STATS, RATE}:
        numbers = service.statistics if shape.kind == STATS else service.rates
        return f"{name:<{_SERVICE_WIDTH}}" + "".join(large(number, exact=shape.exact) for number in numbers)
    flags = service.flag_text()
    parts = [name, service.scheduler, f"({flags})" if flags else ""]
    if service.persistence_s is not None:
        parts += [f"persistent {service.persistence_s}", f"mask {service.mask}" if service.mask else ""]
    return " ".join(part for part in [*parts, "ops" if service.one_packet else ""] if part)


def _server_line(service: ServiceRow, server: ServerRow, shape: Shape) -> str:
    name = shape.names.shown(server.address, server.port, service.protocol)
    start = f"  -> {name if ':' in server.address else name[:_SERVER_WIDTH]:<{_SERVER_WIDTH}}"
    if shape.kind == STATS:
        return start + "".join(large(number, exact=shape.exact) for number in server.statistics)
    if shape.kind == RATE:
        counts = "".join(f" {number:>8}" for number in server.rates[:3])
        return start + counts + "".join(large(number, exact=shape.exact) for number in server.rates[3:])
    loads = f"{server.active:<10} {server.inactive:<10}"
    if shape.kind == THRESHOLDS:
        return f"{start} {server.upper:<10} {server.lower:<10} {loads}"
    if shape.kind == PERSISTENT:
        return f"{start} {server.weight:<9} {server.persistent:<11} {loads}"
    if shape.kind == TUNNELS:
        return f"{start} {server.forward:<7} {server.tunnel:<13} {server.weight:<6} {loads}"
    return f"{start} {server.forward:<7} {server.weight:<6} {loads}"


def large(number: int, *, exact: bool) -> str:
    """A number in nine columns, in units of thousands where it would not fit; `exact`: in as many as it takes."""
    if exact:
        text = str(number)
        return f"{text:>9}" if len(text) <= _EXACT_WIDTH else f" {text}"
    for limit, divisor, unit in _UNITS:
        if number < limit:
            return f"{f'{number // divisor}{unit}':>9}"
    divisor, unit = _LAST_UNIT
    return f"{f'{number // divisor}{unit}':>9}"


def in_order(services: Sequence[ServiceRow]) -> list[ServiceRow]:
    """Services and their real servers as ipvsadm sorts them (ipvs_cmp_services, ipvs_cmp_dests).

    It takes the sign of a difference of 32 bits, so of two addresses more than half of all apart the greater is first:
    203.0.113.80 before 10.0.0.1.
    """
    ordered = [(_service_numbers(service), service) for service in services]
    ordered.sort(key=cmp_to_key(_by_differences))
    return [service._replace(servers=_servers_in_order(service.servers)) for _, service in ordered]


def _servers_in_order(servers: Sequence[ServerRow]) -> tuple[ServerRow, ...]:
    ordered = [((*_address_numbers(server.address), server.port), server) for server in servers]
    ordered.sort(key=cmp_to_key(_by_differences))
    return tuple(server for _, server in ordered)


def _service_numbers(service: ServiceRow) -> tuple[int, ...]:
    address = (0,) if service.mark else _address_numbers(service.address)
    return (service.mark, service.ipv6, _PROTOCOL_NUMBERS.get(service.protocol, 0), *address, service.port)


def _address_numbers(address: str) -> tuple[int, ...]:
    """An address in words of 32 bits."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    return tuple(int.from_bytes(packed[place : place + 4], "big") for place in range(0, len(packed), 4))


def _by_differences(one: tuple[tuple[int, ...], object], other: tuple[tuple[int, ...], object]) -> int:
    for left, right in zip(one[0], other[0], strict=False):
        if left != right:
            return ((left - right + _HALF) & (2 * _HALF - 1)) - _HALF
    return 0
