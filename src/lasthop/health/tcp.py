"""Check ``tcp``: a connection is opened and closed at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from lasthop.health.sockets import connect, opened, problem_of

if TYPE_CHECKING:
    from lasthop.health.probe import Asked


async def probe(asked: Asked) -> str:
    """See `lasthop.health.probe.Probe`."""
    with opened(asked, socket.SOCK_STREAM) as sock:
        try:
            await connect(sock, asked)
        except OSError as error:
            return problem_of(error)
    return ""
