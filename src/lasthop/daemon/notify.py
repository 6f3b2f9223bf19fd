"""What the service manager is told of this process, as sd_notify(3) has it; nothing where none has started it.

Owns the protocol and the watchdog's environment. Must not be here: what is told, which is `lasthop.daemon.service`'s.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_log = logging.getLogger(__name__)


class Notifier:
    """The socket that systemd listens on for this process."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """`address` is NOTIFY_SOCKET's, empty for nobody; `watchdog_s` is within what time a sign of life is wanted."""
        # sd_notify(3): an address that begins with @ is in the abstract namespace, which the kernel marks by a NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Notifier:
        """What systemd left in `environment`, taken out of it: programs that this process starts speak for themselves.

        WATCHDOG_USEC counts where WATCHDOG_PID names this process or nobody (sd_watchdog_enabled(3)).
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        period, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        wanted = period.isdigit() and int(period) > 0 and process in ("", str(os.getpid()))
        return cls(address, int(period) / 1e6 if wanted else None)

    @property
    def listens(self) -> bool:
        """Whether a service manager started this process and wants to be told."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send assignments such as ``READY=1``. A manager that does not listen is logged and changes nothing."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            _log.warning("can't tell the service manager %s: %s", lines[0], error.strerror or error)
