"""What applying a file would change, and whom it concerns.

Owns the checks before anything is changed, and the report. Applying itself is the director's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.errors import DirectorError
from lasthop.model.change import Stranded
from lasthop.model.real_server import Admin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lasthop.dataplane.interface import Load, Resizing, TableSize
    from lasthop.model.configuration import Configuration
    from lasthop.policy.plan import Plan, PlannedServer


def require_same_director(present: Configuration, given: Configuration, file: str) -> None:
    """Raise DirectorError if a file is another director's."""
    name, other = present.director.name, given.director.name
    if name != other:
        raise DirectorError(
            f"can't apply {file} to director '{name}': it is the file of director '{other}'",
            f"apply it to that one (lasthop --director {other} apply FILE), or correct [director] name",
        )


def require_room(size: TableSize, resizing: Resizing | None, wanted: int) -> None:
    """Raise DirectorError if the table cannot be resized to `wanted` connections now."""
    if resizing is not None and resizing.after != wanted:
        raise DirectorError(
            f"can't resize the table to {wanted} connections: it is being resized to {resizing.after}",
            "try again when that is done; see `lasthop status`",
        )
    if wanted < size.connections and wanted < size.maximum:
        raise DirectorError(
            f"can't resize the table to {wanted} connections: it holds {size.connections}",
            f"set [table] connections to {size.connections} or more, or wait until enough of them are over",
        )


def stranded(plan: Plan, load: Mapping[tuple[str, str], Load]) -> list[Stranded]:
    """The live connections of real servers that `plan` gives no new ones: they stay there until they are over."""
    return list(_stranded(plan, load))


def _why(server: PlannedServer) -> str:
    if server.admin is Admin.DISABLED:
        return "disabled"
    return "unresolved" if server.mac is None else "down"


def _stranded(plan: Plan, load: Mapping[tuple[str, str], Load]) -> Iterator[Stranded]:
    planned = {(service.label, server.name): server for service in plan.services for server in service.servers}
    for (service, name), live in sorted(load.items()):
        connections = live.active + live.inactive
        server = planned.get((service, name))
        if not connections or (server is not None and server.usable):
            continue
        why = "removed" if server is None else _why(server)
        yield Stranded(service, name, why, connections)
