"""The network boundary on the kernel: netlink through pyroute2, in the network namespace it was made in.

Owns the sockets and the errors. What the messages say is read in `links`, `neighbours` and `drivers`.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lasthop.errors import NetworkError
from lasthop.network import links, neighbours
from lasthop.network.drivers import driver_name, receive_offloads
from lasthop.network.interface import Observation
from lasthop.network.notifications import Notifications

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lasthop.model.real_server import Address
    from lasthop.network.interface import Link
    from lasthop.network.messages import Message, Netlink

_RT_TABLE_LOCAL = 255
_NLM_F_DUMP_INTR = 0x10
_DUMP_ATTEMPTS = 10
#: No such interface any more; or one without this address family, where nothing can be resolved.
_NOTHING_TO_RESOLVE_ON = frozenset({errno.ENODEV, errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP, errno.EAFNOSUPPORT})
_REMEDIES = {
    errno.EPERM: "run as root, or give the process CAP_NET_ADMIN",
    errno.ENOBUFS: "raise net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3",
}


@contextmanager
def _refusals(operation: str) -> Iterator[None]:
    """Turn what netlink raises into NetworkError."""
    try:
        yield
    except (NetlinkError, OSError) as refusal:
        number: int = (refusal.code if isinstance(refusal, NetlinkError) else refusal.errno) or 0
        remedy = _REMEDIES.get(number, "run `lasthop doctor`")
        raise NetworkError(f"can't {operation}: {os.strerror(number)}", remedy) from refusal


def consistent(what: str, dump: Callable[[], Iterable[Message]]) -> list[Message]:
    """All messages of a dump that nothing changed under; an interrupted one (NLM_F_DUMP_INTR) is asked for again.

    Raises NetworkError if it is interrupted every time.
    """
    for _ in range(_DUMP_ATTEMPTS):
        messages = list(dump())
        if not any(message["header"]["flags"] & _NLM_F_DUMP_INTR for message in messages):
            return messages
    problem = f"can't read {what}: they changed during each of {_DUMP_ATTEMPTS} attempts"
    raise NetworkError(problem, "try again when fewer interfaces come and go")


class KernelNetwork:
    """Links, addresses and neighbours of the network namespace it is made in; see `interface.Network`.

    For one thread, outside a running asyncio loop: pyroute2's synchronous interface runs a loop of its own,
    and opens another socket in the current namespace of each other thread that calls it.
    Raises NetworkError if the sockets cannot be opened.
    """

    def __init__(self) -> None:
        with _refusals("open netlink sockets"):
            self._notifications = Notifications()
            # Strict checking has the kernel dump the table asked for alone, not all routes it has.
            self._netlink: Netlink = IPRoute(strict_check=True)
            self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def observe(self) -> Observation:
        """Read everything now; what belongs to an interface that went meanwhile is left out.

        Raises NetworkError if netlink refuses, or if every dump was interrupted by changes.
        """
        netlink = self._netlink
        with _refusals("read the network configuration"):
            found = [links.link(message) for message in consistent("links", lambda: netlink.link("dump"))]
            found = links.with_addresses(found, consistent("addresses", lambda: netlink.addr("dump", family=0)))
            routes = self._local_routes(socket.AF_INET) + self._local_routes(socket.AF_INET6)
            entries = neighbours.valid_entries(consistent("neighbours", lambda: netlink.neigh("dump", family=0)))
        present = {link.ifindex for link in found}
        return Observation(
            links={link.name: self._with_driver(link) for link in found},
            local=links.local_prefixes(routes),
            neighbours={key: mac for key, mac in entries.items() if key[0] in present},
        )

    def _with_driver(self, link: Link) -> Link:
        offloads = receive_offloads(self._control, link.name)
        return replace(
            link, driver=driver_name(self._control, link.name), rxvlan=offloads is not None and offloads.rxvlan
        )

    def _local_routes(self, family: int) -> list[Message]:
        return consistent("routes", lambda: self._netlink.route("dump", family=family, table=_RT_TABLE_LOCAL))

    def keep_resolved(self, wanted: frozenset[tuple[int, Address]]) -> None:
        """Make these (ifindex, address) pairs managed neighbours, which the kernel resolves and keeps fresh.

        Call it again after a change: an interface that goes down or loses its carrier forgets its neighbours.
        A pair whose interface is gone, or does not speak the address's family, is skipped; it stays unresolved.
        Every pair is tried before NetworkError is raised for the first that failed.
        """
        failure: NetworkError | None = None
        for ifindex, address in sorted(wanted, key=lambda pair: (pair[0], str(pair[1]))):
            try:
                self._keep_resolved(ifindex, address)
            except NetworkError as refusal:
                failure = failure or refusal
        if failure is not None:
            raise failure

    def _keep_resolved(self, ifindex: int, address: Address) -> None:
        with _refusals(f"have {address} resolved on interface {ifindex}"):
            try:
                neighbours.keep_fresh(self._netlink, ifindex, address)
            except NetlinkError as refusal:
                if refusal.code not in _NOTHING_TO_RESOLVE_ON:
                    raise

    def changes(self) -> int:
        """A file descriptor that becomes readable when something `observe` reads may have changed."""
        return self._notifications.fileno()

    def drain(self) -> None:
        """Read away what `changes` announced. Raises NetworkError if the socket fails."""
        with _refusals("read netlink notifications"):
            self._notifications.drain()

    def close(self) -> None:
        """Close the sockets. Neighbour entries stay, and stay managed."""
        self._netlink.close()
        self._notifications.close()
        self._control.close()
