"""From a configuration to a file that gives it again.

Owns the TOML of `lasthop dump`. Keys that have their default are left out, but for the table's size, whose default
depends on the machine.
"""

from __future__ import annotations

import json
from dataclasses import fields
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w

from lasthop.config.build import timeout_key
from lasthop.model.access import Access
from lasthop.model.director import DEFAULT_PROBE_PORT, PROFILES, OnDetach, Settings
from lasthop.model.health import DEFAULT_PORTS, HealthCheck, Passive
from lasthop.model.leg import Mode, ReplyTo
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath, Persistence, Related, WhenEmpty
from lasthop.model.vlan import default_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.model.configuration import Configuration
    from lasthop.model.director import Director, Timeouts
    from lasthop.model.leg import Leg
    from lasthop.model.real_server import RealServer
    from lasthop.model.rule import MarkRule, Match, PortRange
    from lasthop.model.service import Service
    from lasthop.model.vlan import Vlan

Kind = TypeVar("Kind", Access, HealthCheck, Settings)

_IPV4_BITS = 32
_IPV6_BITS = 128


def dump(configuration: Configuration) -> str:
    """Return the text of a file from which `lasthop.config.parse` makes `configuration`."""
    director = configuration.director
    return tomli_w.dumps(
        _with(
            {"director": _director(director), "table": {"connections": director.connections}},
            api=_access(configuration.access),
            lvs=_settings(director.settings),
            timeouts=_timeouts(director.timeouts),
            leg=[_leg(leg) for leg in configuration.legs],
            **{"pass": [{"match": [_match(match) for match in rule.matches]} for rule in configuration.pass_rules]},
            service=[_service(service) for service in configuration.services],
            mark=_mark_rules(configuration.mark_rules),
        )
    )


def match_text(match: Match) -> str:
    """Return one match as a file has it, in one line."""
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in _match(match).items()) + " }"


def _with(required: dict[str, Any], **optional: object) -> dict[str, Any]:
    """Return `required` and those of `optional` that say anything."""
    return required | {key: value for key, value in optional.items() if value not in (None, "", [], {})}


def _director(director: Director) -> dict[str, Any]:
    port = director.probe_port
    return _with(
        {"name": director.name},
        probe_port=None if port == DEFAULT_PROBE_PORT else port,
        on_detach=None if director.on_detach is OnDetach.OPEN else director.on_detach.value,
    )


def _access(access: Access) -> dict[str, Any]:
    changed = _changed(access, Access())
    return changed | ({"listen": _one_or_more(map(str, access.listen))} if access.listen else {})


def _settings(settings: Settings) -> dict[str, Any]:
    return _changed(settings, Settings())


def _changed(given: Kind, default: Kind) -> dict[str, Any]:
    """Return the fields of a dataclass that are not as in `default`."""
    values = {field.name: (getattr(given, field.name), getattr(default, field.name)) for field in fields(given)}
    return {name: value for name, (value, usual) in values.items() if value != usual}


def _timeouts(timeouts: Timeouts) -> dict[str, Any]:
    profile = PROFILES[timeouts.profile]
    single = {
        timeout_key(state): seconds for state, seconds in timeouts.seconds.items() if seconds != profile.get(state)
    }
    return {"profile": timeouts.profile, **single}


def _leg(leg: Leg) -> dict[str, Any]:
    return _with(
        {"name": leg.name, "interface": leg.interface, "zone": leg.zone},
        mode=None if leg.mode is Mode.AUTO else leg.mode.value,
        virtual_macs=list(leg.virtual_macs),
        vlan=_vlan(leg.vlan) if leg.vlan else None,
        vlan_protocol=_vlan_protocol(leg.vlan) if leg.vlan else None,
        reply_to=None if leg.reply_to is ReplyTo.SOURCE_MAC else leg.reply_to.value,
        gateway=_one_or_more(map(str, leg.gateways)),
        strict=leg.strict or None,
    )


def _vlan(vlan: Vlan) -> int | str:
    return vlan.outer if vlan.inner is None else str(vlan)


def _vlan_protocol(vlan: Vlan) -> str | None:
    return None if vlan.protocol is default_protocol(len(vlan.ids)) else vlan.protocol.value


def _match(match: Match) -> dict[str, Any]:
    return _with(
        {},
        leg=_one_or_more(match.legs),
        source_real_server=_one_or_more(match.source_real_servers),
        protocol=_one_or_more(map(_protocol, match.protocols)),
        family=_one_or_more(match.families),
        source=_one_or_more(map(str, match.sources)),
        destination=_one_or_more(map(str, match.destinations)),
        source_port=_one_or_more(map(_ports, match.source_ports)),
        destination_port=_one_or_more(map(_ports, match.destination_ports)),
        dscp=_one_or_more(match.dscp),
    )


def _one_or_more(values: Iterable[object]) -> object:
    listed = list(values)
    return listed[0] if len(listed) == 1 else listed


def _protocol(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


def _ports(ports: PortRange) -> int | str:
    return ports.first if ports.first == ports.last else str(ports)


def _mark_rules(rules: Iterable[MarkRule]) -> list[dict[str, Any]]:
    """One table for each run of rules that give the same mark: their order counts."""
    tables: list[dict[str, Any]] = []
    for rule in rules:
        if not tables or tables[-1]["mark"] != rule.mark:
            tables.append({"mark": rule.mark, "match": []})
        tables[-1]["match"].append(_match(rule.match))
    return tables


def _service(service: Service) -> dict[str, Any]:
    address = service.virtual_address
    if address is None:
        family = {"family": service.family} if service.family else {}
        named: dict[str, Any] = {"mark": service.mark, **family, "match": [_match(match) for match in service.matches]}
    else:
        named = {"address": str(address.address), "protocol": address.protocol, "port": address.port}
    return _with(
        named,
        scheduler=service.scheduler,
        scheduler_flags=list(service.scheduler_flags),
        persistence=_persistence(service.persistence) if service.persistence else None,
        one_packet=service.one_packet or None,
        related=None if service.related is Related.NONE else service.related.value,
        on_death=None if service.on_death is OnDeath.REBALANCE else service.on_death.value,
        when_empty=None if service.when_empty is WhenEmpty.DROP else service.when_empty.value,
        health=_health(service.health) if service.health else None,
        grace=service.grace or None,
        quorum=service.quorum or None,
        hysteresis=service.hysteresis or None,
        slow_start=service.slow_start or None,
    ) | {"real_server": [_real_server(server) for server in service.real_servers]}


def _health(health: HealthCheck) -> dict[str, Any]:
    default = HealthCheck(health.check, port=DEFAULT_PORTS.get(health.check, 0))
    changed = _changed(health, default)
    return {"check": health.check.value} | {key: _health_value(key, value) for key, value in changed.items()}


def _health_value(key: str, value: Any) -> object:  # noqa: ANN401 -- a field of any kind
    if key == "status":
        return _one_or_more([first if first == last else f"{first}-{last}" for first, last in value])
    if key == "command":
        return list(value)
    if isinstance(value, Passive):
        return {each.name: said for each in fields(value) if (said := getattr(value, each.name)) != each.default}
    return str(value) if key == "target" else value


def _persistence(persistence: Persistence) -> dict[str, Any]:
    return _with(
        {"timeout": persistence.timeout},
        netmask=None if persistence.prefix == _IPV4_BITS else str(IPv4Network((0, persistence.prefix)).netmask),
        prefix6=None if persistence.prefix6 == _IPV6_BITS else persistence.prefix6,
    )


def _real_server(server: RealServer) -> dict[str, Any]:
    return _with(
        {"name": server.name, "address": str(server.address)},
        backup_of=server.backup_of or None,
        weight=None if server.backup_of else server.weight,
        other_addresses=[str(address) for address in server.other_addresses],
        leg=server.leg,
        upper_threshold=server.upper_threshold or None,
        lower_threshold=server.lower_threshold or None,
        admin=None if server.admin is Admin.ENABLED else server.admin.value,
        health_target=str(server.health_target) if server.health_target else None,
        drain_until=server.drain_until,
    )
