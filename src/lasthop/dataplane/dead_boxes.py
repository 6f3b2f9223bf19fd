"""Dead real servers by zone and name, as packets look them up that would go back to one: the map dead_boxes.

Owns its entries. The half is part of the key, so that the write that switches everything else switches these too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.kept_map import KeptMap

if TYPE_CHECKING:
    from lasthop.dataplane.encode import Ids
    from lasthop.dataplane.identity import NameTable
    from lasthop.dataplane.libbpf import Map
    from lasthop.policy.plan import Plan, PlannedServer, PlannedService


class DeadBoxes:
    """The entries of both halves."""

    def __init__(self, table: Map, boxes: NameTable) -> None:
        self.kept = KeptMap(table)
        """The map, with both halves."""
        self._boxes = boxes
        self._dead: dict[str, tuple[PlannedService, list[PlannedServer]]] = {}
        """By label: what was published last, and who is dead in it."""
        self._key = abi.types().struct("dead_box")

    def write(self, plan: Plan, ids: Ids, half: int) -> None:
        """Make the entries of `half`, which no packet reads, those of `plan`. Of a zone's services the first counts."""
        self._dead = {service.label: self._dead_of(service) for service in plan.services}
        zones = {leg.name: ids.zones[leg.zone] for leg in plan.legs}
        wanted: dict[bytes, bytes] = {}
        for service, dead in self._dead.values():
            for server in dead:
                key = self._key_of(zones[server.leg], self._boxes.id_of(server.name), half)
                wanted.setdefault(key, ids.servers[service.label, server.name].to_bytes(4, "little"))
        self.kept.hold({**self.kept.of_half(self._key, 1 - half), **wanted}, room_first=True)

    def _dead_of(self, service: PlannedService) -> tuple[PlannedService, list[PlannedServer]]:
        known = self._dead.get(service.label)
        if known is not None and known[0] is service:
            return known
        return service, [server for server in service.servers if server.dead]

    def _key_of(self, zone: int, box: int, half: int) -> bytes:
        key = np.zeros(1, self._key)
        key["zone"], key["box"], key["half"] = zone, box, half
        return key.tobytes()
