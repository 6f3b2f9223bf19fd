"""The HTTP server of the bench: one short answer per connection, as fast as Python can without threads.

Runs as processes of its own inside a box: ``python bench/responder.py PORT READY-FILE``. Each process
accepts, reads once, answers and closes. The kernel hands a connection over only when its request is
there (TCP_DEFER_ACCEPT), so none of the calls waits; the last segment carries the answer and the FIN.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

PROCESSES = 2
BODY = b"lasthop\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)
_DEFER_S = 5


def answer_all(listening: socket.socket) -> None:
    """Answer one connection after the other, for ever."""
    while True:
        connection, _ = listening.accept()
        try:
            if connection.recv(4096):
                connection.send(ANSWER, socket.MSG_MORE)
        except OSError:
            pass  # the client went away; the next one is waiting
        finally:
            connection.close()


def main(port: int, ready: Path) -> None:
    """Listen, fork, answer; `ready` appears once the port is open."""
    listening = socket.create_server(("0.0.0.0", port), backlog=8192)  # noqa: S104 - inside a namespace
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_S)
    ready.touch()
    for _ in range(PROCESSES - 1):
        if os.fork() == 0:
            break
    answer_all(listening)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
