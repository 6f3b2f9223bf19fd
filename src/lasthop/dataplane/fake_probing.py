"""Path probes of the data plane in memory."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.dataplane.interface import ProbeAnswer


class FakeProbing:
    """See `interface.Probing`; `come_back` is what a far director does."""

    def __init__(self) -> None:
        self.port = 0
        """The port that probes are known by."""
        self._waiting: list[ProbeAnswer] = []
        self._pair: tuple[socket.socket, socket.socket] | None = None

    @property
    def descriptor(self) -> int:
        """See Probing.descriptor. It is there from when it is first asked for, until `close`."""
        if self._pair is None:
            self._pair = socket.socketpair()
        return self._pair[0].fileno()

    def know(self, port: int) -> None:
        """See Probing.know."""
        self.port = port

    def come_back(self, answer: ProbeAnswer) -> None:
        """A probe comes back."""
        self._waiting.append(answer)
        if self._pair is not None:
            self._pair[1].send(b"x")

    def answers(self) -> list[ProbeAnswer]:
        """See Probing.answers."""
        found, self._waiting = self._waiting, []
        if found and self._pair is not None:
            self._pair[0].recv(len(found))
        return found

    def close(self) -> None:
        """Give the descriptor back."""
        for end in self._pair or ():
            end.close()
        self._pair = None
