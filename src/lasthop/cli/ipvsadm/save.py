"""`ipvsadm -S`: what there is, as lines that -R reads: ours, and that of a real ipvsadm.

A real -S loses thresholds and time-outs. Its -R takes any command, so here thresholds stand on the ``-a`` line and
time-outs on a line ``--set tcp tcpfin udp``, where they are not their profile's own; without either, the text is what a
real one prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lasthop.cli.ipvsadm.request import MAX_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.cli.ipvsadm.formats import ServerRow, ServiceRow
    from lasthop.cli.ipvsadm.names import Names

#: The states whose time-outs are LVS's tcp, tcpfin and udp.
TIMEOUTS = ("tcp_established", "tcp_fin_wait", "udp")
#: What they are in each profile, in seconds. A profile that is not here is always spelt out.
PROFILES = {"firewall-safe": (432_000, 120, 300), "lvs": (900, 120, 300)}
_SERVICE_OPTIONS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_SERVER_OPTIONS = {"Route": "-g", "Local": "-g", "Masq": "-m", "Tunnel": "-i"}


def seconds_of(timeouts: dict[str, Any]) -> tuple[int, ...]:
    """LVS's three time-outs of a TimeoutsReport."""
    return tuple(round(timeouts["seconds"][state]) for state in TIMEOUTS)


def saved(services: Sequence[ServiceRow], timeouts: dict[str, Any], names: Names) -> Iterator[str]:
    """The lines, services in the order given."""
    seconds = seconds_of(timeouts)
    if seconds != PROFILES.get(timeouts["profile"]):
        # 0 keeps one; a longer one than ipvsadm lets anybody say came from a configuration file.
        yield "--set " + " ".join(str(each if each <= MAX_TIMEOUT_S else 0) for each in seconds)
    for service in services:
        option = _option(service, names)
        yield _service_line(service, option)
        for server in service.servers:
            yield _server_line(server, option, names.shown(server.address, server.port, service.protocol))


def _option(service: ServiceRow, names: Names) -> str:
    if service.mark:
        return f"-f {service.mark}{' -6' if service.ipv6 else ''}"
    return f"{_SERVICE_OPTIONS[service.protocol]} {names.shown(service.address, service.port, service.protocol)}"


def _service_line(service: ServiceRow, option: str) -> str:
    parts = [f"-A {option} -s {service.scheduler}"]
    if service.persistence_s is not None:
        parts.append(f"-p {service.persistence_s}")
        if service.mask:
            parts.append(f"-M {service.mask}")
    if service.one_packet:
        parts.append("-o")
    if service.flags:
        parts.append(f"-b {service.flag_text()}")
    return " ".join(parts)


def _server_line(server: ServerRow, option: str, name: str) -> str:
    line = f"-a {option} -r {name} {_SERVER_OPTIONS[server.forward]} -w {server.weight}"
    if server.forward == "Tunnel":
        line += f" --tun-type {server.tunnel}"
    if server.upper:
        line += f" -x {server.upper}"
    if server.lower:
        line += f" -y {server.lower}"
    return line
