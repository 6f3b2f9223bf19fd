"""Where things are: interfaces of legs, legs of real servers, the zone of each service.

Owns the join of a configuration with its surroundings. What the data plane makes of it is `lasthop.policy.compile`'s.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from lasthop.errors import NetworkError
from lasthop.model.leg import Mode
from lasthop.policy.plan import PlannedLeg
from lasthop.policy.vlan_devices import vlan_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lasthop.model.leg import Leg
    from lasthop.model.real_server import Address, RealServer
    from lasthop.model.service import Service
    from lasthop.policy.surroundings import SeenLink, Surroundings

#: Interfaces named in a remedy before the list is cut short.
SHOWN_INTERFACES = 12

NO_MAC = "00:00:00:00:00:00"

#: Legs by name, in file order.
Legs = dict[str, PlannedLeg]

#: The leg of each real server of one service, in file order.
Placement = tuple[tuple["RealServer", PlannedLeg], ...]


def plan_legs(legs: Iterable[Leg], surroundings: Surroundings) -> Legs:
    """Join each leg with its interface.

    Raises NetworkError if one is missing, is not Ethernet, or hides VLAN tags from the XDP that is asked for.
    """
    return {leg.name: _plan_leg(leg, surroundings) for leg in legs}


def _plan_leg(leg: Leg, surroundings: Surroundings) -> PlannedLeg:
    link = surroundings.links.get(leg.interface)
    if link is None:
        raise NetworkError(
            f"can't use interface '{leg.interface}' as leg '{leg.name}': there is no such interface",
            f"use one of {_interfaces(surroundings)}, or create it first",
        )
    if not _is_ethernet(link):
        raise NetworkError(
            f"can't use interface '{leg.interface}' as leg '{leg.name}': it has no MAC address",
            "use an Ethernet interface (a NIC, bridge, bond, veth or macvlan)",
        )
    if leg.mode is Mode.XDP and link.strips_tags:
        raise NetworkError(
            f"can't use XDP on interface '{leg.interface}' of leg '{leg.name}': it takes VLAN tags out of frames "
            "(rx-vlan-hw-parse), and XDP would take one VLAN's frames for another's",
            f'{strip_nothing(leg.interface)}; or set mode = "tc" on this leg',
        )
    planned = PlannedLeg(
        name=leg.name,
        zone=leg.zone,
        mode=leg.mode,
        interface=leg.interface,
        ifindex=link.ifindex,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        own_macs=frozenset(leg.virtual_macs),
        vlan=leg.vlan,
        reply_to=leg.reply_to,
        gateways=leg.gateways,
        strict=leg.strict,
    )
    return seen_now(planned, frozenset(leg.virtual_macs), surroundings)


def seen_now(leg: PlannedLeg, macs: frozenset[str], surroundings: Surroundings) -> PlannedLeg:
    """Return `leg` as its interface is now; without one it is down. `macs` are its own beside the interface's."""
    link = surroundings.links.get(leg.interface)
    if link is None:
        return replace(leg, up=False)
    device = vlan_device(leg.vlan, link, surroundings) if leg.vlan else link
    upper = device or link
    return replace(
        leg,
        ifindex=link.ifindex,
        mac=upper.mac,
        mtu=upper.mtu,
        up=link.up,
        own_macs=macs | {link.mac, upper.mac} | link.child_macs | upper.child_macs,
        virtual=link.virtual,
        strips_tags=link.strips_tags,
        device=device.ifindex if device else 0,
        subnets=tuple(dict.fromkeys(interface.network for interface in upper.addresses)),
    )


def plan_neighbours(legs: Legs, surroundings: Surroundings) -> tuple[tuple[str, str, Address], ...]:
    """Return (leg, MAC, address) for whom the kernel knows on each leg."""
    names: dict[int, list[str]] = {}
    for leg in legs.values():
        names.setdefault(leg.neighbours_on, []).append(leg.name)
    return tuple(
        (name, mac, address)
        for (ifindex, address), mac in surroundings.neighbours.items()
        for name in names.get(ifindex, ())
    )


def strip_nothing(interface: str) -> str:
    """Return the command that has an interface leave VLAN tags in the frames."""
    return f"ethtool -K {shlex.quote(interface)} rxvlan off"


def _is_ethernet(link: SeenLink) -> bool:
    """The loopback interface has a MAC address of zeros, tunnels have none."""
    return link.mac not in {"", NO_MAC}


def _interfaces(surroundings: Surroundings) -> str:
    names = sorted(name for name, link in surroundings.links.items() if _is_ethernet(link))
    shown = ", ".join(names[:SHOWN_INTERFACES]) or "no interface at all (none here is Ethernet)"
    return f"{shown} ..." if len(names) > SHOWN_INTERFACES else shown


class Ground:
    """Where real servers can be: legs, and the addresses seen on them. An address is looked for once."""

    def __init__(self, legs: Legs, surroundings: Surroundings) -> None:
        self._legs = legs
        self._own = {interface.ip for link in surroundings.links.values() for interface in link.addresses}
        self._found: dict[tuple[Address, frozenset[str]], list[PlannedLeg]] = {}

    def place(self, service: Service) -> Placement:
        """Find the leg of each real server of a service.

        Raises NetworkError if one is on no leg or on several, or if the service reaches into two zones.
        """
        zones = frozenset(self._legs[name].zone for match in service.matches for name in match.legs)
        placement = tuple((server, self._leg_of(server, service, zones)) for server in service.real_servers)
        _require_one_zone(service, placement, self._legs)
        return placement

    def _leg_of(self, server: RealServer, service: Service, zones: frozenset[str]) -> PlannedLeg:
        if server.address in self._own:
            raise NetworkError(
                f"{_in_words(server, service)} is an address of this machine", "give the address of the box itself"
            )
        for address in server.other_addresses:
            if address in self._own:
                raise NetworkError(
                    f"{_in_words(server, service)} has {address} in other_addresses, an address of this machine",
                    "leave it out",
                )
        if server.leg is not None:
            return self._legs[server.leg]
        candidates = self._found.get((server.address, zones))
        if candidates is None:
            candidates = self._found[server.address, zones] = _closest(server.address, self._in_reach(zones))
        if len(candidates) == 1:
            return candidates[0]
        what = _in_words(server, service)
        if candidates:
            names = " and ".join(f"'{leg.name}'" for leg in candidates)
            raise NetworkError(f"{what} is on legs {names} alike", f'give it leg = "{candidates[0].name}" or another')
        example = next(iter(self._legs.values()))
        raise NetworkError(
            f"{what} is on no leg",
            f'give it leg = "{example.name}" (or another leg) or add an address of its subnet to a leg\'s interface, '
            f"as with: ip address add ADDRESS/PREFIX dev {example.interface}",
        )

    def _in_reach(self, zones: frozenset[str]) -> list[Legs]:
        """Return the legs of the zones that a service's matches name, then all: the first that fit are taken."""
        return [{name: leg for name, leg in self._legs.items() if leg.zone in zones}, self._legs]


def _in_words(server: RealServer, service: Service) -> str:
    return f"real server '{server.name}' {server.address} of service {service.label}"


def _closest(address: Address, groups: Sequence[Legs]) -> list[PlannedLeg]:
    """Return the legs with the longest subnet that holds `address`, of the first group that has any."""
    for group in groups:
        lengths = {
            leg.name: max((subnet.prefixlen for subnet in leg.subnets if address in subnet), default=-1)
            for leg in group.values()
        }
        longest = max(lengths.values(), default=-1)
        if longest >= 0:
            return [group[name] for name, length in lengths.items() if length == longest]
    return []


def _require_one_zone(service: Service, placement: Placement, legs: Legs) -> None:
    if not placement:
        return
    server, leg = placement[0]
    for other, other_leg in placement[1:]:
        if other_leg.zone != leg.zone:
            raise NetworkError(
                f"real servers of service {service.label} are in two zones: '{server.name}' on leg '{leg.name}' "
                f"(zone {leg.zone}), '{other.name}' on leg '{other_leg.name}' (zone {other_leg.zone})",
                "make one service for each zone",
            )
    for name in (name for match in service.matches for name in match.legs):
        if legs[name].zone != leg.zone:
            raise NetworkError(
                f"service {service.label} matches leg '{name}' (zone {legs[name].zone}), but its real server "
                f"'{server.name}' {server.address} is on leg '{leg.name}' (zone {leg.zone})",
                f"match legs of zone {leg.zone}, or name real servers of zone {legs[name].zone}",
            )


def require_one_identity(placements: Iterable[Placement]) -> None:
    """Raise NetworkError unless within a zone a name is one box (one address, one leg), and an address is one name."""
    names: dict[tuple[str, str], tuple[Address, str]] = {}
    addresses: dict[tuple[str, Address], str] = {}
    for server, leg in (placed for placement in placements for placed in placement):
        address, leg_name = names.setdefault((leg.zone, server.name), (server.address, leg.name))
        if (address, leg_name) != (server.address, leg.name):
            raise NetworkError(
                f"real server '{server.name}' is {address} on leg '{leg_name}' and {server.address} on leg "
                f"'{leg.name}' within zone {leg.zone}",
                "a name is one box: give it the same address and leg in every service of the zone, or another name",
            )
        for one in (server.address, *server.other_addresses):
            name = addresses.setdefault((leg.zone, one), server.name)
            if name != server.name:
                raise NetworkError(
                    f"real servers '{name}' and '{server.name}' of zone {leg.zone} are both {one}",
                    "a box has one name: use it in every service, or correct the address",
                )
