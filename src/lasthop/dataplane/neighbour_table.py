"""Who the kernel knows on each leg, as packets look it up; hops follow when somebody is at another MAC address.

Owns the maps neighbour_hops and on_link, the flags of hops, and the gateway of a leg. All of it is brought up to date
after each observation, also where nothing else is published.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from lasthop.dataplane import abi
from lasthop.dataplane.kept_map import KeptMap
from lasthop.model.event import Kind, told
from lasthop.model.leg import ReplyTo
from lasthop.policy.whereabouts import Whereabouts

if TYPE_CHECKING:
    from lasthop.dataplane.libbpf import Map
    from lasthop.dataplane.publisher import Publisher
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan

_log = logging.getLogger(__name__)

_LEG_BITS = 32


class NeighbourTable:
    """The neighbours and gateways of one director's legs."""

    def __init__(self, maps: dict[str, Map], publisher: Publisher) -> None:
        self._neighbours, self._on_link = KeptMap(maps["neighbour_hops"]), KeptMap(maps["on_link"])
        self.kept = (self._neighbours, self._on_link)
        """The maps."""
        self._hops = publisher.hops
        self._publisher = publisher
        self._subnets: object = None
        """What on_link was last made from."""
        self._gateways: dict[tuple[int, Address], int] = {}
        """(leg id, address) -> hop."""
        self._plan: Plan | None = None
        self._refused = 0
        """Neighbours of it that there was no room for."""
        self._whereabouts = Whereabouts(
            (publisher.leg_names.name_of(leg), mac, at) for leg, mac, at in self._hops.known()
        )

    def publish(self, plan: Plan) -> None:
        """Follow who moved; then let packets find the neighbours and gateways of `plan`, whose legs have ids."""
        self._plan, ids = plan, self._ids(plan)
        for leg, was, mac in self._whereabouts.moves(plan.neighbours):
            if self._hops.follow(abi.target_word(ids[leg], was), abi.target_word(ids[leg], mac)):
                _log.warning(
                    "leg %s: who was at %s is at %s now, and connections go there",
                    leg,
                    was,
                    mac,
                    extra=told(Kind.HOP_MOVED, leg=leg, mac=mac, was=was),
                )
        self._whereabouts.tidy(self._places, plan.neighbours)
        there: defaultdict[int, list[Address]] = defaultdict(list)
        for leg, mac, address in plan.neighbours:
            there[abi.target_word(ids[leg], mac)].append(address)
        self._publish_gateways(plan, ids)
        self._publish_neighbours(plan, ids)
        for target, addresses in there.items():
            self._hops.name_addresses(target, sorted(addresses, key=_plainness))
        self._publish_subnets(plan, ids)

    def swept(self) -> None:
        """A whole sweep ended, and may have freed hops: those that found no room try again."""
        if self._refused and self._plan is not None:
            self._publish_neighbours(self._plan, self._ids(self._plan))

    def _ids(self, plan: Plan) -> dict[str, int]:
        return {leg.name: self._publisher.leg_names.id_of(leg.name) for leg in plan.legs}

    def _places(self) -> set[tuple[str, str]]:
        """(leg, MAC) of every hop."""
        targets = (abi.split_target(int(target)) for target in self._hops.hops["target"][self._hops.used()])
        return {(self._publisher.leg_names.name_of(leg_id), mac) for leg_id, mac in targets}

    def _publish_gateways(self, plan: Plan, ids: dict[str, int]) -> None:
        macs = {(leg, address): mac for leg, mac, address in plan.neighbours}
        kept: dict[tuple[int, Address], int] = {}
        for leg in plan.legs:
            leg_id, first = ids[leg.name], 0
            for address in leg.gateways:
                hop_id = self._gateways.get((leg_id, address)) or self._hops.gateway_of(leg_id, address)
                mac = macs.get((leg.name, address))
                if mac is not None:
                    hop_id = self._hops.resolve_gateway(hop_id, abi.target_word(leg_id, mac), address)
                    first = first or hop_id
                if hop_id:
                    kept[leg_id, address] = hop_id
            if self._publisher.legs["gateway_hop"][leg_id] != first:
                self._publisher.legs["gateway_hop"][leg_id] = first
        self._gateways = kept
        self._hops.mark("HOP_GATEWAY", set(kept.values()))

    def _publish_neighbours(self, plan: Plan, ids: dict[str, int]) -> None:
        asking = {leg.name for leg in plan.legs if leg.knows_neighbours}
        wanted: dict[bytes, bytes] = {}
        hops: dict[int, int] = {}
        refused = 0
        for leg, mac, address in plan.neighbours:
            if leg not in asking:
                continue
            target = abi.target_word(ids[leg], mac)
            if target not in hops:
                hops[target] = self._hops.neighbour(target)
            if not hops[target] or len(wanted) >= abi.limit("MAX_NEIGHBOURS"):
                refused += 1
                continue
            wanted[ids[leg].to_bytes(4, "little") + abi.pack_address(address)] = hops[target].to_bytes(4, "little")
        # Who is gone first: his hop may be freed once nothing leads to it, and the map may be full.
        self._neighbours.hold(wanted, room_first=True)
        self._hops.mark("HOP_NEIGHBOUR", set(hops.values()) - {0})
        if refused and not self._refused:
            _log.warning(
                "%d neighbours are more than there is room for: they are not answered by their entries", refused
            )
        self._refused = refused

    def _publish_subnets(self, plan: Plan, ids: dict[str, int]) -> None:
        made_from = [
            (ids[leg.name], subnet) for leg in plan.legs if leg.reply_to is ReplyTo.NEIGHBOUR for subnet in leg.subnets
        ]
        if made_from == self._subnets:
            return
        self._on_link.hold(
            {
                (_LEG_BITS + abi.prefix_length(subnet)).to_bytes(4, "little")
                + leg_id.to_bytes(4, "little")
                + abi.pack_address(subnet.network_address): b"\1"
                for leg_id, subnet in made_from
            }
        )
        self._subnets = made_from


def _plainness(address: Address) -> tuple[bool, int, int]:
    """What an operator calls the box: not its link-local address, if it has another."""
    return address.is_link_local, address.version, int(address)
