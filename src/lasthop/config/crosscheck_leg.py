"""Keys of legs that must fit each other: names, interfaces that legs share, VLANs, gateways.

Part of `lasthop.config.crosscheck`, which says how these checks read a document.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lasthop.config import values
from lasthop.config.document import Finding, Table, tables, text
from lasthop.model.leg import Mode, ReplyTo

if TYPE_CHECKING:
    from collections.abc import Iterator


def leg_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself in the legs of `document`, in no particular order."""
    return chain(_names(document), _interfaces(document), _protocols(document), _gateways(document))


def _names(document: Table) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, leg in tables(document, "leg"):
        name = text(leg, "name")
        if name is not None and first.setdefault(name, index) != index:
            yield Finding(
                ("leg", index, "name"),
                f"is the name of leg[{first[name]}] already",
                "give each leg a name of its own",
            )


def _interfaces(document: Table) -> Iterator[Finding]:
    """Legs share an interface by their VLANs; programs are attached to it once."""
    on: dict[str, dict[tuple[int, ...], Table]] = {}
    for index, leg in tables(document, "leg"):
        interface, vlans = text(leg, "interface"), _vlans(leg)
        if interface is None or vlans is None:
            continue
        there = on.setdefault(interface, {})
        other = there.setdefault(vlans, leg)
        if other is not leg:
            yield _shared(index, leg, other, vlans)
        elif (first := next(iter(there.values()))) is not leg and _mode(first) != _mode(leg):
            yield Finding(
                ("leg", index, "mode"),
                f"is another mode than {_called(first)} has on the same interface, {_mode(first)}",
                "give all legs of an interface one mode: programs are attached to an interface, not to a VLAN",
            )


def _shared(index: int, leg: Table, other: Table, vlans: tuple[int, ...]) -> Finding:
    both = f"{_called(other)} and {_called(leg)}"
    zones = ": a leg in two zones" if text(leg, "zone") != text(other, "zone") else ""
    if vlans:
        shown = ".".join(map(str, vlans))
        return Finding(("leg", index, "vlan"), f"VLAN {shown} is in two legs, {both}{zones}", "keep one of the two")
    return Finding(
        ("leg", index, "interface"),
        f"is in two legs, {both}{zones}",
        "keep one of the two; VLANs of an interface are told apart by vlan = 100, traffic within one of them by "
        "source_real_server",
    )


def _protocols(document: Table) -> Iterator[Finding]:
    for index, leg in tables(document, "leg"):
        if "vlan_protocol" in leg and "vlan" not in leg:
            yield Finding(
                ("leg", index, "vlan_protocol"), "is of a VLAN, and there is none", "add vlan = 100, or leave it out"
            )


def _gateways(document: Table) -> Iterator[Finding]:
    for index, leg in tables(document, "leg"):
        neighbour = text(leg, "reply_to") == ReplyTo.NEIGHBOUR
        if neighbour and "gateway" not in leg:
            yield Finding(
                ("leg", index, "reply_to"),
                "sends responses to who is not on the link through a gateway, and there is none",
                'add gateway = "192.0.2.1", the address of the router (HSRP, VRRP: the virtual one)',
            )
        if "gateway" in leg and not neighbour and leg.get("strict") is not True:
            yield Finding(
                ("leg", index, "gateway"),
                "does nothing on a leg that replies to the source MAC address and is not strict",
                'add reply_to = "neighbour" or strict = true, or leave it out',
            )


def _vlans(leg: Table) -> tuple[int, ...] | None:
    """Return the VLANs of a leg, none for an untagged one; None if what stands there is no VLAN."""
    if "vlan" not in leg:
        return ()
    try:
        return values.vlan(leg["vlan"])
    except PydanticCustomError:
        return None


def _mode(leg: Table) -> str:
    return text(leg, "mode") or Mode.AUTO.value


def _called(leg: Table) -> str:
    return f"'{text(leg, 'name') or '?'}' (zone {text(leg, 'zone') or '?'})"
