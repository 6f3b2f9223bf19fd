"""The kernel's neighbour table: which entries are valid, and how one is kept fresh.

The kernel resolves and re-resolves entries that carry NTF_EXT_MANAGED by itself (Linux 5.16): one
that failed is tried again every ``net.ipv4.neigh.default.interval_probe_time_ms``, 5 s, or the same of ``net.ipv6``.
No sockets are opened here.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ndmsg import (
    NTF_EXT_LEARNED,
    NTF_USE,
    NUD_DELAY,
    NUD_NOARP,
    NUD_NONE,
    NUD_PERMANENT,
    NUD_PROBE,
    NUD_REACHABLE,
    NUD_STALE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.model.real_server import Address
    from lasthop.network.messages import Message, Netlink

NTF_EXT_MANAGED = 1

_VALID = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT
_MAC_LENGTH = len("00:00:00:00:00:00")
_NO_MAC = "00:00:00:00:00:00"
#: The answers of a kernel, or of a device, that has no managed entries.
_UNMANAGEABLE = frozenset({errno.EINVAL, errno.EOPNOTSUPP})


def _usable(mac: str) -> bool:
    """An Ethernet address that belongs to one station."""
    return len(mac) == _MAC_LENGTH and mac != _NO_MAC and not int(mac[:2], 16) & 1


def valid_entries(messages: Iterable[Message]) -> dict[tuple[int, Address], str]:
    """(ifindex, address) -> MAC address of RTM_NEWNEIGH messages that may be sent to."""
    entries = {}
    for message in messages:
        address, mac = message.get_attr("NDA_DST"), (message.get_attr("NDA_LLADDR") or "").lower()
        if message["family"] in {AF_INET, AF_INET6} and message["state"] & _VALID and address and _usable(mac):
            entries[message["ifindex"], ip_address(address)] = mac
    return entries


def _entry(netlink: Netlink, ifindex: int, address: Address) -> Message | None:
    """The entry's message, or None if there is no such entry."""
    try:
        (entry,) = netlink.neigh("get", dst=str(address), ifindex=ifindex)
    except NetlinkError as refusal:
        if refusal.code == errno.ENOENT:
            return None
        raise
    return entry


def _owned_by_others(entry: Message) -> bool:
    """Made by the operator (permanent), by a routing daemon (EXT_LEARNED), or not resolvable (NOARP)."""
    return bool(entry["state"] & (NUD_PERMANENT | NUD_NOARP) or entry["flags"] & NTF_EXT_LEARNED)


def probe(netlink: Netlink, ifindex: int, address: Address) -> None:
    """Have the kernel resolve or confirm the entry now, as if a packet had used it; it is not kept fresh."""
    netlink.neigh("replace", dst=str(address), ifindex=ifindex, state=NUD_NONE, flags=NTF_USE)


def keep_fresh(netlink: Netlink, ifindex: int, address: Address) -> None:
    """Make the entry a managed one; where that is refused, probe it, so that calling again keeps it fresh.

    The entry is read first: setting the flag on a permanent one would make the kernel forget its
    MAC address, and one that is managed needs nothing. Raises NetlinkError.
    """
    entry = _entry(netlink, ifindex, address)
    if entry is not None and (_owned_by_others(entry) or (entry.get_attr("NDA_FLAGS_EXT") or 0) & NTF_EXT_MANAGED):
        return
    try:
        netlink.neigh("replace", dst=str(address), ifindex=ifindex, state=NUD_NONE, NDA_FLAGS_EXT=NTF_EXT_MANAGED)
    except NetlinkError as refusal:
        if refusal.code not in _UNMANAGEABLE:
            raise
        probe(netlink, ifindex, address)
