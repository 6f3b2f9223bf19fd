"""A UDP conversation that lasts: one port, one question and answer at a time. No tests here."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from lasthop.lab.namespace import inside
from lasthop.lab.servers import ECHO_PORT

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from typing import Self

PATIENCE_S = 1.0


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
