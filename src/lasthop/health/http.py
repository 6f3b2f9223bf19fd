"""Checks ``http`` and ``https``: one GET; status and body must be as expected."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

import h11

from lasthop.health.sockets import bracketed, problem_of
from lasthop.model.health import Check

if TYPE_CHECKING:
    from lasthop.health.probe import Asked

_CHUNK = 1 << 16
#: Of a body, what is looked at.
_BODY_MAX = 1 << 20


async def probe(asked: Asked) -> str:
    """See `lasthop.health.probe.Probe`."""
    secure = asked.how.check is Check.HTTPS
    try:
        reader, writer = await asyncio.open_connection(
            str(asked.address),
            asked.port,
            ssl=_context(verify=asked.how.verify) if secure else None,
            server_hostname=(asked.how.host or str(asked.address)) if secure else None,
        )
    except ssl.SSLError as error:
        return f"TLS: {error.reason or error}"
    except OSError as error:
        return problem_of(error)
    try:
        return await _ask(reader, writer, asked)
    except OSError as error:
        return problem_of(error)
    except h11.RemoteProtocolError as error:
        return f"no HTTP answer: {error}"
    finally:
        writer.transport.abort()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked) -> str:
    connection = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", asked.how.host or bracketed(asked.address)),
        ("User-Agent", "lasthop"),
        ("Connection", "close"),
        ("Accept", "*/*"),
    ]
    request = h11.Request(method="GET", target=asked.how.path, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            if not any(first <= event.status_code <= last for first, last in asked.how.status):
                return f"HTTP status {event.status_code}"
            if not asked.how.body:
                return ""
        elif isinstance(event, h11.Data):
            body += event.data
        if len(body) >= _BODY_MAX or isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            found = re.search(asked.how.body, body[:_BODY_MAX].decode(errors="replace"))
            return "" if found else f"the body does not match {asked.how.body!r}"


@lru_cache
def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with suppress(NotImplementedError):
        context.set_alpn_protocols(["http/1.1"])
    return context
