"""Backups: who is in a real server's place, and what a service looks like with them there.

Owns that judgement. A pair that shares its connections is one real server by name; which of the two boxes has the place
changes only when the one that has it goes, and not back when it returns: no live connection moves for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.real_server import Admin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lasthop.model.real_server import RealServer
    from lasthop.model.service import Service
    from lasthop.policy.placement import Placement
    from lasthop.policy.plan import PlannedLeg


def stand_ins(services: Iterable[Service], down: Collection[str], before: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each real server whose place its backup has, and the backup's; `before` is what was so."""
    backups: dict[str, str] = {}
    lost = set(down)
    for service in services:
        for server in service.real_servers:
            if server.backup_of:
                backups[server.backup_of] = server.name
            if server.admin is Admin.DISABLED:
                lost.add(server.name)
    return {name: backup for name, backup in backups.items() if _stands(name, backup, lost, before)}


def _stands(name: str, backup: str, lost: Collection[str], before: Mapping[str, str]) -> bool:
    if before.get(name) == backup:
        return backup not in lost or name in lost
    return name in lost and backup not in lost


def in_places(placement: Placement, stand_ins: Mapping[str, str]) -> list[tuple[RealServer, RealServer, PlannedLeg]]:
    """Return for each real server which box is in its place, and that one's leg; a pair changes places."""
    boxes = {server.name: (server, leg) for server, leg in placement}
    swapped = {name: backup for name, backup in stand_ins.items() if name in boxes and backup in boxes}
    swapped |= {backup: name for name, backup in swapped.items()}
    return [(server, *boxes[swapped.get(server.name, server.name)]) for server, _ in placement]
