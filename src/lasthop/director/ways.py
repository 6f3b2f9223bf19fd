"""Ways to real servers for path probes, from the plan and what was seen of the machine.

Owns that look-up, and the words for why there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.health.path import Way

if TYPE_CHECKING:
    from lasthop.health.probe import Asked
    from lasthop.model.real_server import Address
    from lasthop.policy.plan import Plan, PlannedServer
    from lasthop.policy.surroundings import SeenLink, Surroundings


class Ways:
    """The ways of one plan in its surroundings."""

    def __init__(self, plan: Plan, surroundings: Surroundings) -> None:
        self._legs = {leg.name: leg for leg in plan.legs}
        # A backup and the real server whose place it has have changed names: who is asked is the box.
        self._servers = {
            (service.label, server.address): server for service in plan.services for server in service.servers
        }
        self._found: dict[tuple[str, Address, Address], Way | str] = {}
        self._devices = {link.ifindex: (name, link) for name, link in surroundings.links.items()}

    def way(self, asked: Asked) -> Way | str:
        """The way to a real server, or why there is none."""
        key = (asked.service, asked.server_address, asked.address)
        if key not in self._found:
            self._found[key] = self._find(asked)
        return self._found[key]

    def _find(self, asked: Asked) -> Way | str:
        server = self._servers.get((asked.service, asked.server_address))
        if server is None:
            return "it is in no service any more"
        leg = self._legs[server.leg]
        if server.mac is None:
            return f"nobody knows its MAC address on leg {leg.name}"
        if leg.vlan is not None and not leg.device:
            return f"leg {leg.name} is a VLAN without an interface to send by: see lasthop status"
        found = self._devices.get(leg.neighbours_on)
        if found is None:
            return f"the interface of leg {leg.name} is gone"
        device, link = found
        own = _own_address(link, server, asked.address)
        if own is None:
            return f"{device} has no IPv{asked.address.version} address to ask from"
        return Way(leg.name, device, server.mac, leg.mac, own)


def _own_address(link: SeenLink, server: PlannedServer, target: Address) -> Address | None:
    """An address of the interface, of the target's family: one in the real server's subnet before others."""
    fitting = [each for each in link.addresses if each.version == target.version and not each.ip.is_link_local]
    near = [each for each in fitting if server.address in each.network]
    return next((each.ip for each in near or fitting), None)
