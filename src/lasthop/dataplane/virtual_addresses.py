"""Services by address, as packets look them up: the map virtual_addrs.

Owns its entries. The half is part of the key, so that the write that switches everything else switches these too.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.kept_map import KeptMap

if TYPE_CHECKING:
    from lasthop.dataplane.encode import Ids
    from lasthop.dataplane.libbpf import Map
    from lasthop.model.service import VirtualAddress
    from lasthop.policy.plan import Plan

_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}


class VirtualAddresses:
    """The entries of both halves."""

    def __init__(self, table: Map) -> None:
        self.kept = KeptMap(table)
        """The map, with both halves."""
        self._key = abi.types().struct("virtual_address")
        self._made_from: list[object] = [None, None]
        """What the entries of each half are, if they were written here and whole."""

    def write(self, plan: Plan, ids: Ids, half: int) -> None:
        """Make the entries of `half`, which no packet reads, those of `plan`.

        A service without real servers takes its packets in every zone: they are not to go somewhere else.
        """
        taken = [
            (service.virtual_address, service.zone, ids.services[service.label])
            for service in plan.services
            if service.virtual_address is not None
        ]
        made_from = (taken, ids.zones)
        if made_from == self._made_from[half]:
            return
        self._made_from[half] = None
        wanted = {
            self._key_of(address, ids.zones[zone], half): id_.to_bytes(4, "little")
            for address, only_zone, id_ in taken
            for zone in ([only_zone] if only_zone else ids.zones)
        }
        self.kept.hold({**self.kept.of_half(self._key, 1 - half), **wanted}, room_first=True)
        self._made_from[half] = made_from

    def _key_of(self, taken: VirtualAddress, zone: int, half: int) -> bytes:
        key = np.zeros(1, self._key)
        key["address"] = np.frombuffer(abi.pack_address(taken.address), "u1")
        key["port"] = socket.htons(taken.port)
        key["zone"], key["ip_proto"], key["half"] = zone, _PROTOCOLS[taken.protocol], half
        return key.tobytes()
