"""A director's reports as the rows of ipvsadm's lists.

Owns what LVS calls what a report has. How rows look is `formats`'.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from lasthop.cli.ipvsadm.formats import ServerRow, ServiceRow

if TYPE_CHECKING:
    from collections.abc import Iterable

Report = dict[str, Any]
IPV4_BITS, IPV6_BITS = 32, 128
#: What the kernel adds before it cuts the fraction off (ip_vs_read_estimator): packets are kept in 1024ths, bytes in
#: 32nds.
_PACKETS_ROUND = 0x1FF / 0x400
_BYTES_ROUND = 0xF / 0x20


def rows_of(services: Iterable[Report], servers: Iterable[Report]) -> list[ServiceRow]:
    """Services in the order of their reports, each with its real servers in theirs."""
    by_service: dict[str, list[Report]] = {}
    for server in servers:
        by_service.setdefault(server["service"], []).append(server)
    return [_service_row(service, by_service.get(service["service"], [])) for service in services]


def label_parts(label: str) -> tuple[int, bool, str, str, int]:
    """Mark, IPv6, protocol, address and port of a service's label."""
    kind, _, rest = label.partition(" ")
    if kind == "FWM":
        mark, _, ipv6 = rest.strip().partition(" ")
        return int(mark), bool(ipv6), "", "", 0
    host, _, port = rest.strip().rpartition(":")
    address = host.removeprefix("[").removesuffix("]")
    return 0, ":" in address, kind.lower(), address, int(port)


def dotted(prefix: int) -> str:
    """The netmask of so many leading ones."""
    return socket.inet_ntoa(((1 << IPV4_BITS) - (1 << IPV4_BITS - prefix)).to_bytes(4, "big"))


def _service_row(service: Report, servers: list[Report]) -> ServiceRow:
    mark, ipv6, protocol, address, port = label_parts(service["service"])
    persistence = service["persistence_s"]
    return ServiceRow(
        mark=mark,
        ipv6=ipv6,
        protocol=protocol,
        address=address,
        port=port,
        scheduler=service["scheduler"],
        flags=tuple(service["scheduler_flags"]),
        persistence_s=None if persistence is None else max(1, round(persistence)),
        mask=_mask(service, ipv6=ipv6),
        one_packet=service["one_packet"],
        servers=tuple(_server_row(server, port) for server in servers),
        statistics=_statistics(service["statistics"]),
        rates=_rates(service["rates"]),
    )


def _mask(service: Report, *, ipv6: bool) -> str:
    if ipv6:
        prefix6 = service["persistence_prefix6"]
        return "" if prefix6 == IPV6_BITS else str(prefix6)
    prefix = service["persistence_prefix"]
    return "" if prefix == IPV4_BITS else dotted(prefix)


def _server_row(server: Report, port: int) -> ServerRow:
    """With direct routing a real server's port is its service's; of a mark it is 0.

    One that is drained or disabled gets no new connections: LVS would call that weight 0.
    """
    return ServerRow(
        address=server["address"],
        port=port,
        weight=server["weight"] if server["admin"] == "enabled" else 0,
        active=server["active"],
        inactive=server["inactive"],
        persistent=server["persistent"],
        upper=server["upper_threshold"],
        lower=server["lower_threshold"],
        statistics=_statistics(server["statistics"]),
        rates=_rates(server["rates"]),
    )


def _statistics(counts: Report) -> tuple[int, ...]:
    packets, sizes = counts["packets"], counts["bytes"]
    return (counts["connections"], packets["request"], packets["response"], sizes["request"], sizes["response"])


def _rates(rates: Report) -> tuple[int, ...]:
    packets, sizes = rates["packets"], rates["bytes"]
    return (
        *(int(rate + _PACKETS_ROUND) for rate in (rates["connections"], packets["request"], packets["response"])),
        *(int(rate + _BYTES_ROUND) for rate in (sizes["request"], sizes["response"])),
    )
