"""uvicorn, inside the director's own loop: it answers on sockets that it is given.

Owns uvicorn's settings and what is asked of it beyond them: no signal handlers, who is at the other end of a unix
socket, and that strangers who connect and say nothing cost little.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lasthop.api.gate import PEER
from lasthop.api.peers import peer_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp

#: Seconds that answers under way may still take when it stops.
GRACE_S = 2
#: Seconds for a handshake, and for the head of the first request after it.
PATIENCE_S = 10.0
#: Connections at once, over TCP: far more than a monitoring system and some people have.
MOST_CONNECTIONS = 128
BACKLOG = 64


class UnixProtocol(H11Protocol):
    """HTTP on a unix socket: the kernel says who is at the other end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Note the peer, for the gate."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER: peer_of(transport.get_extra_info("socket"))}


class TcpProtocol(H11Protocol):
    """HTTP over TCP: who connects must also ask something."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Wait for the first request, not forever."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(PATIENCE_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class Doorway(socket.socket):
    """A listening socket that takes so many connections and no more: descriptors are for health checks too."""

    _taken: frozenset[socket.socket] = frozenset()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; one too many is closed at once."""
        connection, address = super().accept()
        taken = {each for each in self._taken if each.fileno() >= 0}
        if len(taken) >= MOST_CONNECTIONS:
            connection.close()
            raise ConnectionAbortedError
        self._taken = frozenset({*taken, connection})
        return connection, address


class Answering:
    """Answers on `sockets`, which it closes when it stops."""

    def __init__(
        self,
        application: ASGIApp,
        sockets: Sequence[socket.socket],
        protocol: type[H11Protocol],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.sockets = list(sockets)
        config = uvicorn.Config(
            application,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()
        config.ssl = context
        self._server = _Server(config, protocol)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer from when this returns."""
        self._task = asyncio.create_task(self._server.serve(sockets=self.sockets), name="api")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not self._server.listening.is_set():
            listening.cancel()
            await self.stop()

    async def stop(self) -> None:
        """Finish the answers under way, and close. Does nothing if not started."""
        if self._task is not None:
            self._server.should_exit = True
            try:
                await self._task
            finally:
                self._task = None


class _Server(uvicorn.Server):
    """uvicorn, without its signal handlers: signals are the daemon's."""

    def __init__(self, config: uvicorn.Config, protocol: type[H11Protocol]) -> None:
        super().__init__(config)
        self._protocol = protocol
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with less patience in the handshake."""
        loop, config = asyncio.get_running_loop(), self.config
        made = partial(self._protocol, config, self.server_state, {})
        patience = PATIENCE_S if config.ssl else None
        self.servers = [
            await loop.create_server(made, sock=each, ssl=config.ssl, backlog=BACKLOG, ssl_handshake_timeout=patience)
            for each in sockets or []
        ]
        self.started = True
        self.listening.set()
