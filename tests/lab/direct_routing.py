"""A topology of LVS-DR: real servers that have the service's address on lo, beside the director. No tests here.

198.51.100.0/24            10.0.1.0/24
client ────────── router ──┬── lb .2
                  .1    .1 ├── www1 .11   203.0.113.80 on lo
                           ├── www2 .12   203.0.113.80 on lo
                           └── www3 .13   203.0.113.80 on lo
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from lasthop.lab.capture import Capture
from lasthop.lab.layout import Box, DirectorPlace, Lan, Layout, Port, Route, Shape, Side, bridge_port
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.capture import Frame

CLIENTS = IPv4Network("198.51.100.0/24")
SHARED = IPv4Network("10.0.1.0/24")
SERVICE = IPv4Address("203.0.113.80")
EVERYWHERE = IPv4Network("0.0.0.0/0")
SERVERS = {"www1": SHARED[11], "www2": SHARED[12], "www3": SHARED[13]}
DIRECTOR, ROUTER = SHARED[2], SHARED[1]
CLIENT_ADDRESSES = tuple(CLIENTS[host] for host in range(11, 17))
PATIENCE_S = 15

#: As the LVS-HOWTO has it: who has the address on lo says nothing of it on the network.
_SILENT = (("arp_ignore", "1"), ("arp_announce", "2"))


@dataclass(frozen=True, slots=True)
class DirectRouting(Blueprint):
    """What to build."""

    def layout(self) -> Layout:
        """The drawing above."""
        ports = [
            Port("client", "eth0", "clients", tuple(IPv4Interface(f"{each}/24") for each in CLIENT_ADDRESSES)),
            _port("router", "clients", "clients", CLIENTS[1]),
            _port("router", "shared", "shared", ROUTER),
            _port("lb", "lan", "shared", DIRECTOR),
            *(_port(name, "eth0", "shared", address) for name, address in SERVERS.items()),
        ]
        default = Route(EVERYWHERE, (ROUTER,))
        boxes = (
            Box("client", routes=(Route(EVERYWHERE, (CLIENTS[1],)),)),
            Box("router", forwards=True, routes=(Route(IPv4Network(f"{SERVICE}/32"), (DIRECTOR,)),)),
            Box("lb", routes=(default,)),
            *(Box(name, routes=(default,)) for name in SERVERS),
        )
        side = Side("edge", "lan", "lan", "router", ROUTER, tuple(SERVERS.items()), clients_side=True)
        return Layout(
            Shape.ONE_ARM,
            boxes,
            (Lan("clients", CLIENTS, switched=False), Lan("shared", SHARED, switched=True)),
            tuple(ports),
            (DirectorPlace("lb", (side,)),),
            (),
            CLIENT_ADDRESSES,
        )


def _port(box: str, interface: str, lan: str, address: IPv4Address) -> Port:
    return Port(box, interface, lan, (IPv4Interface(f"{address}/24"),))


@contextmanager
def built(blueprint: DirectRouting) -> Iterator[Topology]:
    """Build it, with servers on all real servers; the director has its leg and no service."""
    with Topology(blueprint, start_directors=False) as lab:
        for name in SERVERS:
            lab.run(name, "ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
            for setting, value in _SILENT:
                lab.run(name, "sysctl", "--quiet", f"net.ipv4.conf.all.{setting}={value}")
            lab.start(name, sys.executable, "-m", "lasthop.lab.servers", str(lab.folder / f"{name}.ready"))
        director = lab.directors["lb"]
        director.file.write_text(director.file.read_text().partition("\n[[service]]")[0])
        lab.start_directors()
        assert wait_until(lambda: all((lab.folder / f"{each}.ready").exists() for each in SERVERS), timeout=PATIENCE_S)
        yield lab


def past_the_director(lab: Topology) -> Capture:
    """A capture of what enters and leaves the director."""
    port = lab.layout.port("lb", "lan")
    return Capture([("lan", lab.namespace("lan"), bridge_port(port))])


def sources(frames: list[Frame]) -> set[str]:
    """Source addresses of the IPv4 packets among frames."""
    return {str(IPv4Address(frame.data[26:30])) for frame in frames if frame.data[12:14] == b"\x08\x00"}
