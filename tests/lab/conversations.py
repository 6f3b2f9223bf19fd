"""Conversations that last as long as a test likes: UDP from one port, and TCP connections held open. No tests here."""

from __future__ import annotations

import itertools
import os
import socket
from typing import TYPE_CHECKING

from lasthop.lab.namespace import inside
from lasthop.lab.servers import ECHO_PORT, HTTP_PORT
from lasthop.lab.traffic import PORTS, Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address
    from typing import Self

PATIENCE_S = 1.0
CONNECT_PATIENCE_S = 5.0


class UdpConversation:
    """From one port in a namespace with the echo server at the other end of `pair`."""

    def __init__(self, namespace: str, pair: tuple[IPv4Address, IPv4Address]) -> None:
        with inside(namespace):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((str(pair[0]), 0))
        self._socket.connect((str(pair[1]), ECHO_PORT))
        self._socket.settimeout(PATIENCE_S)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def answered(self) -> bool:
        """Ask, and tell whether the answer came."""
        question = os.urandom(16)
        self._socket.send(question)
        try:
            while self._socket.recv(2048) != question:
                pass
        except TimeoutError:
            return False
        return True


class Held:
    """TCP connections to the web server that are opened one after the other and stay open until they are asked."""

    def __init__(self, namespace: str, pairs: Iterable[tuple[IPv4Address, IPv4Address]]) -> None:
        self._namespace = namespace
        self._pairs = itertools.cycle(pairs)
        self._open: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._open.values():
            sock.close()

    @property
    def ports(self) -> list[int]:
        """The clients' ports of the connections that are open, in the order of their opening."""
        return list(self._open)

    def open(self, count: int = 1) -> list[int]:
        """Open `count` more, one after the other; their ports."""
        opened = []
        for source, destination in itertools.islice(self._pairs, count):
            port = next(PORTS)
            with inside(self._namespace):
                sock = socket.create_connection((str(destination), HTTP_PORT), CONNECT_PATIENCE_S, (str(source), port))
            self._open[port] = sock
            opened.append(port)
        return opened

    def asked(self, ports: Iterable[int] | None = None) -> list[Attempt]:
        """Ask for the page on some of them, or on all, which ends them; what came of each."""
        return [self._asked(port, self._open.pop(port)) for port in (self.ports if ports is None else list(ports))]

    def _asked(self, port: int, sock: socket.socket) -> Attempt:
        source, destination = sock.getsockname()[0], sock.getpeername()[0]
        answer = bytearray()
        problem = ""
        with sock:
            try:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while piece := sock.recv(1 << 12):
                    answer += piece
            except OSError as error:
                problem = str(error)
        body = answer.partition(b"\r\n\r\n")[2].decode(errors="replace")
        if not problem and body != f"{source}:{port}\n":
            problem = f"the server saw {body!r}"
        return Attempt("tcp", source, port, destination, HTTP_PORT, problem)
