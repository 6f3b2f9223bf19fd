"""The kernel's VLAN interfaces: a tagged leg has none of its own, and its neighbours are those of the kernel's.

Owns how one is found, and the commands that make one.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lasthop.model.vlan import VlanProtocol

if TYPE_CHECKING:
    from lasthop.model.vlan import Vlan
    from lasthop.policy.surroundings import SeenLink, Surroundings

#: Longest name of an interface (IFNAMSIZ without its end).
_LONGEST_NAME = 15


def vlan_device(vlan: Vlan, on: SeenLink, surroundings: Surroundings) -> SeenLink | None:
    """Return the interface that the kernel has for a VLAN of the interface `on`; for QinQ it sits on another one."""
    below: SeenLink | None = on
    for tag in vlan.tags:
        if below is None:
            return None
        below = next(
            (link for link in surroundings.links.values() if (link.parent, link.tag) == (below.ifindex, tag)), None
        )
    return below


def commands(interface: str, vlan: Vlan) -> str:
    """Return the line that makes the interfaces that `vlan_device` looks for."""
    made, below = [], interface
    for protocol, number in vlan.tags:
        name = f"{below}.{number}" if len(f"{below}.{number}") <= _LONGEST_NAME else f"vlan{number}"
        said = "" if protocol is VlanProtocol.DOT1Q else f"proto {protocol} "
        made.append(f"ip link add link {shlex.quote(below)} name {shlex.quote(name)} type vlan {said}id {number}")
        made.append(f"ip link set {shlex.quote(name)} up")
        below = name
    return " && ".join(made)
