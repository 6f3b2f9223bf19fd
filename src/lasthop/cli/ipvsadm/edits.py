"""What a command line changes, as an edit of `lasthop.model.edit`.

Owns the translation, and what lasthop cannot do: it is refused here in one clear line, not by the director.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from lasthop.cli.ipvsadm.names import IPV6
from lasthop.cli.ipvsadm.refusal import NO_SUCH_SERVER, REFUSED, IpvsadmError, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.cli.ipvsadm.request import Request

Edit = dict[str, Any]
IPV4_BITS, IPV6_BITS = 32, 128
#: What the flags of no name are to a scheduler that has names for them (IP_VS_SVC_F_SCHED1 and 2 of linux/ip_vs.h).
_UNNAMED = {"flag-1": "fallback", "flag-2": "port"}


def edit_of(request: Request) -> Edit:
    """The edit that `request` is. Raises IpvsadmError where lasthop has nothing of the kind."""
    return _EDITS[request.command](request)


def changes(command: str) -> bool:
    """Whether a command is an edit."""
    return command in _EDITS


def prefix_of(netmask: str) -> int:
    """The leading ones of a dotted netmask. Raises IpvsadmError for a mask with ones behind a zero."""
    mask = int.from_bytes(socket.inet_aton(netmask), "big")
    ones = mask.bit_count()
    if mask != (1 << IPV4_BITS) - (1 << IPV4_BITS - ones):
        raise unsupported(f"netmask {netmask} has ones behind a zero", "tell clients apart by leading bits")
    return ones


def _service(request: Request) -> Edit:
    if request.engine:
        raise unsupported(f"there is no persistence engine '{request.engine}'", "leave --pe out")
    edit: Edit = {
        "kind": "add_service" if request.command == "add-service" else "edit_service",
        "service": request.label,
        "scheduler": request.scheduler,
    }
    if request.flags:
        edit["scheduler_flags"] = [_flag(request.scheduler, flag) for flag in request.flags]
    if request.persistence_s is not None:
        edit["persistence_s"] = request.persistence_s
        if request.family == IPV6:
            edit["persistence_prefix6"] = int(request.netmask or IPV6_BITS)
        elif request.netmask:
            edit["persistence_prefix"] = prefix_of(request.netmask)
    if request.one_packet:
        edit["one_packet"] = True
    return edit


def _flag(scheduler: str, flag: str) -> str:
    return f"{scheduler}-{_UNNAMED[flag]}" if scheduler in {"sh", "mh"} and flag in _UNNAMED else flag


def _server(request: Request) -> Edit:
    if request.forward != "g":
        raise unsupported(f"there is only direct routing, so -{request.forward} is not to be had", "use -g")
    edit: Edit = {
        "kind": "add_server" if request.command == "add-server" else "edit_server",
        "service": request.label,
        "address": request.server,
    }
    if request.server_name:
        edit["name"] = request.server_name
    if request.weight != 1:
        edit["weight"] = request.weight
    if request.upper:
        edit["upper_threshold"] = request.upper
    if request.lower:
        edit["lower_threshold"] = request.lower
    return edit


def _delete_server(request: Request) -> Edit:
    """With direct routing a real server has the port of its service; a mark has no port."""
    if not request.mark and request.server_port not in {None, request.port}:
        raise IpvsadmError(NO_SUCH_SERVER, REFUSED)
    return {"kind": "delete_server", "service": request.label, "address": request.server}


def _delete_service(request: Request) -> Edit:
    return {"kind": "delete_service", "service": request.label}


def _clear(_request: Request) -> Edit:
    return {"kind": "clear"}


def _set_timeouts(request: Request) -> Edit:
    tcp, tcp_fin, udp = request.timeouts
    return {"kind": "set_timeouts", "tcp": tcp, "tcp_fin": tcp_fin, "udp": udp}


_EDITS: dict[str, Callable[[Request], Edit]] = {
    "add-service": _service,
    "edit-service": _service,
    "delete-service": _delete_service,
    "flush": _clear,
    "add-server": _server,
    "edit-server": _server,
    "delete-server": _delete_server,
    "set": _set_timeouts,
}
