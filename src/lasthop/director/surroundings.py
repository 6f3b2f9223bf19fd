"""From an observation of the network to what policy needs to know of it.

Owns that translation only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.policy.surroundings import SeenLink, Surroundings

if TYPE_CHECKING:
    from lasthop.network.interface import Observation

_MACVLAN = "macvlan"


def surroundings_of(observation: Observation) -> Surroundings:
    """What `observation` says, in policy's terms."""
    children: dict[int, set[str]] = {}
    for link in observation.links.values():
        if link.kind == _MACVLAN and link.parent is not None:
            children.setdefault(link.parent, set()).add(link.mac)
    return Surroundings(
        links={
            name: SeenLink(
                ifindex=link.ifindex,
                mac=link.mac,
                mtu=link.mtu,
                up=link.up,
                addresses=link.addresses,
                child_macs=frozenset(children.get(link.ifindex, ())),
                virtual=link.virtual,
                parent=link.parent,
                tag=link.tag,
                strips_tags=link.rxvlan,
            )
            for name, link in observation.links.items()
        },
        local=observation.local,
        neighbours=observation.neighbours,
    )
