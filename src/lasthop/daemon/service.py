"""The director as a service: when it is ready, reloads and stops, how it is in one line, and that it lives.

Owns what the service manager is told, and when. How it is told is `lasthop.daemon.notify`'s.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lasthop.errors import LasthopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lasthop.daemon.notify import Notifier
    from lasthop.model.real_server import ServerReport

_STATUS_S = 5.0


class Pulse:
    """Whether work that comes round is alive: each time it says when it will come round again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock()

    def beat(self, pause_s: float = 0.0) -> None:
        """It lives, and comes round again in `pause_s`."""
        self._due = self._clock() + pause_s

    def alive(self, patience_s: float) -> bool:
        """Whether it is late by no more than `patience_s`."""
        return self._clock() - self._due <= patience_s


class Service:
    """What systemd knows of a director. Without a service manager every method does nothing that is seen."""

    def __init__(
        self, notifier: Notifier, servers: Callable[[], Sequence[ServerReport]], services: Callable[[], int]
    ) -> None:
        self._notifier = notifier
        self._servers = servers
        self._services = services
        self._said = ""
        self._refused = ""
        self.pulse = Pulse()
        """The sweep's: without it connections neither end nor are counted."""

    def ready(self) -> None:
        """The first configuration is published."""
        if self._notifier.listens:
            self._said = self._line()
            self._notifier.tell("READY=1", f"STATUS={self._said}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload. A LasthopError is one that changed nothing: the status line says so until the next."""
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._refused = ""
        try:
            yield
        except LasthopError as error:
            self._refused = " ".join(str(error).split())
            raise
        finally:
            self.ready()

    def stopping(self) -> None:
        """The process ends; packets go on."""
        self._notifier.tell("STOPPING=1")

    async def keep(self) -> None:
        """Keep the status line true, and the watchdog quiet for as long as this loop and the sweep are alive."""
        if not self._notifier.listens:
            await asyncio.Event().wait()
        limit = self._notifier.watchdog_s
        pause = min(_STATUS_S, limit / 3) if limit else _STATUS_S
        told = 0.0
        while True:
            if limit and self.pulse.alive(limit):
                self._notifier.tell("WATCHDOG=1")
            if time.monotonic() - told >= _STATUS_S:
                told = time.monotonic()
                self._tell_status()
            await asyncio.sleep(pause)

    def _tell_status(self) -> None:
        line = self._line()
        if line != self._said:
            self._said = line
            self._notifier.tell(f"STATUS={line}")

    def _line(self) -> str:
        """Such as ``2 services, 8 real servers, 7 up``; a server of several services is up if it is in all."""
        with suppress(LasthopError):
            reports = self._servers()
            names = {report.name for report in reports}
            up = names - {report.name for report in reports if report.health not in ("up", "standby")}
            told = f"{_count(self._services(), 'service')}, {_count(len(names), 'real server')}, {len(up)} up"
            return f"{told}; the last reload changed nothing: {self._refused}" if self._refused else told
        return "it has detached"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
