"""Configuration files for the lab's directors, written from a layout.

Owns how a drawing is said in TOML. The files are ordinary configuration files: what is in them can be
copied to a real machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lasthop.lab.layout import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address

    from lasthop.lab.layout import DirectorPlace, Side


class LegModes(StrEnum):
    """How the legs of all directors are attached."""

    TC = "tc"
    XDP = "xdp"
    MIXED = "mixed"
    """XDP on the legs that face routers, tc on those that face firewalls."""


@dataclass(frozen=True, slots=True)
class Balancing:
    """The settings all directors of a topology share."""

    modes: LegModes = LegModes.TC
    scheduler: str = "wlc"
    persistence_s: int | None = None
    connections: int = 100_000


def configuration(place: DirectorPlace, name: str, shape: Shape, balancing: Balancing) -> str:
    """The configuration file of one director, which will be called `name`."""
    lines = ["[director]", f'name = "{name}"', "", "[table]", f"connections = {balancing.connections}"]
    for interface, zone in place.legs:
        lines += ["", "[[leg]]", f'name = "{interface}"', f'interface = "{interface}"', f'zone = "{zone}"']
        lines.append(f'mode = "{_mode(place, interface, balancing.modes)}"')
    for number, side in enumerate(place.sides):
        lines += _services(side, 2 * number + 1, balancing, one_arm=shape is Shape.ONE_ARM)
    return "\n".join(lines) + "\n"


def _mode(place: DirectorPlace, interface: str, modes: LegModes) -> str:
    if modes is not LegModes.MIXED:
        return modes.value
    faces_router = any(side.leg_to_router == interface for side in place.sides)
    return "xdp" if faces_router else "tc"


def _services(side: Side, mark: int, balancing: Balancing, *, one_arm: bool) -> list[str]:
    """Two services per zone: towards the firewalls, scheduled; towards the router, the one next hop."""
    names = ", ".join(f'"{name}"' for name, _ in side.firewalls)
    from_router = f'source_real_server = "{side.router}"' if one_arm else f'leg = "{side.leg_to_router}"'
    from_firewalls = f"source_real_server = [{names}]" if one_arm else f'leg = "{side.leg_to_firewalls}"'
    lines = ["", "[[service]]", f"mark = {mark}", f"match = [{{ {from_router} }}]"]
    lines.append(f'scheduler = "{balancing.scheduler}"')
    if balancing.persistence_s is not None:
        lines.append(f"persistence = {{ timeout = {balancing.persistence_s} }}")
    lines += _real_servers(side.firewalls)
    lines += ["", "[[service]]", f"mark = {mark + 1}", f"match = [{{ {from_firewalls} }}]"]
    lines += _real_servers([(side.router, side.router_address)])
    return lines


def _real_servers(servers: Iterable[tuple[str, IPv4Address]]) -> list[str]:
    lines = []
    for name, address in servers:
        lines += ["", "[[service.real_server]]", f'name = "{name}"', f'address = "{address}"']
    return lines
