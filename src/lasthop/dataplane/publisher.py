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
from lasthop.dataplane.encode import Half, Ids, encode
from lasthop.dataplane.identity import NameTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lasthop.dataplane.hop_table import HopTable
    from lasthop.dataplane.libbpf import Map
    from lasthop.policy.plan import Plan

_MEMBARRIER_GLOBAL = 1
_LONGEST_PACKET_S = 0.05
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}


class Publisher:
    """The published maps of one director."""

    def __init__(self, maps: dict[str, Map], hops: HopTable) -> None:
        types = abi.types()
        self._maps = maps
        self.hops = hops
        self.live = maps["live"].view(types.struct("live"))
        self.legs = maps["legs"].view(types.struct("leg"))
        self.rulesets = maps["rulesets"].view(types.struct("ruleset"))
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

    @property
    def half(self) -> int:
        """The half that packets read."""
        return int(self.live["half"][0])

    @property
    def servers(self) -> NDArray[Any]:
        """The servers packets read, by id."""
        servers: NDArray[Any] = self._halves["servers"][self.half]
        return servers

    @property
    def timeouts_ns(self) -> NDArray[np.int64]:
        """Time-out of each state."""
        timeouts: NDArray[np.int64] = self.rulesets["timeout_ns"][self.half].astype(np.int64)
        return timeouts

    def server_ids(self) -> dict[tuple[str, str], int]:
        """(service label, real server) -> id, retired ones included."""
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
        for service in plan.services:
            ids.services[service.label] = self.services.id_of(service.label)
            for server in service.servers:
                ids.boxes[server.name] = self.boxes.id_of(server.name)
        self._give_server_ids(plan, ids)
        self._resolve_hops(plan, ids)
        half = encode(plan, ids)
        retired = self._retire(half, ids)
        idle = 1 - self.half
        self._write(idle, half)
        self._switch(idle)
        self._forget_names(plan, retired)
        self._publish_addresses(plan, ids)

    def roll_back(self, half: int) -> None:
        """Let packets read the half they read before a publication that could not be completed."""
        self._switch(half)

    def _switch(self, half: int) -> None:
        self.live["half"] = half
        grace_period()

    def _give_server_ids(self, plan: Plan, ids: Ids) -> None:
        known = self.server_ids()
        taken = set(known.values())
        free = (i for i in range(abi.limit("MAX_SERVERS")) if i not in taken)
        for service in plan.services:
            for server in service.servers:
                key = (service.label, server.name)
                if key not in known:
                    known[key] = next(free)
                    self.server_loads[known[key] : known[key] + 1] = 0
                ids.servers[key] = known[key]

    def _resolve_hops(self, plan: Plan, ids: Ids) -> None:
        servers = self.servers
        for service in plan.services:
            for server in service.servers:
                key = (service.label, server.name)
                current = int(servers["hop"][ids.servers[key]]) if servers["box"][ids.servers[key]] else 0
                if server.mac is not None:
                    target = abi.target_word(ids.legs[server.leg], server.mac)
                    current = self.hops.resolve(current, target, ids.boxes[server.name], server.address)
                ids.hops[key] = current

    def _retire(self, half: Half, ids: Ids) -> set[int]:
        """Keep servers that are out of the plan but have connections; tell which are to be forgotten."""
        forgotten = set()
        servers = self.servers
        for server_id in set(self.server_ids().values()) - set(ids.servers.values()):
            load = self.server_loads[server_id]
            if load["active"] or load["inactive"] or load["persistent"]:
                half.servers[server_id] = servers[server_id]
                half.servers["flags"][server_id] = abi.enum("server_flag")["SERVER_RETIRED"]
            else:
                forgotten.add(server_id)
        return forgotten

    def _write(self, idle: int, half: Half) -> None:
        for name, view in self._halves.items():
            view[idle] = getattr(half, name)
        self.rulesets[idle] = half.ruleset[0]

    def _forget_names(self, plan: Plan, forgotten: set[int]) -> None:
        if not forgotten:
            return
        servers = self.servers
        listed = np.flatnonzero(servers["box"])
        services = {self.services.name_of(int(i)) for i in servers["service"][listed]}
        boxes = {self.boxes.name_of(int(i)) for i in servers["box"][listed]}
        for name in set(self.services.names()) - services - {service.label for service in plan.services}:
            self.services.forget(name)
        for name in set(self.boxes.names()) - boxes:
            self.hops.unlink(self.boxes.id_of(name), ())
            self.boxes.forget(name)

    def _publish_addresses(self, plan: Plan, ids: Ids) -> None:
        key_type, one = abi.types().struct("server_address"), np.zeros(1, abi.types().struct("server_address"))
        wanted: dict[bytes, bytes] = {}
        for zone, address, service, server in plan.server_addresses:
            one["zone"] = ids.zones[zone]
            one["address"] = np.frombuffer(abi.pack_address(address), "u1")
            wanted[one.tobytes()[: key_type.itemsize]] = ids.servers[service, server].to_bytes(4, "little")
        replace_entries(self._maps["server_addrs"], wanted)
        local: dict[bytes, bytes] = {}
        for network in plan.local:
            prefix = network.prefixlen + (96 if network.version == 4 else 0)  # noqa: PLR2004 -- IP version
            local[prefix.to_bytes(4, "little") + abi.pack_address(network.network_address)] = b"\1"
        replace_entries(self._maps["local"], local)


def replace_entries(table: Map, wanted: dict[bytes, bytes]) -> None:
    """Make a hash or trie map hold `wanted`: new entries first, then the stale ones go."""
    for key, value in wanted.items():
        if table.lookup(key) != value:
            table.update(key, value)
    for key in table.keys():  # noqa: SIM118 -- a map of the kernel, not a dict
        if key not in wanted:
            table.delete(key)


def grace_period() -> None:
    """Wait until no program that started before still runs: membarrier(2), which waits for RCU.

    Where the kernel refuses it (nohz_full, seccomp), wait a thousand times longer than a packet takes.
    """
    number = _SYS_MEMBARRIER.get(platform.machine())
    if number is None or ctypes.CDLL(None).syscall(number, _MEMBARRIER_GLOBAL, 0, 0):
        time.sleep(_LONGEST_PACKET_S)
