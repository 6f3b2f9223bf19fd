"""The network boundary in memory: links, stations that answer on them, and the neighbours that follow.

For tests and for trying a configuration without touching a machine. It keeps the kernel's habits that
a director can notice; `tests/contract/test_network.py` runs the same tests on both.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Interface, ip_network
from typing import TYPE_CHECKING

from lasthop.errors import NetworkError
from lasthop.network.interface import Observation

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Interface, IPv6Network

    from lasthop.model.real_server import Address
    from lasthop.network.interface import Link

_LAST_PREFIX_WITH_BROADCAST = 30


def _local_of(addresses: tuple[IPv4Interface | IPv6Interface, ...]) -> set[IPv4Network | IPv6Network]:
    """What the kernel adds to the table ``local`` for these addresses."""
    prefixes: set[IPv4Network | IPv6Network] = {ip_network(address.ip) for address in addresses}
    prefixes.update(
        ip_network(address.network.broadcast_address)
        for address in addresses
        if isinstance(address, IPv4Interface) and address.network.prefixlen <= _LAST_PREFIX_WITH_BROADCAST
    )
    return prefixes


class FakeNetwork:
    """See `interface.Network`; the other public methods change the world it shows."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._local: set[IPv4Network | IPv6Network] = set()
        self._stations: dict[tuple[int, Address], str] = {}
        """Who answers where, whether anybody asked or not."""
        self._managed: set[tuple[int, Address]] = set()
        self._permanent: dict[tuple[int, Address], str] = {}
        self._neighbours: dict[tuple[int, Address], str] = {}
        self._changes = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    # What a director does.

    def observe(self) -> Observation:
        """Everything as it is now."""
        local = self._local.union(*(_local_of(link.addresses) for link in self._links.values()))
        return Observation(dict(self._links), frozenset(local), self._neighbours | self._permanent)

    def keep_resolved(self, wanted: frozenset[tuple[int, Address]]) -> None:
        """Resolve these pairs now or as soon as somebody answers; permanent entries are left alone."""
        present = {link.ifindex for link in self._links.values()}
        for pair in wanted:
            if pair[0] in present and pair not in self._permanent and pair not in self._managed:
                self._managed.add(pair)
                self._resolve(pair)

    def changes(self) -> int:
        """A file descriptor that is readable after a change."""
        return self._changes

    def drain(self) -> None:
        """Make `changes` quiet until the next change."""
        try:
            os.eventfd_read(self._changes)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the file descriptor back."""
        os.close(self._changes)

    # What happens in the world.

    def put_link(self, link: Link) -> None:
        """Add the interface, or change the one of that name. One that goes down forgets its neighbours."""
        self._links[link.name] = link
        if not link.up:
            self._forget(link.ifindex)
        self._changed()

    def remove_link(self, name: str) -> None:
        """Take the interface away, and all that hangs on it."""
        ifindex = self._link(name).ifindex
        del self._links[name]
        self._forget(ifindex)
        self._permanent = {pair: mac for pair, mac in self._permanent.items() if pair[0] != ifindex}
        self._stations = {pair: mac for pair, mac in self._stations.items() if pair[0] != ifindex}
        self._changed()

    def add_local(self, prefix: IPv4Network | IPv6Network) -> None:
        """Add a route to the table ``local``."""
        self._local.add(prefix)
        self._changed()

    def answer(self, name: str, address: Address, mac: str) -> None:
        """From now on a station with this MAC address answers for `address`, and has just announced it."""
        pair = self._link(name).ifindex, address
        self._stations[pair] = mac
        if pair in self._managed or pair in self._neighbours:
            self._resolve(pair)

    def silence(self, name: str, address: Address) -> None:
        """Nobody answers for `address` any more, and the kernel has noticed."""
        pair = self._link(name).ifindex, address
        self._stations.pop(pair, None)
        if self._neighbours.pop(pair, None) is not None:
            self._changed()

    def make_permanent(self, name: str, address: Address, mac: str) -> None:
        """The operator sets the entry by hand."""
        pair = self._link(name).ifindex, address
        self._permanent[pair] = mac
        self._managed.discard(pair)
        self._changed()

    def _link(self, name: str) -> Link:
        try:
            return self._links[name]
        except KeyError:
            raise NetworkError(f"no interface '{name}'", f"there are: {', '.join(self._links) or 'none'}") from None

    def _resolve(self, pair: tuple[int, Address]) -> None:
        up = any(link.up for link in self._links.values() if link.ifindex == pair[0])
        mac = self._stations.get(pair)
        if up and mac is not None and self._neighbours.get(pair) != mac:
            self._neighbours[pair] = mac
            self._changed()

    def _forget(self, ifindex: int) -> None:
        self._managed = {pair for pair in self._managed if pair[0] != ifindex}
        self._neighbours = {pair: mac for pair, mac in self._neighbours.items() if pair[0] != ifindex}

    def _changed(self) -> None:
        os.eventfd_write(self._changes, 1)
