"""Links, addresses and local routes as netlink dumps them, turned into `Link` and prefixes.

Owns the reading of those messages; asking for them is `lasthop.network.kernel`'s business.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING

from lasthop.model.vlan import VlanProtocol
from lasthop.network.interface import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.network.messages import Message

_IFF_UP = 1
#: Operational states in which the kernel itself says IFF_RUNNING: drivers that know no carrier stay UNKNOWN.
_CARRYING = frozenset({"UP", "UNKNOWN"})
#: Their IFLA_LINK is the other end of the cable, not an interface below.
_PAIRED = frozenset({"veth", "vxcan", "netkit"})


def _parent(message: Message, kind: str) -> int | None:
    lower: int | None = message.get_attr("IFLA_LINK")
    elsewhere = message.get_attr("IFLA_LINK_NETNSID") is not None
    return None if kind in _PAIRED or elsewhere or not lower else lower


def _tag(message: Message) -> tuple[VlanProtocol, int] | None:
    vlan = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_VLAN_ID")
    ethertype = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_VLAN_PROTOCOL")
    protocol = next((each for each in VlanProtocol if each.ethertype == ethertype), None)
    return None if vlan is None or protocol is None else (protocol, vlan)


def link(message: Message) -> Link:
    """One interface from an RTM_NEWLINK message; addresses and what its driver says are not in it."""
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or ""
    return Link(
        ifindex=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        mac=(message.get_attr("IFLA_ADDRESS") or "").lower(),
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & _IFF_UP) and message.get_attr("IFLA_OPERSTATE") in _CARRYING,
        kind=kind,
        parent=_parent(message, kind),
        tag=_tag(message) if kind == "vlan" else None,
    )


def with_addresses(links: Iterable[Link], messages: Iterable[Message]) -> list[Link]:
    """Give each of `links` its addresses from RTM_NEWADDR messages; those of other interfaces are passed over."""
    addresses: defaultdict[int, list[IPv4Interface | IPv6Interface]] = defaultdict(list)
    for message in messages:
        # IFA_ADDRESS is the far end's address on a point-to-point interface; IFA_LOCAL is always ours.
        own = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if own:
            addresses[message["index"]].append(ip_interface(f"{own}/{message['prefixlen']}"))
    return [replace(each, addresses=tuple(addresses[each.ifindex])) for each in links]


def local_prefixes(messages: Iterable[Message]) -> frozenset[IPv4Network | IPv6Network]:
    """Destinations of RTM_NEWROUTE messages of the table ``local``; one without RTA_DST is the default route."""
    any_address = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104 - a prefix; nothing is bound to it
    return frozenset(
        ip_network(f"{message.get_attr('RTA_DST') or any_address[message['family']]}/{message['dst_len']}")
        for message in messages
        if message["family"] in any_address
    )
