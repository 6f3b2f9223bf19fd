"""Layouts: which boxes, networks, addresses and routes a topology has, as plain data.

Owns the shapes and the address plan; nothing here touches the kernel. `lasthop.lab.wiring` builds a
layout, `lasthop.lab.director_files` writes the directors' configuration from it.

    198.51.100.0/24   192.0.2.0/24       10.0.1.0/24         10.0.2.0/24       10.0.3.0/24   203.0.113.0/24
    client ────────── ro ───────── lb1 ──┬── fw1 .11 ──┬── lb2 ─────────── ri ───────── www
                      .1        .2    .1 └── fw2 .12 ──┘ .1   .2         .1  .1          .80

With IPv6 each network has a prefix as well, with the same numbers in it: 10.0.1.11 is 2001:db8:a:1::11 there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import chain

CLIENTS = IPv4Network("198.51.100.0/24")
OUTSIDE = IPv4Network("192.0.2.0/24")
OUTER = IPv4Network("10.0.1.0/24")
INNER = IPv4Network("10.0.2.0/24")
INSIDE = IPv4Network("10.0.3.0/24")
SERVERS = IPv4Network("203.0.113.0/24")
WWW_ADDRESS = SERVERS[80]
PREFIXES6: dict[IPv4Network | IPv6Network, IPv6Network] = {
    CLIENTS: IPv6Network("2001:db8:c::/64"),
    OUTSIDE: IPv6Network("2001:db8:1::/64"),
    OUTER: IPv6Network("2001:db8:a:1::/64"),
    INNER: IPv6Network("2001:db8:a:2::/64"),
    INSIDE: IPv6Network("2001:db8:2::/64"),
    SERVERS: IPv6Network("2001:db8:f::/64"),
    IPv4Network("0.0.0.0/0"): IPv6Network("::/0"),
}
FIREWALLS_MAX = 200
"""Addresses .11 to .210 of the firewalls' networks."""
CLIENTS_MAX = 200


class Shape(StrEnum):
    """How the directors are placed."""

    TWO_BOX = "two-box"
    ONE_BOX = "one-box"
    ONE_ARM = "one-arm"


@dataclass(frozen=True, slots=True)
class Lan:
    """A layer-2 network: a bridge in the namespace `lan`, or one veth pair if only two boxes are on it."""

    name: str
    network: IPv4Network
    switched: bool


@dataclass(frozen=True, slots=True)
class Port:
    """An interface of a box on a network."""

    box: str
    interface: str
    lan: str
    addresses: tuple[IPv4Interface, ...]
    addresses6: tuple[IPv6Interface, ...] = ()

    @property
    def mac(self) -> str:
        """The first address in a MAC address, so that captures can be read: 10.0.1.11 is 02:00:0a:00:01:0b."""
        return ":".join(f"{octet:02x}" for octet in (2, 0, *self.addresses[0].ip.packed))


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a box; several gateways make it a multipath route, `from_interface` a route of its own table."""

    destination: IPv4Network | IPv6Network
    gateways: tuple[IPv4Address | IPv6Address, ...]
    from_interface: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A machine of the drawing: one network namespace."""

    name: str
    forwards: bool = False
    firewall: bool = False
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One zone of a director: where openings come in, and what each direction is balanced over."""

    zone: str
    leg_to_router: str
    leg_to_firewalls: str
    """The same leg in one-arm."""
    router: str
    router_address: IPv4Address
    firewalls: tuple[tuple[str, IPv4Address], ...]
    clients_side: bool
    """True: openings from the router are scheduled over firewalls by the outer director."""


@dataclass(frozen=True, slots=True)
class DirectorPlace:
    """A director and the box it runs on; both have the same name here."""

    name: str
    sides: tuple[Side, ...]

    @property
    def legs(self) -> tuple[tuple[str, str], ...]:
        """(interface, zone), each interface once; a leg is named after its interface."""
        return tuple(
            dict.fromkeys(
                (leg, side.zone) for side in self.sides for leg in (side.leg_to_router, side.leg_to_firewalls)
            )
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that is built."""

    shape: Shape
    boxes: tuple[Box, ...]
    lans: tuple[Lan, ...]
    ports: tuple[Port, ...]
    directors: tuple[DirectorPlace, ...]
    firewalls: tuple[str, ...]
    clients: tuple[IPv4Address, ...]
    ipv6: bool = False

    @property
    def outwards6(self) -> list[tuple[IPv6Address, IPv6Address]]:
        """`outwards` in IPv6."""
        return [(ipv6_of(source), ipv6_of(destination)) for source, destination in self.outwards]

    @property
    def inwards6(self) -> list[tuple[IPv6Address, IPv6Address]]:
        """`inwards` in IPv6."""
        return [(ipv6_of(source), ipv6_of(destination)) for source, destination in self.inwards]

    @property
    def outwards(self) -> list[tuple[IPv4Address, IPv4Address]]:
        """(source, destination) of connections opened from outside, one pair per client."""
        return [(client, WWW_ADDRESS) for client in self.clients]

    @property
    def inwards(self) -> list[tuple[IPv4Address, IPv4Address]]:
        """(source, destination) of connections opened from inside, one pair per client."""
        return [(WWW_ADDRESS, client) for client in self.clients]

    def port(self, box: str, interface: str) -> Port:
        """The port of that name."""
        return next(port for port in self.ports if (port.box, port.interface) == (box, interface))

    def peer(self, port: Port) -> tuple[str, str]:
        """(box, interface) at the other end of the port's cable: a bridge port of box ``lan`` if switched."""
        if next(lan for lan in self.lans if lan.name == port.lan).switched:
            return "lan", bridge_port(port)
        other = next(other for other in self.ports if other.lan == port.lan and other != port)
        return other.box, other.interface


def bridge_port(port: Port) -> str:
    """Name of the switch's interface for a port: ``outer-fw1``."""
    return f"{port.lan}-{port.box}"


@dataclass(slots=True)
class _Draft:
    boxes: list[Box] = field(default_factory=list)
    lans: list[Lan] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)

    def lan(self, name: str, network: IPv4Network, *, switched: bool = False) -> None:
        self.lans.append(Lan(name, network, switched))

    def port(self, box: str, interface: str, lan: str, *hosts: int) -> None:
        network = next(known.network for known in self.lans if known.name == lan)
        addresses = tuple(IPv4Interface(f"{network[host]}/{network.prefixlen}") for host in hosts)
        self.ports.append(Port(box, interface, lan, addresses))

    def box(self, name: str, *routes: Route, forwards: bool = False, firewall: bool = False) -> None:
        self.boxes.append(Box(name, forwards, firewall, routes))


def layout(shape: Shape, firewalls: int, clients: int) -> Layout:
    """The drawing with directors in place of all forwarding between the routers and the firewalls."""
    draft = _Draft()
    one_arm = shape is Shape.ONE_ARM
    outer_box, inner_box = ("lb", "lb") if shape is Shape.ONE_BOX else ("lb1", "lb2")
    _lans(draft, one_arm=one_arm)
    client_hosts = range(11, 11 + clients)
    draft.port("client", "eth0", "clients", *client_hosts)
    draft.box("client", Route(IPv4Network("0.0.0.0/0"), (CLIENTS[1],)))
    sides = _middle(draft, shape, outer_box, inner_box)
    names = tuple(f"fw{number}" for number in range(1, firewalls + 1))
    for number, name in enumerate(names, start=1):
        draft.port(name, "outer", "outer", 10 + number)
        draft.port(name, "inner", "inner", 10 + number)
        draft.box(name, Route(CLIENTS, (OUTER[1],)), Route(SERVERS, (INNER[1],)), forwards=True, firewall=True)
    draft.port("www", "eth0", "servers", 80)
    draft.box("www", Route(IPv4Network("0.0.0.0/0"), (SERVERS[1],)))
    outer_side, inner_side = (
        replace(side, firewalls=tuple((name, network[10 + n]) for n, name in enumerate(names, start=1)))
        for side, network in zip(sides, (OUTER, INNER), strict=True)
    )
    places = (
        (DirectorPlace("lb", (outer_side, inner_side)),)
        if shape is Shape.ONE_BOX
        else (DirectorPlace("lb1", (outer_side,)), DirectorPlace("lb2", (inner_side,)))
    )
    return Layout(
        shape,
        tuple(draft.boxes),
        tuple(draft.lans),
        tuple(draft.ports),
        places,
        names,
        tuple(CLIENTS[host] for host in client_hosts),
    )


def _lans(draft: _Draft, *, one_arm: bool) -> None:
    draft.lan("clients", CLIENTS)
    if not one_arm:
        draft.lan("outside", OUTSIDE)
    draft.lan("outer", OUTER, switched=True)
    draft.lan("inner", INNER, switched=True)
    if not one_arm:
        draft.lan("inside", INSIDE)
    draft.lan("servers", SERVERS)


def _middle(draft: _Draft, shape: Shape, outer_box: str, inner_box: str) -> tuple[Side, Side]:
    """Routers and directors: all that differs between the shapes."""
    one_arm = shape is Shape.ONE_ARM
    draft.port("ro", "clients", "clients", 1)
    draft.port("ri", "servers", "servers", 1)
    if one_arm:
        draft.port("ro", "outer", "outer", 254)
        draft.port("ri", "inner", "inner", 254)
        draft.port("lb1", "lan", "outer", 1)
        draft.port("lb2", "lan", "inner", 1)
        legs = (("lan", "lan"), ("lan", "lan"))
        routers, directors = (OUTER[254], INNER[254]), (OUTER[1], INNER[1])
    else:
        draft.port("ro", "outside", "outside", 1)
        draft.port("ri", "inside", "inside", 1)
        one_box = shape is Shape.ONE_BOX
        outer_leg, inner_leg = ("firewalls-out", "firewalls-in") if one_box else ("firewalls", "firewalls")
        draft.port(outer_box, "outside", "outside", 2)
        draft.port(outer_box, outer_leg, "outer", 1)
        draft.port(inner_box, inner_leg, "inner", 1)
        draft.port(inner_box, "inside", "inside", 2)
        legs = (("outside", outer_leg), ("inside", inner_leg))
        routers, directors = (OUTSIDE[1], INSIDE[1]), (OUTSIDE[2], INSIDE[2])
    draft.box("ro", Route(SERVERS, (directors[0],)), forwards=True)
    draft.box("ri", Route(CLIENTS, (directors[1],)), forwards=True)
    for name in dict.fromkeys((outer_box, inner_box)):
        draft.box(name)
    return (
        Side("edge", *legs[0], "ro", routers[0], (), clients_side=True),
        Side("core", *legs[1], "ri", routers[1], (), clients_side=False),
    )


def ipv6_of(address: IPv4Address) -> IPv6Address:
    """The IPv6 address that stands beside an address of the plan: its last number is written alike."""
    prefix = next(prefix for network, prefix in PREFIXES6.items() if address in network and network.prefixlen)
    return prefix[int(str(address.packed[3]), 16)]


def with_ipv6(drawn: Layout) -> Layout:
    """The same drawing with both families everywhere."""

    def route6(route: Route) -> Route:
        gateways = tuple(ipv6_of(gateway) for gateway in route.gateways if isinstance(gateway, IPv4Address))
        return replace(route, destination=PREFIXES6[route.destination], gateways=gateways)

    ports = tuple(
        replace(port, addresses6=tuple(IPv6Interface((ipv6_of(each.ip), 64)) for each in port.addresses))
        for port in drawn.ports
    )
    boxes = tuple(
        replace(box, routes=tuple(chain.from_iterable((route, route6(route)) for route in box.routes)))
        for box in drawn.boxes
    )
    return replace(drawn, ports=ports, boxes=boxes, ipv6=True)


def with_kernel_forwarding(drawn: Layout, boxes: frozenset[str], *, spread: bool) -> Layout:
    """The same drawing with plain kernel forwarding instead of a director on `boxes`.

    Towards the firewalls the route leads through the first one, or, with `spread`, over all of them
    by a hash of addresses and ports (fib_multipath_hash_policy = 1), as equal-cost routing does.
    """
    changed = []
    for box in drawn.boxes:
        if box.name not in boxes:
            changed.append(box)
            continue
        place = next(place for place in drawn.directors if place.name == box.name)
        one_box = len(place.sides) > 1
        routes = [route for side in place.sides for route in _kernel_routes(side, one_box=one_box, spread=spread)]
        changed.append(replace(box, forwards=True, routes=tuple(routes)))
    remaining = tuple(place for place in drawn.directors if place.name not in boxes)
    return replace(drawn, boxes=tuple(changed), directors=remaining)


def _kernel_routes(side: Side, *, one_box: bool, spread: bool) -> tuple[Route, Route]:
    beyond_router, beyond_firewalls = (CLIENTS, SERVERS) if side.clients_side else (SERVERS, CLIENTS)
    addresses = tuple(address for _, address in side.firewalls)
    return (
        Route(beyond_router, (side.router_address,), side.leg_to_firewalls if one_box else ""),
        Route(beyond_firewalls, addresses if spread else addresses[:1], side.leg_to_router if one_box else ""),
    )
