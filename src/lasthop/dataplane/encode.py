"""From a plan to the bytes of one half of the published maps.

Owns the layout of rules, services, servers, listed, fallbacks and rulesets for one publication.
Ids are given by the caller; nothing here touches what packets are reading.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.errors import DataPlaneError
from lasthop.model.rule import ANY_REAL_SERVER
from lasthop.model.service import WhenEmpty
from lasthop.policy.limits import REPLACE_IDLE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lasthop.policy.plan import Plan, PlannedRule, PlannedService

_SCHEDULER_FLAGS = {"sh-port": "SERVICE_HASH_PORT", "sh-fallback": "SERVICE_HASH_FALLBACK"}
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


@dataclass(slots=True)
class Half:
    """One half's worth of every published map."""

    ruleset: NDArray[Any]
    rules: NDArray[Any]
    services: NDArray[Any]
    servers: NDArray[Any]
    listed: NDArray[Any]
    fallbacks: NDArray[Any]


def encode(plan: Plan, ids: Ids) -> Half:
    """Lay `plan` out. Raises DataPlaneError where it exceeds a limit of bpf/abi.h."""
    types = abi.types()
    listed: list[int] = []
    half = Half(
        ruleset=_ruleset(plan),
        rules=_rules(plan.rules, ids),
        services=np.zeros(abi.limit("MAX_SERVICES"), types.struct("service")),
        servers=np.zeros(abi.limit("MAX_SERVERS"), types.struct("server")),
        listed=np.zeros(abi.limit("MAX_LISTED"), "u4"),
        fallbacks=np.zeros(abi.limit("MAX_SERVICES"), types.struct("fallback")),
    )
    for service in plan.services:
        _service(service, ids, half, listed)
    if len(listed) > len(half.listed):
        raise DataPlaneError(
            f"can't publish: the services list {len(listed)} real servers and turns, {len(half.listed)} fit",
            "use fewer real servers or smaller weights",
        )
    half.listed[: len(listed)] = listed
    return half


def _ruleset(plan: Plan) -> NDArray[Any]:
    ruleset = np.zeros(1, abi.types().struct("ruleset"))
    ruleset["pass_count"] = sum(rule.service is None for rule in plan.rules)
    ruleset["rule_count"] = len(plan.rules)
    for state, seconds in plan.timeouts.seconds.items():
        ruleset["timeout_ns"][0, state] = int(seconds * _NS)
    ruleset["replace_idle_ns"] = REPLACE_IDLE_S * _NS
    return ruleset


def _rules(planned: Sequence[PlannedRule], ids: Ids) -> NDArray[Any]:
    rules = np.zeros(abi.limit("MAX_RULES"), abi.types().struct("rule"))
    if len(planned) > len(rules):
        raise DataPlaneError(f"can't publish {len(planned)} rules: {len(rules)} fit", "use prefixes and port ranges")
    anything = abi.enum("rule_value")
    for i, rule in enumerate(planned):
        record = rules[i : i + 1]
        record["source"], record["source_mask"] = _prefix(rule.source)
        record["destination"], record["destination_mask"] = _prefix(rule.destination)
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


def _prefix(network: object) -> tuple[int, int]:
    if network is None:
        return 0, 0
    if not isinstance(network, IPv4Network):
        raise DataPlaneError(f"can't publish a rule for {network}", "use IPv4 prefixes in this release")
    return (
        int.from_bytes(network.network_address.packed, "little"),
        int.from_bytes(network.netmask.packed, "little"),
    )


def _source_box(name: str | None, ids: Ids) -> int:
    if name is None:
        return abi.enum("rule_value")["NO_BOX"]
    return abi.enum("rule_value")["ANY_BOX"] if name == ANY_REAL_SERVER else ids.boxes[name]


def _service(service: PlannedService, ids: Ids, half: Half, listed: list[int]) -> None:
    flags = abi.enum("service_flag")
    service_id = ids.services[service.label]
    server_ids = [ids.servers[service.label, server.name] for server in service.servers]
    record = half.services[service_id : service_id + 1]
    record["mark"] = service.mark
    record["choice"] = abi.enum("choice")[service.choice.name]
    record["flags"] = (service.when_empty is WhenEmpty.KERNEL) * flags["SERVICE_EMPTY_TO_KERNEL"] | all(
        server.leg in ids.xdp_legs for server in service.servers
    ) * flags["SERVICE_XDP"]
    record["flags"] |= sum(flags[bit] for name, bit in _SCHEDULER_FLAGS.items() if name in service.scheduler_flags)
    record["first_server"], record["server_count"] = len(listed), len(server_ids)
    listed.extend(server_ids)
    record["first_turn"], record["turn_count"] = len(listed), len(service.turns)
    listed.extend(server_ids[i] for i in service.turns)
    record["fallback_count"] = len(service.fallback)
    record["persistence_prefix"] = service.persistence_prefix
    record["mtu"] = min((ids.mtus[server.leg] for server in service.servers), default=0)
    record["persistence_ns"] = int((service.persistence_s or 0) * _NS)
    if service.fallback:
        half.fallbacks["server"][service_id, : len(service.fallback)] = np.array(server_ids)[list(service.fallback)]
    for server, server_id in zip(service.servers, server_ids, strict=True):
        entry = half.servers[server_id : server_id + 1]
        hop = ids.hops[service.label, server.name]
        entry["hop"], entry["service"] = hop, service_id
        entry["box"], entry["weight"] = ids.boxes[server.name], server.weight
        entry["flags"] = bool(server.usable and hop) * abi.enum("server_flag")["SERVER_USABLE"]


def protocol_name(number: int) -> str:
    """``tcp``, ``udp``, ``icmp``; the number for others."""
    names = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_ICMP: "icmp"}
    return names.get(number, str(number))
