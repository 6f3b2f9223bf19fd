"""The lab's servers: HTTP on port 80 and UDP echo on port 7, run as a process of their own inside a box.

``GET /`` answers with the client's address and port as the server sees them; ``GET /kept/N`` answers with the same and
N, and keeps the connection for the next request; ``GET /bytes/N`` answers with N bytes; ``GET /drip`` answers with a
piece every few milliseconds for as long as the client listens. Nothing here knows about topologies.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HTTP_PORT = 80
ECHO_PORT = 7
#: include/uapi/linux/in.h
_IP_PKTINFO = 8
#: A piece of a drip: long enough to be a packet, and a pattern whose gaps would show.
DRIP = bytes(range(250)) * 4
_DRIP_INTERVAL = 0.005
_CHUNK = bytes(range(256)) * 256


class _Page(BaseHTTPRequestHandler):
    """Answers GET; HTTP/1.0, so every connection carries one request, but for those that are kept."""

    def do_GET(self) -> None:
        if self.path.startswith("/bytes/"):
            self._bytes(int(self.path.removeprefix("/bytes/")))
            return
        if self.path == "/drip":
            self._drip()
            return
        seen = f"{self.client_address[0]}:{self.client_address[1]}"
        if self.path.startswith("/kept/"):
            self.close_connection = False
            seen += " " + self.path.removeprefix("/kept/")
        body = f"{seen}\n".encode()
        self._head(len(body))
        self.wfile.write(body)

    def _bytes(self, count: int) -> None:
        self._head(count)
        while count > 0:
            self.wfile.write(_CHUNK[: min(count, len(_CHUNK))])
            count -= len(_CHUNK)

    def _drip(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        while True:
            self.wfile.write(DRIP)
            time.sleep(_DRIP_INTERVAL)

    def _head(self, length: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing about each request."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 8192
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is the client's business."""


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def _echo6(port: socket.socket) -> None:
    port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    while True:
        data, asides, _, sender = port.recvmsg(65535, 64)
        ours = asides[0][2][:16] + bytes(4)
        port.sendmsg([data], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, ours)], 0, sender)


def _echo(port: socket.socket) -> None:
    # A box with several addresses answers from the one it was asked at: IP_PKTINFO is {interface, ours, theirs}.
    port.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    while True:
        data, asides, _, sender = port.recvmsg(65535, 64)
        ours = asides[0][2][4:8]
        port.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("I4s4x", 0, ours))], 0, sender)


def _serve6() -> None:
    """The same over IPv6, where the box has it."""
    echo = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    echo.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    echo.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    echo.bind(("::", ECHO_PORT))
    threading.Thread(target=_echo6, args=(echo,), daemon=True).start()
    threading.Thread(target=_Server6(("::", HTTP_PORT), _Page).serve_forever, daemon=True).start()


def serve(ready: Path) -> None:
    """Listen on all addresses for ever; `ready` appears once both servers listen."""
    echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Datagrams of a burst wait here rather than being lost.
    echo.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    echo.bind(("0.0.0.0", ECHO_PORT))  # noqa: S104 - inside a namespace
    threading.Thread(target=_echo, args=(echo,), daemon=True).start()
    _serve6()
    with _Server(("0.0.0.0", HTTP_PORT), _Page) as server:  # noqa: S104 - inside a namespace
        ready.touch()
        server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
