"""Publishing a plan: ids given out, hops resolved, the idle half written, one write to switch.

Owns the order of these writes. What a packet reads is whole at every moment: the half it started
with is not written again before every packet that could be reading it is done (membarrier).
"""

from __future__ import annotations

import ctypes
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.accounts import Accounts
from lasthop.dataplane.dead_boxes import DeadBoxes
from lasthop.dataplane.encode import Half, Ids, Parts, encode
from lasthop.dataplane.identity import NameTable
from lasthop.dataplane.kept_map import KeptMap
from lasthop.dataplane.virtual_addresses import VirtualAddresses
from lasthop.errors import DataPlaneError
from lasthop.model.rule import ANY_REAL_SERVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lasthop.dataplane.hop_table import HopTable
    from lasthop.dataplane.libbpf import Map
    from lasthop.model.rule import Network
    from lasthop.policy.plan import Plan, PlannedService

_MEMBARRIER_GLOBAL = 1
_LONGEST_PACKET_S = 0.05
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}


class Publisher:
    """The published maps of one director."""

    def __init__(self, maps: dict[str, Map], hops: HopTable) -> None:
        types = abi.types()
        self.hops = hops
        self.live = maps["live"].view(types.struct("live"))
        self.legs = maps["legs"].view(types.struct("leg"))
        self.rulesets = maps["rulesets"].view(types.struct("ruleset"))
        self.accounts = Accounts(maps)
        self.server_loads = maps["server_loads"].view(types.struct("server_load"))
        self._halves = {
            name: maps[name].view(dtype).reshape(2, -1)
            for name, dtype in {
                "rules": types.struct("rule"),
                "services": types.struct("service"),
                "servers": types.struct("server"),
                "listed": np.dtype("u4"),
                "fallbacks": types.struct("fallback"),
            }.items()
        }
        self.zones = NameTable(maps["zone_names"], "zone")
        self.leg_names = NameTable(maps["leg_names"], "leg")
        self.boxes = NameTable(maps["box_names"], "real server", first=abi.enum("rule_value")["NO_BOX"] + 1)
        self.services = NameTable(maps["service_names"], "service")
        self._parts = Parts()
        self._virtual = VirtualAddresses(maps["virtual_addrs"])
        self._dead = DeadBoxes(maps["dead_boxes"], self.boxes)
        self._server_addresses, self._local = KeptMap(maps["server_addrs"]), KeptMap(maps["local"])
        self.kept = (self._server_addresses, self._local, self._virtual.kept, self._dead.kept)
        """The maps beside the halves."""
        self._written: Half | None = None
        """The half that packets read, if this process wrote it."""
        self._published: Plan | None = None
        """What packets read, if this process published it."""
        self._server_ids = self._read_server_ids()
        self._retired: set[tuple[str, str]] = set()
        """Out of the plan, and kept for their connections."""
        self.new_locals: list[Network] = []
        """The director's own networks that were not when connections to them may have begun."""
        self._hop_ids: dict[tuple[str, str], int] = {}
        self._addresses: object = None
        """What the maps server_addrs and local were last made from."""

    @property
    def half(self) -> int:
        """The half that packets read."""
        return int(self.live["half"][0])

    @property
    def servers(self) -> NDArray[Any]:
        """The servers packets read, by id."""
        servers: NDArray[Any] = self._halves["servers"][self.half]
        return servers

    def service(self, service_id: int) -> NDArray[Any]:
        """The service packets read, as an array of one."""
        services: NDArray[Any] = self._halves["services"][self.half][service_id : service_id + 1]
        return services

    @property
    def persistence_prefixes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Of each service: bits of a client's address that tell clients apart, of IPv4 clients and of IPv6 clients."""
        services = self._halves["services"][self.half]
        return services["persistence_prefix"] - np.uint8(abi.V4_MAPPED_BITS), services["persistence_prefix6"]

    @property
    def timeouts_ns(self) -> NDArray[np.int64]:
        """Time-out of each state."""
        timeouts: NDArray[np.int64] = self.rulesets["timeout_ns"][self.half].astype(np.int64)
        return timeouts

    def server_ids(self) -> dict[tuple[str, str], int]:
        """(service label, real server) -> id, retired ones included; not to be changed."""
        return self._server_ids

    def _read_server_ids(self) -> dict[tuple[str, str], int]:
        servers = self.servers
        return {
            (self.services.name_of(int(servers["service"][i])), self.boxes.name_of(int(servers["box"][i]))): int(i)
            for i in np.flatnonzero(servers["box"])
        }

    def publish(self, plan: Plan, xdp_legs: frozenset[str]) -> None:
        """Write the idle half and switch to it. The legs of `plan` must have ids already."""
        ids = Ids(
            legs={leg.name: self.leg_names.id_of(leg.name) for leg in plan.legs},
            zones={leg.zone: self.zones.id_of(leg.zone) for leg in plan.legs},
            mtus={leg.name: leg.mtu for leg in plan.legs},
            xdp_legs=xdp_legs,
        )
        changed = self._changed(plan, ids)
        self._give_service_ids(plan, ids)
        for service in changed:
            for server in service.servers:
                ids.boxes[server.name] = self.boxes.id_of(server.name)
        self._name_senders(plan, ids)
        try:
            self._give_server_ids(changed)
            self._resolve_hops(changed, ids)
            ids.servers, ids.hops = self._server_ids, self._hop_ids
            half = encode(plan, ids, self._parts)
            retired = self._retire(half, plan)
            idle = 1 - self.half
            self._write(idle, half)
            self._virtual.write(plan, ids, idle)
            self._dead.write(plan, ids, idle)
        except BaseException:
            self._start_over()
            raise
        self._switch(idle)
        self._written = half
        self._forget(plan, retired)
        self._set_thresholds(changed)
        self._publish_addresses(plan, ids)
        self.live["on_detach"] = plan.closes
        self._published = plan

    @property
    def parts(self) -> Sequence[str]:
        """The maps that are in halves."""
        return (*self._halves, "rulesets")

    def mend(self, part: str) -> int:
        """Write what packets read of a map again, if somebody else changed it; how many entries that were."""
        if self._written is None:
            return 0
        if part == "rulesets":
            there, written = self.rulesets[self.half : self.half + 1], self._written.ruleset
        else:
            written = getattr(self._written, part)
            there = self._halves[part][self.half][: len(written)]
        altered = np.flatnonzero(there != written)
        there[altered] = written[altered]
        return len(altered)

    def roll_back(self, half: int) -> None:
        """Let packets read the half they read before a publication that could not be completed."""
        self._switch(half)
        self._start_over()

    def _start_over(self) -> None:
        """Take nothing for known of what was published: a publication ended half-way."""
        self._published, self._addresses, self._written = None, None, None
        self._parts.forget()
        self._server_ids = self._read_server_ids()

    def _switch(self, half: int) -> None:
        self.live["half"] = half
        grace_period()

    def _changed(self, plan: Plan, ids: Ids) -> list[PlannedService]:
        """The services that are other objects than were published, or all if the legs are others."""
        if self._published is None or self._published.legs != plan.legs:
            self._parts.forget()
        return [service for service in plan.services if not self._parts.known(service, ids.surroundings())]

    def _name_senders(self, plan: Plan, ids: Ids) -> None:
        """Give an id to every name that a rule has."""
        for rule in plan.rules:
            name = rule.source_real_server
            if name is not None and name != ANY_REAL_SERVER:
                ids.boxes.setdefault(name, self.boxes.id_of(name))

    def _give_service_ids(self, plan: Plan, ids: Ids) -> None:
        """A service that comes anew counts from zero, also if it has connections of its former life."""
        before = {service.label for service in self._published.services} if self._published else None
        for service in plan.services:
            known = self.services.get(service.label)
            ids.services[service.label] = id_ = self.services.id_of(service.label)
            if known is None:
                self.accounts.open_service(id_)
            elif before is not None and service.label not in before:
                self.accounts.zero([id_], [])

    def _give_server_ids(self, services: list[PlannedService]) -> None:
        known = self._server_ids
        fresh = [
            (s.label, server.name) for s in services for server in s.servers if (s.label, server.name) not in known
        ]
        if not fresh:
            return
        taken = set(known.values())
        free = (i for i in range(abi.limit("MAX_SERVERS")) if i not in taken)
        for key in fresh:
            id_ = next(free, None)
            if id_ is None:
                raise DataPlaneError(
                    f"can't add real server '{key[1]}' to {key[0]}: all {len(known)} ids are taken",
                    "remove some, or wait until the connections of removed ones are over",
                )
            known[key] = id_
        given = [known[key] for key in fresh]
        self.server_loads[given] = np.zeros(1, self.server_loads.dtype)
        self.accounts.open_servers(given)

    def _resolve_hops(self, services: list[PlannedService], ids: Ids) -> None:
        keyed = [((service.label, server.name), server) for service in services for server in service.servers]
        present = self.servers[np.array([self._server_ids[key] for key, _ in keyed], np.intp)]
        current = np.where(present["box"], present["hop"], 0).tolist()
        resolved: dict[tuple[int, str, str, str], int] = {}
        for (key, server), hop_id in zip(keyed, current, strict=True):
            if server.mac is None:
                self._hop_ids[key] = hop_id
                continue
            wanted = (hop_id, server.leg, server.mac, server.name)
            if wanted not in resolved:
                target = abi.target_word(ids.legs[server.leg], server.mac)
                resolved[wanted] = self.hops.resolve(hop_id, target, ids.boxes[server.name], server.address)
            self._hop_ids[key] = resolved[wanted]

    def _retire(self, half: Half, plan: Plan) -> list[tuple[str, str]]:
        """Keep servers that are out of the plan but have connections; tell which are to be forgotten."""
        servers, flags = self.servers, abi.enum("server_flag")
        self._retired = self._absent(plan)
        absent = list(self._retired)
        ids = np.array([self._server_ids[key] for key in absent], np.intp)
        loads = self.server_loads[ids]
        loaded = (loads["active"] > 0) | (loads["inactive"] > 0) | (loads["persistent"] > 0)
        kept = ids[loaded]
        half.servers[kept] = servers[kept]
        half.servers["flags"][kept] = flags["SERVER_RETIRED"] | (servers["flags"][kept] & flags["SERVER_DEAD"])
        if (half.servers["flags"] & flags["SERVER_DEAD"]).any():
            half.ruleset["flags"] |= abi.enum("ruleset_flag")["RULESET_DEATHS"]
        return [absent[place] for place in np.flatnonzero(~loaded).tolist()]

    def _set_thresholds(self, services: list[PlannedService]) -> None:
        """Packets keep to these from now on; who is above or below them is found out at once."""
        ids = [self._server_ids[service.label, server.name] for service in services for server in service.servers]
        servers = [server for service in services for server in service.servers]
        loads = self.server_loads
        upper = np.array([server.upper_threshold for server in servers], "u4")
        lower = np.array([server.lower_threshold for server in servers], "u4")
        total = loads["active"][ids].astype("u8") + loads["inactive"][ids]
        below = np.where(lower > 0, total < lower, total * 4 < upper.astype("u8") * 3)
        over = (upper > 0) & ((total >= upper) | ((loads["overloaded"][ids] > 0) & ~below))
        loads["upper"][ids], loads["lower"][ids], loads["overloaded"][ids] = upper, lower, over

    def _absent(self, plan: Plan) -> set[tuple[str, str]]:
        """Servers that have an id and are not in the plan."""
        planned = {service.label: service for service in plan.services}
        if self._published is None:
            present = {(service.label, server.name) for service in plan.services for server in service.servers}
            return self._server_ids.keys() - present
        absent = set(self._retired)
        for was in self._published.services:
            service = planned.get(was.label)
            if service is not was:
                absent.update((was.label, server.name) for server in was.servers)
        before = {service.label: service for service in self._published.services}
        for service in plan.services:
            if before.get(service.label) is not service:
                absent.difference_update((service.label, server.name) for server in service.servers)
        return absent

    def _write(self, idle: int, half: Half) -> None:
        for name, view in self._halves.items():
            written = getattr(half, name)
            view[idle, : len(written)] = written
        self.rulesets[idle] = half.ruleset[0]

    def _forget(self, plan: Plan, forgotten: list[tuple[str, str]]) -> None:
        """Give the ids of servers back, and those of names that nothing has any more."""
        if not forgotten:
            return
        owners = [self.services.get(label) for label, _ in forgotten]
        closed = [(self._server_ids[key], id_) for key, id_ in zip(forgotten, owners, strict=True) if id_ is not None]
        self.accounts.close_servers(closed)
        for key in forgotten:
            del self._server_ids[key]
            self._hop_ids.pop(key, None)
        self._retired.difference_update(forgotten)
        servers = self.servers
        listed = np.flatnonzero(servers["box"])
        services = {self.services.name_of(i) for i in np.unique(servers["service"][listed]).tolist()}
        boxes = {self.boxes.name_of(i) for i in np.unique(servers["box"][listed]).tolist()}
        for name in set(self.services.names()) - services - {service.label for service in plan.services}:
            self.services.forget(name)
        for name in set(self.boxes.names()) - boxes:
            self.hops.unlink(self.boxes.id_of(name), ())
            self.boxes.forget(name)

    def _publish_addresses(self, plan: Plan, ids: Ids) -> None:
        made_from = (plan.server_addresses, plan.local)
        if made_from == self._addresses:
            return
        self._addresses = made_from
        key_type, one = abi.types().struct("server_address"), np.zeros(1, abi.types().struct("server_address"))
        wanted: dict[bytes, bytes] = {}
        for zone, address, service, server in plan.server_addresses:
            one["zone"] = ids.zones[zone]
            one["address"] = np.frombuffer(abi.pack_address(address), "u1")
            wanted[one.tobytes()[: key_type.itemsize]] = ids.servers[service, server].to_bytes(4, "little")
        self._server_addresses.hold(wanted)
        local = {
            abi.prefix_length(network).to_bytes(4, "little") + abi.pack_address(network.network_address): network
            for network in plan.local
        }
        new = local.keys() - self._local.entries.keys()
        self._local.hold(dict.fromkeys(local, b"\1"))
        self.new_locals += [local[key] for key in new]


def grace_period() -> None:
    """Wait until no program that started before still runs: membarrier(2), which waits for RCU.

    Where the kernel refuses it (nohz_full, seccomp), wait a thousand times longer than a packet takes.
    """
    number = _SYS_MEMBARRIER.get(platform.machine())
    if number is None or ctypes.CDLL(None).syscall(number, _MEMBARRIER_GLOBAL, 0, 0):
        time.sleep(_LONGEST_PACKET_S)
