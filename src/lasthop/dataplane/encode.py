"""From a plan to the bytes of one half of the published maps.

Owns the layout of rules, services, servers, listed, fallbacks and rulesets for one publication. Ids are given by the
caller; nothing here touches what packets are reading. A service is laid out once and its part kept as long as it stays
the same object, so that one weight among a thousand services costs one service's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.errors import DataPlaneError
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.model.service import OnDeath, Related, WhenEmpty
from lasthop.policy.limits import REPLACE_IDLE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lasthop.policy.plan import Plan, PlannedRule, PlannedService

_SCHEDULER_FLAGS = {
    "sh-port": "SERVICE_HASH_PORT",
    "sh-fallback": "SERVICE_HASH_FALLBACK",
    "mh-port": "SERVICE_HASH_PORT",
    "mh-fallback": "SERVICE_HASH_FALLBACK",
}
_REUSE_FIN = 2
_ANY_MTU = 65_535
_NS = 1_000_000_000


@dataclass(slots=True)
class Ids:
    """What the kernel calls the things of a plan."""

    legs: dict[str, int] = field(default_factory=dict)
    zones: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    servers: dict[tuple[str, str], int] = field(default_factory=dict)
    """(service label, real server) -> server id."""
    hops: dict[tuple[str, str], int] = field(default_factory=dict)
    """(service label, real server) -> hop id, 0 if its MAC address was never known."""
    mtus: dict[str, int] = field(default_factory=dict)
    """leg -> MTU of its interface."""
    xdp_legs: frozenset[str] = frozenset()
    """Names of the legs XDP frames may leave through."""

    def surroundings(self) -> object:
        """What a service's layout depends on beside the service and the ids of its own."""
        return self.legs, self.mtus, self.xdp_legs


@dataclass(slots=True)
class Half:
    """One half's worth of every published map."""

    ruleset: NDArray[Any]
    rules: NDArray[Any]
    services: NDArray[Any]
    servers: NDArray[Any]
    listed: NDArray[Any]
    fallbacks: NDArray[Any]


@dataclass(slots=True)
class Part:
    """What one service is laid out as."""

    service: PlannedService
    """What it was made from."""
    record: bytes
    """Its ``struct service``, without its places in `Half.listed`."""
    server_ids: NDArray[np.uint32]
    turns: NDArray[np.uint32]
    servers: bytes
    """The ``struct server`` of each of `server_ids`."""
    fallback: NDArray[np.uint16]


class Parts:
    """The services as they were laid out last: those that are the same objects still are not laid out again."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._surroundings: object = None

    def known(self, service: PlannedService, surroundings: object) -> bool:
        """Whether `service` was laid out in the same `surroundings`: what else a part is made from."""
        part = self._parts.get(service.label)
        return part is not None and part.service is service and self._surroundings == surroundings

    def of(self, plan: Plan, ids: Ids) -> list[Part]:
        """The parts of a plan, in its order."""
        kept = self._parts
        surroundings = ids.surroundings()
        if surroundings != self._surroundings:
            kept, self._surroundings = {}, surroundings
        self._parts = {}
        for service in plan.services:
            part = kept.get(service.label)
            self._parts[service.label] = part if part and part.service is service else _part(service, ids)
        return list(self._parts.values())

    def forget(self) -> None:
        """Lay everything out anew."""
        self._parts = {}


def encode(plan: Plan, ids: Ids, parts: Parts | None = None) -> Half:
    """Lay `plan` out; what `parts` has of it is not made again. Raises DataPlaneError beyond a limit of bpf/abi.h."""
    types = abi.types()
    half = Half(
        ruleset=_ruleset(plan),
        rules=_rules(plan.rules, ids),
        services=np.zeros(abi.limit("MAX_SERVICES"), types.struct("service")),
        servers=np.zeros(abi.limit("MAX_SERVERS"), types.struct("server")),
        listed=np.zeros(0, "u4"),
        fallbacks=np.zeros(abi.limit("MAX_SERVICES"), types.struct("fallback")),
    )
    laid = (parts or Parts()).of(plan, ids)
    if laid:
        _join(laid, [ids.services[part.service.label] for part in laid], half)
    return half


def _join(parts: list[Part], service_ids: list[int], half: Half) -> None:
    """Put the parts of all services together."""
    half.listed = np.concatenate([array for part in parts for array in (part.server_ids, part.turns)])
    room = abi.limit("MAX_LISTED")
    if len(half.listed) > room:
        raise DataPlaneError(
            f"can't publish: the services list {len(half.listed)} real servers and turns, {room} fit",
            "use fewer real servers or smaller weights",
        )
    # As bytes: numpy compares the types of structured arrays field by field before it concatenates them.
    types = abi.types()
    records = np.frombuffer(b"".join([part.record for part in parts]), types.struct("service")).copy()
    lengths = np.array([(len(part.server_ids), len(part.turns)) for part in parts])
    records["first_server"] = np.concatenate([[0], lengths.sum(axis=1).cumsum()[:-1]])
    records["first_turn"] = records["first_server"] + lengths[:, 0]
    half.services[service_ids] = records
    servers = np.frombuffer(b"".join([part.servers for part in parts]), types.struct("server"))
    half.servers[np.concatenate([part.server_ids for part in parts])] = servers
    filled = [(id_, part.fallback) for id_, part in zip(service_ids, parts, strict=True) if len(part.fallback)]
    if filled:
        half.fallbacks["server"][[id_ for id_, _ in filled], : len(filled[0][1])] = np.stack([row for _, row in filled])


def _ruleset(plan: Plan) -> NDArray[Any]:
    ruleset = np.zeros(1, abi.types().struct("ruleset"))
    ruleset["pass_count"] = sum(rule.service is None for rule in plan.rules)
    ruleset["rule_count"] = len(plan.rules)
    for state, seconds in plan.timeouts.seconds.items():
        ruleset["timeout_ns"][0, state] = int(seconds * _NS)
    ruleset["flags"] = _ruleset_flags(plan)
    ruleset["replace_idle_ns"] = REPLACE_IDLE_S * _NS
    return ruleset


def _ruleset_flags(plan: Plan) -> int:
    flags, settings = abi.enum("ruleset_flag"), plan.settings
    said = {
        "RULESET_ADDRESSES": any(service.virtual_address for service in plan.services),
        "RULESET_STRICT_TCP": not settings.sloppy_tcp,
        "RULESET_STRICT_SCTP": not settings.sloppy_sctp,
        "RULESET_NO_REUSE": settings.conn_reuse_mode == 0,
        "RULESET_REUSE_FIN": settings.conn_reuse_mode == _REUSE_FIN,
        "RULESET_EXPIRE_GONE": settings.expire_nodest_conn,
        "RULESET_BYPASSES": any(
            service.on_death is OnDeath.BYPASS or service.when_empty is WhenEmpty.BYPASS for service in plan.services
        ),
        "RULESET_RELATED": any(service.related is not Related.NONE for service in plan.services),
    }
    return sum(flags[name] for name, holds in said.items() if holds)


def _rules(planned: Sequence[PlannedRule], ids: Ids) -> NDArray[Any]:
    rules = np.zeros(abi.limit("MAX_RULES"), abi.types().struct("rule"))
    if len(planned) > len(rules):
        raise DataPlaneError(f"can't publish {len(planned)} rules: {len(rules)} fit", "use prefixes and port ranges")
    anything = abi.enum("rule_value")
    for i, rule in enumerate(planned):
        record = rules[i : i + 1]
        prefixes = [network for network in (rule.source, rule.destination) if network is not None]
        record["family"] = rule.family or (prefixes[0].version if prefixes else anything["ANY_FAMILY"])
        for side, network in (("source", rule.source), ("destination", rule.destination)):
            if network is not None:
                record[side] = np.frombuffer(abi.pack_address(network.network_address), "u1")
                record[f"{side}_mask"] = np.frombuffer(abi.mask(network), "u1")
        record["source_port_first"], record["source_port_last"] = rule.source_ports.first, rule.source_ports.last
        record["destination_port_first"] = rule.destination_ports.first
        record["destination_port_last"] = rule.destination_ports.last
        record["service"] = (
            abi.enum("service_id")["SERVICE_NONE"] if rule.service is None else ids.services[rule.service]
        )
        record["leg"] = anything["ANY_LEG"] if rule.leg is None else ids.legs[rule.leg]
        record["box"] = _source_box(rule.source_real_server, ids)
        record["ip_proto"] = anything["ANY_PROTOCOL"] if rule.protocol is None else rule.protocol
        record["dscp"] = anything["ANY_DSCP"] if rule.dscp is None else rule.dscp
    return rules


def _source_box(name: str | None, ids: Ids) -> int:
    if name is None:
        return abi.enum("rule_value")["NO_BOX"]
    return abi.enum("rule_value")["ANY_BOX"] if name == ANY_REAL_SERVER else ids.boxes[name]


def _part(service: PlannedService, ids: Ids) -> Part:
    flags = abi.enum("service_flag")
    label = service.label
    server_ids = np.array([ids.servers[label, server.name] for server in service.servers], "u4")
    record = np.zeros(1, abi.types().struct("service"))
    record["mark"] = service.mark
    record["choice"] = abi.enum("choice")[service.choice.name]
    record["flags"] = (service.when_empty is WhenEmpty.KERNEL) * flags["SERVICE_EMPTY_TO_KERNEL"] | all(
        server.leg in ids.xdp_legs for server in service.servers
    ) * flags["SERVICE_XDP"]
    record["flags"] |= sum(flags[bit] for name, bit in _SCHEDULER_FLAGS.items() if name in service.scheduler_flags)
    record["flags"] |= (service.related is Related.ADDRESS_PAIR) * flags["SERVICE_RELATED"]
    record["flags"] |= (service.when_empty is WhenEmpty.BYPASS) * flags["SERVICE_EMPTY_BYPASS"]
    record["flags"] |= service.one_packet * flags["SERVICE_ONE_PACKET"]
    record["flags"] |= service.expire_quiescent_template * flags["SERVICE_EXPIRE_QUIESCENT"]
    record["on_death"] = abi.enum("on_death")[f"DEATH_{service.on_death.name}"]
    record["server_count"], record["turn_count"] = len(server_ids), len(service.turns)
    record["fallback_count"] = len(service.fallback)
    record["persistence_prefix"] = abi.V4_MAPPED_BITS + service.persistence_prefix
    record["persistence_prefix6"] = service.persistence_prefix6
    record["mtu"] = min((ids.mtus[server.leg] for server in service.servers), default=_ANY_MTU)
    record["persistence_ns"] = int((service.persistence_s or 0) * _NS)
    return Part(
        service,
        record.tobytes(),
        server_ids,
        turns=server_ids[np.array(service.turns, np.intp)],
        servers=_servers(service, ids).tobytes(),
        fallback=server_ids[np.array(service.fallback, np.intp)].astype("u2"),
    )


def _servers(service: PlannedService, ids: Ids) -> NDArray[Any]:
    entries = np.zeros(len(service.servers), abi.types().struct("server"))
    flags = abi.enum("server_flag")
    entries["service"] = ids.services[service.label]
    hops = [ids.hops[service.label, server.name] for server in service.servers]
    entries["hop"] = hops
    entries["box"] = [ids.boxes[server.name] for server in service.servers]
    entries["weight"] = [server.weight for server in service.servers]
    entries["flags"] = [
        bool(server.usable and hop) * flags["SERVER_USABLE"] | server.dead * flags["SERVER_DEAD"]
        for server, hop in zip(service.servers, hops, strict=True)
    ]
    return entries
