"""What is different between two configurations of a director, in an operator's words.

Owns the comparison of what is desired. What it means for live connections is `lasthop.director.changes`'.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from lasthop.model.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lasthop.model.access import Access
    from lasthop.model.configuration import Configuration
    from lasthop.model.director import OnDetach, Settings, Timeouts
    from lasthop.model.health import HealthCheck
    from lasthop.model.leg import Leg
    from lasthop.model.real_server import RealServer
    from lasthop.model.service import Persistence, Service
    from lasthop.model.vlan import Vlan

Kind = TypeVar("Kind")

#: What a key is without a value.
_NONE = "none"
_IPV6_BITS = 128


def difference(before: Configuration, after: Configuration) -> list[Change]:
    """What `after` changes of `before`: legs, services with their real servers, pass rules, time-outs, table."""
    return [
        *_each(before.legs, after.legs, "leg {0.name}", _leg, "legs"),
        *_services(before.services, after.services),
        *_pass_rules(before, after),
        *_mark_rules(before, after),
        *_settings(before.director.settings, after.director.settings),
        *_timeouts(before.director.timeouts, after.director.timeouts),
        *_table(before.director.connections, after.director.connections),
        *_probes(before.director.probe_port, after.director.probe_port),
        *_detaching(before.director.on_detach, after.director.on_detach),
        *_access(before.access, after.access),
    ]


def _each(
    before: Sequence[Kind],
    after: Sequence[Kind],
    subject: str,
    details: Callable[[Kind, Kind], Iterator[str]],
    together: str,
) -> Iterator[Change]:
    """What was added, removed and changed of things that have names; and their order, if that is all."""
    old, new = ({subject.format(each): each for each in things} for things in (before, after))
    yield from (Change(name, "removed") for name in old if name not in new)
    yield from (Change(name, "added") for name in new if name not in old)
    for name in new:
        if name in old and (told := tuple(details(old[name], new[name]))):
            yield Change(name, "changed", told)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield Change(together, "changed", ("their order",))


def _leg(before: Leg, after: Leg) -> Iterator[str]:
    yield from _value("interface", before.interface, after.interface)
    yield from _value("zone", before.zone, after.zone)
    yield from _value("mode", before.mode, after.mode)
    yield from _value("virtual_macs", _listed(before.virtual_macs), _listed(after.virtual_macs))
    yield from _value("vlan", _vlan(before.vlan), _vlan(after.vlan))
    yield from _value("reply_to", before.reply_to, after.reply_to)
    yield from _value("gateway", _listed(before.gateways), _listed(after.gateways))
    yield from _value("strict", before.strict, after.strict)


def _vlan(vlan: Vlan | None) -> str:
    return f"{vlan} ({vlan.protocol})" if vlan else _NONE


def _services(before: Sequence[Service], after: Sequence[Service]) -> Iterator[Change]:
    yield from _each(before, after, "service {0.label}", _service, "services")
    old = {service.label: service for service in before}
    for service in after:
        was = old.get(service.label)
        if was is not None:
            label = service.label
            yield from _each(
                was.real_servers,
                service.real_servers,
                f"real server {{0.name}} of {label}",
                _server,
                f"real servers of {label}",
            )


def _service(before: Service, after: Service) -> Iterator[str]:
    if before.matches != after.matches:
        yield "match"
    yield from _value("scheduler", before.scheduler, after.scheduler)
    yield from _value("scheduler_flags", _listed(before.scheduler_flags), _listed(after.scheduler_flags))
    yield from _value("persistence", _persistence(before.persistence), _persistence(after.persistence))
    yield from _value("one_packet", before.one_packet, after.one_packet)
    yield from _value("related", before.related, after.related)
    yield from _value("on_death", before.on_death, after.on_death)
    yield from _value("when_empty", before.when_empty, after.when_empty)
    yield from _health(before.health, after.health)
    yield from _value("grace", f"{before.grace:g} s", f"{after.grace:g} s")
    yield from _value("quorum", before.quorum, after.quorum)
    yield from _value("hysteresis", before.hysteresis, after.hysteresis)
    yield from _value("slow_start", f"{before.slow_start:g} s", f"{after.slow_start:g} s")


def _health(before: HealthCheck | None, after: HealthCheck | None) -> Iterator[str]:
    if before is None or after is None:
        yield from _value("health", before.check if before else _NONE, after.check if after else _NONE)
        return
    for each in fields(before):
        yield from _value(f"health.{each.name}", getattr(before, each.name), getattr(after, each.name))


def _server(before: RealServer, after: RealServer) -> Iterator[str]:
    yield from _value("address", before.address, after.address)
    others = (_listed([str(address) for address in each.other_addresses]) for each in (before, after))
    yield from _value("other_addresses", *others)
    yield from _value("weight", before.weight, after.weight)
    yield from _value("leg", before.leg or _NONE, after.leg or _NONE)
    yield from _value("upper_threshold", before.upper_threshold, after.upper_threshold)
    yield from _value("lower_threshold", before.lower_threshold, after.lower_threshold)
    yield from _value("admin", before.admin, after.admin)
    yield from _value("health_target", before.health_target or _NONE, after.health_target or _NONE)
    yield from _value("backup_of", before.backup_of or _NONE, after.backup_of or _NONE)
    yield from _value("drain_until", before.drain_until or _NONE, after.drain_until or _NONE)


def _pass_rules(before: Configuration, after: Configuration) -> Iterator[Change]:
    if before.pass_rules != after.pass_rules:
        counts = len(before.pass_rules), len(after.pass_rules)
        yield Change("pass rules", "changed", tuple(_value("number", *counts)))


def _mark_rules(before: Configuration, after: Configuration) -> Iterator[Change]:
    if before.mark_rules != after.mark_rules:
        counts = len(before.mark_rules), len(after.mark_rules)
        yield Change("mark rules", "changed", tuple(_value("number", *counts)))


def _settings(before: Settings, after: Settings) -> Iterator[Change]:
    told = [
        told
        for field in fields(before)
        for told in _value(field.name, getattr(before, field.name), getattr(after, field.name))
    ]
    if told:
        yield Change("lvs", "changed", tuple(told))


def _timeouts(before: Timeouts, after: Timeouts) -> Iterator[Change]:
    told = [
        told
        for state, seconds in after.seconds.items()
        for told in _value(state.name, f"{before.seconds[state]:g} s", f"{seconds:g} s")
    ]
    if told:
        yield Change("time-outs", "changed", tuple(told))


def _table(before: int, after: int) -> Iterator[Change]:
    if before != after:
        yield Change("table", "changed", tuple(_value("connections", before, after)))


def _probes(before: int, after: int) -> Iterator[Change]:
    if before != after:
        yield Change("path probes", "changed", tuple(_value("port", before, after)))


def _access(before: Access, after: Access) -> Iterator[Change]:
    told = [
        *_value("listen", _listed(before.listen), _listed(after.listen)),
        *(
            told
            for field in fields(before)
            if field.name != "listen"
            for told in _value(field.name, _or_none(before, field.name), _or_none(after, field.name))
        ),
    ]
    if told:
        yield Change("api", "changed", tuple(told))


def _or_none(access: Access, name: str) -> object:
    value = getattr(access, name)
    return _NONE if value in ("", None) else value


def _detaching(before: OnDetach, after: OnDetach) -> Iterator[Change]:
    if before != after:
        yield Change("director", "changed", tuple(_value("on_detach", before, after)))


def _value(name: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"{name} {before} -> {after}"


def _persistence(persistence: Persistence | None) -> str:
    if persistence is None:
        return _NONE
    v6 = "" if persistence.prefix6 == _IPV6_BITS else f" and IPv6 /{persistence.prefix6}"
    return f"{persistence.timeout:g} s for each /{persistence.prefix}{v6}"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or _NONE
