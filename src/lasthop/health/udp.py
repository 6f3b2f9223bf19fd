"""Check ``udp``: a datagram is sent, and answered as expected, or at least not refused by an ICMP error."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

from lasthop.health.sockets import connect, opened, problem_of

if TYPE_CHECKING:
    from lasthop.health.probe import Asked

_LONGEST = 65_536
#: Without an answer to wait for, an ICMP error has this share of the check's time to come.
_SHARE = 0.8
_SHOWN = 40


async def probe(asked: Asked) -> str:
    """See `lasthop.health.probe.Probe`."""
    loop = asyncio.get_running_loop()
    with opened(asked, socket.SOCK_DGRAM) as sock:
        try:
            await connect(sock, asked)
            await loop.sock_sendall(sock, asked.how.send.encode())
            if asked.how.expect:
                return _judge(await loop.sock_recv(sock, _LONGEST), asked.how.expect)
            async with asyncio.timeout(asked.how.timeout * _SHARE):
                await loop.sock_recv(sock, _LONGEST)
        except TimeoutError:
            return ""
        except OSError as error:
            return problem_of(error)
    return ""


def _judge(answer: bytes, expected: str) -> str:
    told = answer.decode(errors="replace")
    return "" if re.search(expected, told) else f"the answer {told[:_SHOWN]!r} does not match {expected!r}"
