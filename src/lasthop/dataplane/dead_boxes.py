"""Dead real servers by zone and name, as packets look them up that would go back to one: the map dead_boxes.

Owns its entries. The half is part of the key, so that the write that switches everything else switches these too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lasthop.dataplane import abi

if TYPE_CHECKING:
    from lasthop.dataplane.encode import Ids
    from lasthop.dataplane.identity import NameTable
    from lasthop.dataplane.libbpf import Map
    from lasthop.policy.plan import Plan, PlannedServer, PlannedService


class DeadBoxes:
    """The entries of both halves."""

    def __init__(self, table: Map, boxes: NameTable) -> None:
        self._table = table
        self._boxes = boxes
        self._dead: dict[str, tuple[PlannedService, list[PlannedServer]]] = {}
        """By label: what was published last, and who is dead in it."""
        self._key = abi.types().struct("dead_box")
        self._entries: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
        for key, value in table.entries().items():
            self._entries[int(np.frombuffer(key, self._key)["half"][0])][key] = value

    def write(self, plan: Plan, ids: Ids, half: int) -> None:
        """Make the entries of `half`, which no packet reads, those of `plan`. Of a zone's services the first counts."""
        self._dead = {service.label: self._dead_of(service) for service in plan.services}
        zones = {leg.name: ids.zones[leg.zone] for leg in plan.legs}
        wanted: dict[bytes, bytes] = {}
        for service, dead in self._dead.values():
            for server in dead:
                key = self._key_of(zones[server.leg], self._boxes.id_of(server.name), half)
                wanted.setdefault(key, ids.servers[service.label, server.name].to_bytes(4, "little"))
        present = self._entries[half]
        for key in present.keys() - wanted.keys():
            self._table.delete(key)
            del present[key]
        for key, value in wanted.items():
            if present.get(key) != value:
                self._table.update(key, value)
                present[key] = value

    def _dead_of(self, service: PlannedService) -> tuple[PlannedService, list[PlannedServer]]:
        known = self._dead.get(service.label)
        if known is not None and known[0] is service:
            return known
        return service, [server for server in service.servers if server.dead]

    def _key_of(self, zone: int, box: int, half: int) -> bytes:
        key = np.zeros(1, self._key)
        key["zone"], key["box"], key["half"] = zone, box, half
        return key.tobytes()
