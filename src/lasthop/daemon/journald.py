"""Log records in systemd's journal, with a field for each thing that is known of them.

Owns the journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). When the journal does not listen,
stderr gets the sentence.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

from lasthop.daemon.logs import fields

SOCKET = Path("/run/systemd/journal/socket")
#: syslog's severities (RFC 5424, table 2).
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_NAME_LENGTH = 64
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Journald(logging.Handler):
    """Writes to the journal; what a record knows beside its sentence becomes fields LASTHOP_..."""

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send `record`; to stderr if the journal does not take it."""
        try:
            self._send(_datagram(entry(record, self.format(record))))
        except OSError:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 -- logging's contract: a record that cannot be written ends nothing
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_as_file(data)

    def _send_as_file(self, data: bytes) -> None:
        """What is too large for a datagram goes along as a sealed file in memory."""
        descriptor = os.memfd_create("lasthop-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(descriptor, data)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder))
            self._socket.sendmsg([b""], [rights], 0, self._path)
        finally:
            os.close(descriptor)


def entry(record: logging.LogRecord, message: str) -> dict[str, Any]:
    """The fields of a record (systemd.journal-fields(7))."""
    told = {
        "MESSAGE": message,
        "PRIORITY": next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG),
        "SYSLOG_IDENTIFIER": "lasthop",
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        "LOGGER": record.name,
    }
    return told | {_name(key): value for key, value in fields(record).items() if value is not None}


def _name(key: str) -> str:
    """Letters, digits and underscores are what a field's name may have."""
    return f"LASTHOP_{re.sub(r'[^A-Z0-9_]', '_', key.upper())}"[:_NAME_LENGTH]


def _datagram(told: dict[str, Any]) -> bytes:
    """A value with a line break is preceded by its length, any other by ``=``."""
    parts = []
    for name, value in told.items():
        data = str(value).encode(errors="replace")
        shape = b"\n" + len(data).to_bytes(8, "little") if b"\n" in data else b"="
        parts.append(name.encode() + shape + data + b"\n")
    return b"".join(parts)
