"""What a director says of what it did and saw: one sentence for each thing that an operator cares about.

Owns the wording of its events, but for those that one place alone can tell. Nothing here changes anything.
"""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import TYPE_CHECKING

from lasthop.model.event import Kind, asked_by, told

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lasthop.dataplane.interface import Altered
    from lasthop.errors import LasthopError
    from lasthop.model.change import Change
    from lasthop.model.edit import Edit
    from lasthop.model.event import Details
    from lasthop.model.health import Effective
    from lasthop.model.leg import Leg
    from lasthop.policy.plan import Plan, PlannedServer, PlannedService

_log = logging.getLogger(__name__)

#: Of a longer list of edits only the number is told.
_TOLD_EDITS = 20


def tell_edits(edits: Sequence[Edit]) -> None:
    """What a command changed, in the words it sent; of a restore only how much."""
    if len(edits) > _TOLD_EDITS:
        _log.info("made %d edits", len(edits), extra=told(Kind.EDITED, changes=len(edits)))
        return
    for edit in edits:
        words = [f"{each.name}={value}" for each in fields(edit) if (value := getattr(edit, each.name)) != each.default]
        _log.info("edit: %s", " ".join(words), extra=told(Kind.EDITED, changes=1))


def tell_applied(file: str, changes: Sequence[Change]) -> None:
    """What a file changed: a line for each thing, and one event for all."""
    for change in changes:
        _log.info("%s %s %s", change.subject, change.kind, ", ".join(change.details))
    number = len(changes)
    beside = told(Kind.APPLIED, configuration=file, changes=number)
    many = "s" * (number != 1)
    _log.info("%s: applied %s: %d change%s", asked_by() or "apply", file, number, many, extra=beside)


def tell_refused(file: str, error: LasthopError) -> None:
    """A file was not applied."""
    problem = " ".join(str(error).split())
    beside = told(Kind.APPLY_REFUSED, configuration=file, problem=problem)
    _log.error("%s: nothing changed: %s", asked_by() or "apply", problem, extra=beside)


def tell_altered(altered: Altered) -> None:
    """Somebody else had changed what was published."""
    number = altered.count
    what = f"{altered.what}: somebody else had changed {number} entr{'y' if number == 1 else 'ies'}, put right"
    if not altered.what.startswith("map "):
        what = f"{altered.what}: somebody else had taken them off, attached again"
    _log.warning("%s", what, extra=told(Kind.ALTERED, about=altered.what, count=number))


def tell_health(before: Effective, after: Effective) -> None:
    """Which services lost or regained their quorum, and which backups came or went."""
    for label in sorted(after.empty - before.empty):
        _log.warning("service %s is below its quorum", label, extra=told(Kind.QUORUM_LOST, service=label))
    for label in sorted(before.empty - after.empty):
        _log.warning("service %s is at its quorum", label, extra=told(Kind.QUORUM_REGAINED, service=label))
    for name, backup in sorted(after.stand_ins.items() - before.stand_ins.items()):
        _log.warning(
            "real server %s: %s is in its place",
            name,
            backup,
            extra=told(Kind.BACKUP_BEGUN, real_server=name, backup=backup),
        )
    for name, backup in sorted(before.stand_ins.items() - after.stand_ins.items()):
        _log.warning(
            "real server %s has its place again, which %s had",
            name,
            backup,
            extra=told(Kind.BACKUP_ENDED, real_server=name, backup=backup),
        )


def tell_legs_gone(legs: Sequence[Leg], before: Collection[str], after: Collection[str]) -> None:
    """Which legs have no interface any more, or have one again; `before` and `after` are interfaces that are gone."""
    for leg in legs:
        about = (leg.name, leg.interface)
        beside: Details = {"leg": leg.name, "interface": leg.interface}
        if leg.interface in after and leg.interface not in before:
            _log.warning("leg %s: its interface %s is gone", *about, extra=told(Kind.LEG_VANISHED, **beside))
        if leg.interface in before and leg.interface not in after:
            _log.info("leg %s: its interface %s is there again", *about, extra=told(Kind.LEG_BACK, **beside))


def tell_changes(before: Plan, after: Plan) -> None:
    """One line for each leg and real server that changed in a way an operator cares about."""
    legs = {leg.name: leg.up for leg in before.legs}
    for leg in after.legs:
        if legs.get(leg.name, leg.up) != leg.up:
            kind = Kind.LEG_UP if leg.up else Kind.LEG_DOWN
            beside = told(kind, leg=leg.name, interface=leg.interface)
            _log.warning("leg %s (%s) is %s", leg.name, leg.interface, "up" if leg.up else "down", extra=beside)
    _tell_gateways(before, after)
    known = {service.label: service for service in before.services}
    changed = [service for service in after.services if known.get(service.label) is not service]
    macs = {
        (service.label, server.name): server.mac
        for service in changed
        if service.label in known
        for server in known[service.label].servers
    }
    for service in changed:
        for server in service.servers:
            was = macs.get((service.label, server.name), server.mac)
            if was != server.mac:
                _tell_mac(service, server, was)


def _tell_gateways(before: Plan, after: Plan) -> None:
    """Which gateways have another MAC address, or none any more."""
    asked = [(leg.name, address) for leg in after.legs for address in leg.gateways]
    if not asked or before.neighbours is after.neighbours:
        return
    old, new = ({(leg, address): mac for leg, mac, address in plan.neighbours} for plan in (before, after))
    for leg, address in asked:
        was, mac = old.get((leg, address)), new.get((leg, address))
        if was != mac:
            beside = told(Kind.GATEWAY_MOVED, leg=leg, address=str(address), mac=mac or "", was=was or "")
            _log.warning(
                "leg %s: gateway %s: MAC address %s, was %s",
                leg,
                address,
                mac or "unresolved",
                was or "unresolved",
                extra=beside,
            )


def _tell_mac(service: PlannedService, server: PlannedServer, was: str | None) -> None:
    kind = Kind.MAC_UNRESOLVED if server.mac is None else Kind.MAC_RESOLVED if was is None else Kind.MAC_CHANGED
    _log.warning(
        "real server %s of %s: MAC address %s, was %s",
        server.name,
        service.label,
        server.mac or "unresolved",
        was or "unresolved",
        extra=told(
            kind,
            service=service.label,
            real_server=server.name,
            leg=server.leg,
            mac=server.mac or "",
            was=was or "",
        ),
    )
