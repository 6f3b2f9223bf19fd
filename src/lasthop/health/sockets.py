"""What checks over TCP and UDP have in common: a socket connected to who is asked, and problems in words.

Must not be here: what is said over it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.health.probe import Asked
    from lasthop.model.real_server import Address

_IPV6 = 6


def family(asked: Asked) -> socket.AddressFamily:
    """Of the address that is asked."""
    return socket.AF_INET6 if asked.address.version == _IPV6 else socket.AF_INET


def bracketed(address: Address) -> str:
    """An address as it stands before a port, or in a URL (RFC 3986, section 3.2.2)."""
    return f"[{address}]" if address.version == _IPV6 else str(address)


@contextmanager
def opened(asked: Asked, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """A socket that does not block, closed in the end."""
    with socket.socket(family(asked), kind) as sock:
        sock.setblocking(False)
        yield sock


async def connect(sock: socket.socket, asked: Asked) -> None:
    """Connect to who is asked. Raises OSError."""
    await asyncio.get_running_loop().sock_connect(sock, (str(asked.address), asked.port))


def problem_of(error: OSError) -> str:
    """The problem in words: errno's own, as asyncio puts others in its place."""
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
