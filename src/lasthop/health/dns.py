"""Check ``dns``: a name is asked for; any answer but a failure of the server's counts."""

from __future__ import annotations

import socket
from asyncio import get_running_loop
from typing import TYPE_CHECKING

import dns.exception
import dns.message
import dns.rcode

from lasthop.health.sockets import connect, opened, problem_of

if TYPE_CHECKING:
    from lasthop.health.probe import Asked

_LONGEST = 65_536
#: The name is there or not: either way the server works (RFC 1035 section 4.1.1).
_ANSWERS = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


async def probe(asked: Asked) -> str:
    """See `lasthop.health.probe.Probe`."""
    loop = get_running_loop()
    question = dns.message.make_query(asked.how.name, asked.how.record)
    with opened(asked, socket.SOCK_DGRAM) as sock:
        try:
            await connect(sock, asked)
            await loop.sock_sendall(sock, question.to_wire())
            answer = dns.message.from_wire(await loop.sock_recv(sock, _LONGEST))
        except OSError as error:
            return problem_of(error)
        except dns.exception.DNSException as error:
            return f"no DNS answer: {error}"
    if not question.is_response(answer):
        return "the answer is to another question"
    code = answer.rcode()
    return "" if code in _ANSWERS else f"the server says {dns.rcode.to_text(code)}"
