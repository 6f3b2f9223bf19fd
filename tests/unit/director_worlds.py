"""A director on a fake data plane, with observations written by hand. No tests here.

router .1 ── eth0 (outside) 192.0.2.2/24 ─ director ─ 10.0.1.1/24 eth1 (firewalls) ── fw1 .11, fw2 .12
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director
from lasthop.model import director as model
from lasthop.model.configuration import Configuration
from lasthop.model.leg import Leg, LegReport
from lasthop.model.real_server import RealServer, ServerReport
from lasthop.model.rule import Match
from lasthop.model.service import Service
from lasthop.network.interface import Link, Observation

if TYPE_CHECKING:
    from lasthop.model.real_server import Address

ETH0 = Link(2, "eth0", "02:00:00:00:00:02", 1500, up=True, kind="veth", addresses=(IPv4Interface("192.0.2.2/24"),))
ETH1 = Link(3, "eth1", "02:00:00:00:00:03", 9000, up=True, kind="veth", addresses=(IPv4Interface("10.0.1.1/24"),))
ROUTER, FW1, FW2 = IPv4Address("192.0.2.1"), IPv4Address("10.0.1.11"), IPv4Address("10.0.1.12")
ROUTER_MAC, FW1_MAC, FW2_MAC, OTHER_MAC = (f"02:00:00:00:01:{number:02x}" for number in (1, 0x11, 0x12, 0x99))
CLIENT, WWW = ("198.51.100.11", 40_000), ("203.0.113.80", 80)
LEGS = (Leg("outside", "eth0", "edge"), Leg("firewalls", "eth1", "edge"))
SERVICES = (
    Service(1, (Match(legs=("outside",)),), (RealServer("fw1", FW1), RealServer("fw2", FW2, weight=3))),
    Service(2, (Match(legs=("firewalls",)),), (RealServer("router", ROUTER),), scheduler="rr"),
)
CONFIGURATION = Configuration(model.Director("lb1", connections=5000), LEGS, SERVICES)
RESOLVED: dict[tuple[int, Address], str] = {(2, ROUTER): ROUTER_MAC, (3, FW1): FW1_MAC, (3, FW2): FW2_MAC}
WHOLE = Observation(
    links={"eth0": ETH0, "eth1": ETH1},
    local=frozenset({IPv4Network("192.0.2.2/32"), IPv4Network("10.0.1.1/32")}),
    neighbours=dict(RESOLVED),
)


def observation(*links: Link, **neighbours: str | None) -> Observation:
    """`WHOLE` with other links, and other MAC addresses by the names of real servers; None: not resolved."""
    addresses: dict[str, tuple[int, Address]] = {"router": (2, ROUTER), "fw1": (3, FW1), "fw2": (3, FW2)}
    macs: dict[str, str | None] = {name: RESOLVED[pair] for name, pair in addresses.items()}
    macs |= neighbours
    return replace(
        WHOLE,
        links={link.name: link for link in links} if links else WHOLE.links,
        neighbours={addresses[name]: mac for name, mac in macs.items() if mac is not None},
    )


def started(seen: Observation = WHOLE, configuration: Configuration = CONFIGURATION) -> tuple[Director, FakeDataPlane]:
    """A director that has published what follows from `seen`."""
    dataplane = FakeDataPlane(configuration.director.connections)
    director = Director(configuration, "/etc/lasthop/lb1.toml", dataplane)
    director.start(seen)
    return director, dataplane


def server(director: Director, name: str) -> ServerReport:
    """The report of a real server that is in one service."""
    (report,) = (report for report in director.servers() if report.name == name)
    return report


def leg(director: Director, name: str) -> LegReport:
    """The report of a leg."""
    (report,) = (report for report in director.legs() if report.name == name)
    return report
