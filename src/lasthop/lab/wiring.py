"""Wiring: a layout becomes network namespaces, cables, addresses, routes and firewall rules.

Owns the commands that build a layout. One `ip -batch` makes all namespaces, one all cables, then one per
namespace, side by side, does the rest: a topology with four firewalls takes a fraction of a second.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.lab import firewall
from lasthop.lab.layout import bridge_port
from lasthop.lab.namespace import inside, run, run_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lasthop.lab.layout import Box, Layout, Port, Route

_SIOCETHTOOL = 0x8946
_SET = {
    "rx": 0x15,
    "tx": 0x17,
    "tso": 0x1F,
    "gso": 0x24,
    "gro": 0x2C,
}
"""ETHTOOL_S* commands of include/uapi/linux/ethtool.h."""
_GET_FLAGS, _SET_FLAGS = 0x25, 0x26
_FLAGS = {"txvlan": 1 << 7, "rxvlan": 1 << 8}
"""ETH_FLAG_*: what has no command of its own."""

#: Otherwise a veth hands tags on beside the frame, where XDP does not see them.
_TAGS_IN_FRAMES = {"rxvlan": False, "txvlan": False}

#: What every box has: strict routers would drop what a transparent director sends them.
_SETTINGS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/fib_multipath_hash_policy": "1",
    "net/ipv4/ip_local_port_range": "10240 65535",
    "net/ipv4/icmp_ratelimit": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/core/somaxconn": "8192",
    "net/ipv4/tcp_max_syn_backlog": "8192",
}

_WITHOUT_IPV6 = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
#: Addresses are there at once, and nobody is asked for any.
_WITH_IPV6 = {
    f"net/ipv6/conf/{which}/{name}": "0"
    for which in ("all", "default")
    for name in ("accept_dad", "accept_ra", "accept_redirects", "autoconf")
} | {"net/ipv6/icmp/ratelimit": "0", "net/ipv6/fib_multipath_hash_policy": "1"}


def build(drawn: Layout, names: Mapping[str, str], *, xdp: bool, offloads: bool) -> None:
    """Build a layout; `names` gives each box, and ``lan``, its namespace.

    With `xdp` both ends of directors' cables are made fit for native XDP; without `offloads` the
    end hosts complete checksums and segment by themselves, so that captures show frames as on a wire.
    Raises LabError if the kernel or a tool refuses.
    """
    run(["ip", "-batch", "-"], text="".join(f"netns add {name}\n" for name in names.values()), where="the host")
    # Before Linux 6.14 an interface cannot be made for another namespace under a name that is taken where it is made,
    # and the host may well have an eth0; `lan` has nothing yet.
    run_inside(names["lan"], ["ip", "-batch", "-"], text="\n".join(_cables(drawn, names)) + "\n")
    with ThreadPoolExecutor(max_workers=8) as workers:
        jobs = [workers.submit(_furnish, drawn, box, names[box.name]) for box in drawn.boxes]
        jobs.append(workers.submit(_furnish_switch, drawn, names["lan"]))
        for job in jobs:
            job.result()
    if xdp:
        for box, interface in director_peers(drawn):
            _prepare_for_xdp(names[box], interface)
        for place in drawn.directors:
            for interface, _zone in place.legs:
                set_offloads(names[place.name], interface, _TAGS_IN_FRAMES)
                _keep_packets_apart(names[place.name], interface)
    if not offloads:
        for box in ("client", "www"):
            set_offloads(names[box], "eth0", {"tx": False, "tso": False, "gso": False, "gro": False})


def director_peers(drawn: Layout) -> list[tuple[str, str]]:
    """(box, interface) at the far ends of all directors' legs."""
    return [
        drawn.peer(drawn.port(place.name, interface)) for place in drawn.directors for interface, _zone in place.legs
    ]


def _cables(drawn: Layout, names: Mapping[str, str]) -> Iterable[str]:
    for lan in drawn.lans:
        ports = [port for port in drawn.ports if port.lan == lan.name]
        if lan.switched:
            for port in ports:
                yield f"link add {_end(port, names)} type veth peer name {bridge_port(port)} netns {names['lan']}"
        else:
            near, far = ports
            yield f"link add {_end(near, names)} type veth peer {_end(far, names)}"


def _end(port: Port, names: Mapping[str, str]) -> str:
    return f"name {port.interface} netns {names[port.box]} address {port.mac}"


def _furnish(drawn: Layout, box: Box, namespace: str) -> None:
    lines = ["link set lo up"]
    for port in drawn.ports:
        if port.box == box.name:
            lines += [f"address add {address} brd + dev {port.interface}" for address in port.addresses]
            lines += [f"address add {address} nodad dev {port.interface}" for address in port.addresses6]
            lines.append(f"link set {port.interface} up")
    interfaces = [route.from_interface for route in box.routes]
    for table, interface in enumerate(dict.fromkeys(filter(None, interfaces)), start=101):
        lines += [f"rule add iif {interface} lookup {table} priority {table}"]
    for route in box.routes:
        lines.append(_route(route, interfaces))
    with inside(namespace):
        _write_settings(_SETTINGS | (_WITH_IPV6 if drawn.ipv6 else _WITHOUT_IPV6))
        run(["ip", "-batch", "-"], text="\n".join(lines) + "\n", where=namespace)
        forwards = "1" if box.forwards else "0"
        _write_settings({"net/ipv4/ip_forward": forwards, "net/ipv6/conf/all/forwarding": forwards})
        if box.firewall:
            run(["nft", "-f", "-"], text=firewall.RULES, where=namespace)
            _write_settings(firewall.SETTINGS)


def _route(route: Route, interfaces: Sequence[str]) -> str:
    tables = list(dict.fromkeys(filter(None, interfaces)))
    table = f" table {101 + tables.index(route.from_interface)}" if route.from_interface else ""
    if len(route.gateways) == 1:
        return f"route add {route.destination} via {route.gateways[0]}{table}"
    hops = " ".join(f"nexthop via {gateway}" for gateway in route.gateways)
    return f"route add {route.destination}{table} {hops}"


def _furnish_switch(drawn: Layout, namespace: str) -> None:
    lines = []
    for lan in drawn.lans:
        if lan.switched:
            lines.append(f"link add {lan.name} type bridge mcast_snooping 0 stp_state 0 forward_delay 0")
            lines.append(f"link set {lan.name} up")
            ports = [port for port in drawn.ports if port.lan == lan.name]
            lines += [f"link set {bridge_port(port)} master {lan.name} up" for port in ports]
    with inside(namespace):
        _write_settings(_SETTINGS | _WITHOUT_IPV6)
        run(["ip", "-batch", "-"], text="\n".join(lines) + "\n", where=namespace)


def _write_settings(settings: Mapping[str, str]) -> None:
    """Write sysctls of the namespace the calling thread is in; a kernel without one of them has no need of it."""
    for name, value in settings.items():
        with suppress(FileNotFoundError):
            Path("/proc/sys", name).write_text(value)


def _prepare_for_xdp(namespace: str, interface: str) -> None:
    """Make a veth a fit neighbour of one with native XDP.

    The checksums of what it sends must be complete (tx off), and it takes XDP frames only with NAPI,
    which GRO switches on.
    """
    set_offloads(namespace, interface, {"tx": False, "gro": True, **_TAGS_IN_FRAMES})
    _keep_packets_apart(namespace, interface)


def _keep_packets_apart(namespace: str, interface: str) -> None:
    """Let GRO, which native XDP switches on, make no larger packets of what was sent, for captures."""
    with inside(namespace):
        run(["ip", "link", "set", interface, "gro_max_size", "100"], where=namespace)


def set_offloads(namespace: str, interface: str, wanted: Mapping[str, bool]) -> None:
    """Switch ``rx``, ``tx``, ``tso``, ``gso``, ``gro``, ``rxvlan`` and ``txvlan`` as ``ethtool -K`` does."""
    with inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, on in wanted.items():
            if name in _FLAGS:
                value = bytearray(struct.pack("II", _GET_FLAGS, 0))
                _ethtool(control, interface, value)
                flags = struct.unpack("II", value)[1]
                setting = flags | _FLAGS[name] if on else flags & ~_FLAGS[name]
                value = bytearray(struct.pack("II", _SET_FLAGS, setting))
            else:
                value = bytearray(struct.pack("II", _SET[name], int(on)))
            _ethtool(control, interface, value)


def _ethtool(control: socket.socket, interface: str, value: bytearray) -> None:
    buffer = (ctypes.c_char * len(value)).from_buffer(value)
    request = struct.pack("16sP", interface.encode(), ctypes.addressof(buffer))
    fcntl.ioctl(control, _SIOCETHTOOL, request.ljust(40, b"\0"))
