"""Captures: every frame that enters or leaves the directors, taken at the far ends of their cables.

The far ends see what a director's own interfaces do not: frames that native XDP takes in before, and
sends past, every tap of the kernel.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lasthop.errors import LabError
from lasthop.lab.namespace import inside
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33
_BUFFER = 64 << 20
_FRAME_MAX = 1 << 17
#: Without a frame for so long, in seconds, what was under way has arrived.
_QUIET = 0.1


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame on one cable, as the box at the far end saw it."""

    box: str
    interface: str
    towards_director: bool
    data: bytes


class Capture:
    """Captures at several points for the time of a `with` block; then `frames` holds them in order of reading."""

    def __init__(self, points: Iterable[tuple[str, str, str]]) -> None:
        """`points` are (box, its namespace, interface)."""
        self.frames: list[Frame] = []
        self._points = list(points)
        self._last = time.monotonic()
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Open all points, then start reading."""
        for box, namespace, interface in self._points:
            with inside(namespace):
                tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            tap.setblocking(False)
            tap.bind((interface, _ETH_P_ALL))
            self._sockets.append(tap)
            self._selector.register(tap, selectors.EVENT_READ, (tap, box, interface))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until it is quiet, stop and close. Raises LabError if frames were lost on the way here."""
        wait_until(lambda: time.monotonic() - self._last > _QUIET, timeout=5)
        self._over.set()
        self._thread.join()
        lost = 0
        for tap in self._sockets:
            lost += struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
            tap.close()
        self._selector.close()
        if lost:
            raise LabError(f"the captures lost {lost} frames and prove nothing", "send less traffic")

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(timeout=0.05):
                self._drain(*key.data)

    def _drain(self, tap: socket.socket, box: str, interface: str) -> None:
        try:
            while True:
                data, (_, _, kind, _, _) = tap.recvfrom(_FRAME_MAX)
                self.frames.append(Frame(box, interface, kind == _PACKET_OUTGOING, data))
                self._last = time.monotonic()
        except BlockingIOError:
            return
