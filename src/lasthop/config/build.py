"""From the schema's models to lasthop's nouns.

Owns the names that differ between the two. Everything it is given has been checked.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from lasthop.model.access import Access
from lasthop.model.configuration import Configuration
from lasthop.model.director import PROFILES, Director, Settings, State, Timeouts
from lasthop.model.health import DEFAULT_PORTS, HealthCheck, Passive
from lasthop.model.leg import Leg
from lasthop.model.real_server import RealServer
from lasthop.model.rule import MarkRule, Match, PassRule
from lasthop.model.service import Persistence, Service, VirtualAddress
from lasthop.model.vlan import Vlan, default_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.config.schema import (
        ApiSection,
        Document,
        HealthSection,
        LegSection,
        MatchSection,
        ServiceSection,
        TimeoutsSection,
    )

Kind = TypeVar("Kind")

#: The last of TCP's states: those that come after have a time-out named like themselves.
LAST_OF_TCP = State.SYNACK


_PASSIVE = tuple(field.name for field in fields(Passive))


def build_configuration(document: Document, connections: int) -> Configuration:
    """Return the configuration that a checked document describes, for `connections` if it does not say how many."""
    return Configuration(
        director=Director(
            name=document.director.name,
            connections=connections if document.table.connections is None else document.table.connections,
            timeouts=_timeouts(document.timeouts),
            settings=Settings(**document.lvs.model_dump()),
            probe_port=document.director.probe_port,
            on_detach=document.director.on_detach,
        ),
        legs=tuple(_leg(leg) for leg in document.leg),
        services=tuple(_service(service) for service in document.service),
        mark_rules=tuple(MarkRule(rule.mark, build_match(match)) for rule in document.mark for match in rule.match),
        pass_rules=tuple(PassRule(tuple(build_match(match) for match in rule.match)) for rule in document.pass_),
        access=_access(document.api),
    )


def _access(section: ApiSection) -> Access:
    given = {field.name: getattr(section, field.name) for field in fields(Access)}
    return Access(**given | {"listen": _each_once(section.listen)})


def timeout_key(state: State) -> str:
    """Return the key in ``[timeouts]`` for a state: ``tcp_established``, ``udp``, ``sctp_closed``."""
    return f"tcp_{state.name.lower()}" if state <= LAST_OF_TCP else state.name.lower()


def _timeouts(section: TimeoutsSection) -> Timeouts:
    given = {state: getattr(section, timeout_key(state)) for state in State}
    single = {state: float(seconds) for state, seconds in given.items() if seconds is not None}
    return Timeouts(profile=section.profile, seconds=PROFILES[section.profile] | single)


def _leg(section: LegSection) -> Leg:
    vlan = None
    if section.vlan is not None:
        protocol = section.vlan_protocol or default_protocol(len(section.vlan))
        vlan = Vlan(section.vlan[0], section.vlan[1] if section.vlan[1:] else None, protocol)
    return Leg(
        section.name,
        section.interface,
        section.zone,
        section.mode,
        _each_once(section.virtual_macs),
        vlan,
        section.reply_to,
        _each_once(section.gateway),
        section.strict,
    )


def _service(section: ServiceSection) -> Service:
    persistence = section.persistence
    return Service(
        mark=section.mark or 0,
        matches=tuple(build_match(match) for match in section.match),
        real_servers=tuple(
            RealServer(
                **{field.name: getattr(server, field.name) for field in fields(RealServer)}
                | {"other_addresses": _each_once(server.other_addresses), "backup_of": server.backup_of or ""}
            )
            for server in section.real_server
        ),
        scheduler=section.scheduler,
        scheduler_flags=_each_once(section.scheduler_flags),
        persistence=Persistence(persistence.timeout, persistence.netmask, persistence.prefix6) if persistence else None,
        when_empty=section.when_empty,
        on_death=section.on_death,
        virtual_address=_virtual_address(section),
        one_packet=section.one_packet,
        related=section.related,
        health=_health(section.health) if section.health else None,
        grace=section.grace,
        quorum=section.quorum,
        hysteresis=section.hysteresis,
        slow_start=section.slow_start,
        family=section.family or "",
    )


def _health(section: HealthSection) -> HealthCheck:
    given = {field.name: getattr(section, field.name) for field in fields(HealthCheck)}
    given["port"] = section.port or DEFAULT_PORTS.get(section.check, 0)
    passive = section.passive
    given["passive"] = Passive(**{name: getattr(passive, name) for name in _PASSIVE}) if passive else None
    given["status"], given["command"] = _each_once(section.status), tuple(section.command)
    return HealthCheck(**given)


def _virtual_address(section: ServiceSection) -> VirtualAddress | None:
    if section.address is None or section.protocol is None or section.port is None:
        return None
    return VirtualAddress(section.protocol, section.address, section.port)


def build_match(section: MatchSection) -> Match:
    """Return the match that a checked table describes."""
    return Match(
        legs=_each_once(section.leg),
        source_real_servers=_each_once(section.source_real_server),
        protocols=_each_once(section.protocol),
        families=_each_once(section.family),
        sources=_each_once(section.source),
        destinations=_each_once(section.destination),
        source_ports=_each_once(section.source_port),
        destination_ports=_each_once(section.destination_port),
        dscp=_each_once(section.dscp),
    )


def _each_once(given: Iterable[Kind] | None) -> tuple[Kind, ...]:
    return tuple(dict.fromkeys(given or ()))
