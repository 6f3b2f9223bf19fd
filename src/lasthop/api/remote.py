"""The API's TCP listener: opened, changed and closed as the configuration and its files say.

Owns its sockets. All or nothing: where the new certificate, tokens or addresses cannot be used, what is there goes on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from typing import TYPE_CHECKING

from lasthop.api.answering import BACKLOG, Answering, Doorway, TcpProtocol
from lasthop.api.gate import Gate, TokenDoor
from lasthop.api.tls import Identity, contents, identity_of
from lasthop.api.tokens import tokens_in
from lasthop.errors import DirectorError
from lasthop.model.access import IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp

    from lasthop.model.access import Access, Endpoint

_log = logging.getLogger(__name__)

_WHY = {
    errno.EADDRINUSE: ("another program listens there", "see which one: ss -ltnp; or choose another port"),
    errno.EADDRNOTAVAIL: ("no interface has that address", "give it to one, or choose another; it is tried again"),
    errno.EACCES: ("ports below 1024 take the capability CAP_NET_BIND_SERVICE", "choose another port"),
}


class Remote:
    """Answers from `application` over TCP, for those with a token."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._answering: Answering | None = None
        self._sockets: dict[Endpoint, socket.socket] = {}
        self._like: tuple[Access, tuple[bytes, ...]] | None = None
        """What was opened: the configuration, and what was in its files."""
        self._identity: Identity | None = None

    @property
    def valid_until(self) -> float | None:
        """When the certificate in use ends, in seconds since 1970; 0 if it is not valid now. None: there is none."""
        return (self._identity.valid_until or 0.0) if self._identity else None

    async def follow(self, access: Access) -> None:
        """Be as `access` and the files it names say. Raises DirectorError, and goes on as it was."""
        if not access.listen:
            await self.stop()
            return
        found = await asyncio.to_thread(contents, access)
        if (access, found) == self._like:
            return
        tokens = tokens_in(access.tokens, found[-1])
        identity = await asyncio.to_thread(identity_of, access) if access.certificate else None
        gate = Gate(self._application, TokenDoor(tokens, metrics_open=access.metrics_open))
        sockets = self._bound(access.listen)
        answering = Answering(gate, list(sockets.values()), TcpProtocol, identity.context if identity else None)
        await answering.start()
        before, self._answering = self._answering, answering
        self._sockets, self._identity, self._like = sockets, identity, (access, found)
        _log.info("API: listening on %s, %s", ", ".join(map(str, sockets)), "TLS" if identity else "this machine only")
        if before is not None:
            await before.stop()

    def complaint(self) -> DirectorError | None:
        """What callers have against the certificate in use."""
        identity = self._identity
        if identity is None:
            return None
        problem = identity.problem
        if not problem and identity.valid_until is not None and identity.valid_until < time.time():
            problem = "the API's certificate has expired"
        return DirectorError(problem, "renew it, then reload the director") if problem else None

    async def stop(self) -> None:
        """Close."""
        before, self._answering = self._answering, None
        self._sockets, self._identity, self._like = {}, None, None
        if before is not None:
            _log.info("API: closed its TCP listener")
            await before.stop()

    def _bound(self, endpoints: Iterable[Endpoint]) -> dict[Endpoint, socket.socket]:
        """Listening sockets; those that are there already go on listening, so that nobody is refused meanwhile."""
        bound: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in endpoints:
                here = self._sockets.get(endpoint)
                bound[endpoint] = here.dup() if here else _listening(endpoint)
        except BaseException:
            for each in bound.values():
                each.close()
            raise
        return bound


def _listening(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if endpoint.address.version == IPV6 else socket.AF_INET
    made = Doorway(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((str(endpoint.address), endpoint.port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as problem:
        made.close()
        cause, remedy = _WHY.get(problem.errno or 0, (problem.strerror or str(problem), "choose another address"))
        raise DirectorError(f"can't listen on {endpoint} ([api] listen): {cause}", remedy) from problem
    return made
