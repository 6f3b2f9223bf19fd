"""Traffic: connections opened inside a box, one result each.

Owns the openers: HTTP (fast, or with curl) and UDP echo; ICMP echo is `lasthop.lab.ping`'s. What the firewalls saw of
it is `lasthop.lab.symmetry`'s question.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lasthop.lab.namespace import inside
from lasthop.lab.servers import DRIP, ECHO_PORT, HTTP_PORT
from lasthop.lab.waiting import patience

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from lasthop.lab.firewall import ConnectionKey

    Address = IPv4Address | IPv6Address

#: How many connections are open at once; the servers are threads, and machines are small.
PARALLEL = 64
#: What is lost is never answered; what is only late on a busy machine is.
TIMEOUT = patience(15.0)
#: Ports are told rather than left to the kernel: it may take one again at once, and a judgement about a
#: connection must not be about two of them. Whoever opens connections in a test takes the next of these. Their
#: number is a prime, so that a client which takes turns with others has used all of them before one comes again.
PORTS = itertools.cycle(range(10_245, 65_536))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection that was tried, as its originator saw it."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    problem: str = ""
    """Empty: the right answer came, and the far end saw the originator's own address and port."""

    @property
    def completed(self) -> bool:
        """Whether the right answer came."""
        return not self.problem

    @property
    def key(self) -> ConnectionKey:
        """How firewalls and directors name the connection."""
        return self.protocol, self.source, self.source_port, self.destination, self.destination_port

    def __str__(self) -> str:
        return f"{self.protocol} {self.source}:{self.source_port} → {self.destination}:{self.destination_port}"


def open_http(
    namespace: str,
    pairs: Sequence[tuple[Address, Address]],
    count: int,
    *,
    path: str = "/",
    parallel: int = PARALLEL,
    timeout: float = TIMEOUT,
) -> list[Attempt]:
    """Open `count` HTTP connections from `namespace`, cycling through (source, destination) `pairs`."""
    turns = itertools.islice(itertools.cycle(pairs), count)
    return _run_all(namespace, (_http(pair, path, timeout) for pair in turns), parallel)


def echo_udp(
    namespace: str, pairs: Sequence[tuple[Address, Address]], count: int, *, timeout: float = TIMEOUT
) -> list[Attempt]:
    """Send `count` datagrams from a port each and wait for their echoes."""
    turns = itertools.islice(itertools.cycle(pairs), count)
    return _run_all(namespace, (_udp(pair, timeout) for pair in turns), PARALLEL)


def _run_all(namespace: str, jobs: Iterator[Coroutine[None, None, Attempt]], parallel: int) -> list[Attempt]:
    async def work(results: list[Attempt]) -> None:
        for job in jobs:
            results.append(await job)  # noqa: PERF401 - several of these take turns at the one iterator

    async def all_of_it() -> list[Attempt]:
        results: list[Attempt] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(parallel):
                group.create_task(work(results))
        return results

    with inside(namespace):
        return asyncio.run(all_of_it())


async def _http(pair: tuple[Address, Address], path: str, patience: float) -> Attempt:
    source, destination = map(str, pair)
    loop = asyncio.get_running_loop()
    problem = ""
    with socket.socket(_family(pair), socket.SOCK_STREAM) as sock:
        _bind(sock, source)
        try:
            async with asyncio.timeout(patience):
                await loop.sock_connect(sock, (destination, HTTP_PORT))
                await loop.sock_sendall(sock, f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = bytearray()
                while data := await loop.sock_recv(sock, 1 << 16):
                    answer += data
            problem = _judge(bytes(answer), path, f"{source}:{sock.getsockname()[1]}\n")
        except TimeoutError:
            problem = f"no answer within {patience:g} s"
        except OSError as error:
            problem = error.strerror or str(error)
        return Attempt("tcp", source, sock.getsockname()[1], destination, HTTP_PORT, problem)


def _family(pair: tuple[Address, Address]) -> socket.AddressFamily:
    return socket.AF_INET if pair[0].version == 4 else socket.AF_INET6  # noqa: PLR2004 - the family's own number


def _bind(sock: socket.socket, source: str) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((source, next(PORTS)))


def _judge(answer: bytes, path: str, seen_as: str) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return "cut short" if not head else head.partition(b"\r\n")[0].decode(errors="replace")
    if path.startswith("/bytes/"):
        wanted = int(path.removeprefix("/bytes/"))
        return "" if len(body) == wanted else f"{len(body)} bytes of {wanted}"
    return "" if body.decode() == seen_as else f"the server saw {body.decode(errors='replace').strip()}"


async def _udp(pair: tuple[Address, Address], patience: float) -> Attempt:
    source, destination = map(str, pair)
    loop = asyncio.get_running_loop()
    problem = ""
    with socket.socket(_family(pair), socket.SOCK_DGRAM) as sock:
        _bind(sock, source)
        sock.connect((destination, ECHO_PORT))
        question = os.urandom(32)
        try:
            async with asyncio.timeout(patience):
                await loop.sock_sendall(sock, question)
                if await loop.sock_recv(sock, 2048) != question:
                    problem = "another answer than what was sent"
        except TimeoutError:
            problem = f"no answer within {patience:g} s"
        except OSError as error:
            problem = error.strerror or str(error)
        return Attempt("udp", source, sock.getsockname()[1], destination, ECHO_PORT, problem)


def curl(namespace: str, pair: tuple[Address, Address], count: int, *, timeout: float = TIMEOUT) -> list[Attempt]:
    """Fetch the page `count` times with one curl, a connection each. Completed: curl says 200."""
    if count <= 0:
        return []
    source, destination = map(str, pair)
    host = destination if _family(pair) is socket.AF_INET else f"[{destination}]"
    ports = list(itertools.islice(PORTS, count))
    command = ["curl", "--parallel", "--parallel-immediate"]
    for port in ports:
        command += ["--silent", "--interface", source, "--local-port", str(port), "--max-time", f"{timeout:g}"]
        command += ["--write-out", f"{port} %{{http_code}} %{{errormsg}}\\n", "--output", "/dev/null"]
        command += [f"http://{host}/", "--next"]
    with inside(namespace):
        done = subprocess.run(command[:-1], capture_output=True, text=True, check=False)
    problems = dict.fromkeys(ports, "curl said nothing")
    for line in done.stdout.splitlines():
        number, code, problem = line.split(" ", 2)
        problems[int(number)] = "" if code == "200" else problem or f"HTTP status {code}"
    return [Attempt("tcp", source, port, destination, HTTP_PORT, problem) for port, problem in problems.items()]


class Continuous:
    """Short HTTP connections, one after the other, for the time of a `with` block; then `attempts` holds them."""

    def __init__(self, namespace: str, pairs: Sequence[tuple[Address, Address]]) -> None:
        self.attempts: list[Attempt] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(namespace, pairs))

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the last connections end."""
        self._over.set()
        self._thread.join()

    def _work(self, namespace: str, pairs: Sequence[tuple[Address, Address]]) -> None:
        def jobs() -> Iterator[Coroutine[None, None, Attempt]]:
            for pair in itertools.cycle(pairs):
                if self._over.is_set():
                    return
                yield self._noted(_http(pair, "/", TIMEOUT))

        _run_all(namespace, jobs(), 4)

    async def _noted(self, job: Coroutine[None, None, Attempt]) -> Attempt:
        attempt = await job
        self.attempts.append(attempt)
        return attempt


class Drip:
    """One long transfer from the web server, read for the time of a `with` block."""

    def __init__(self, namespace: str, pair: tuple[Address, Address]) -> None:
        self.received = 0
        """Bytes of the transfer so far."""
        self.attempt: Attempt | None = None
        """What became of it; None while it runs."""
        self.port = next(PORTS)
        """The client's."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(namespace, *map(str, pair)))

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._over.set()
        self._thread.join()

    def _work(self, namespace: str, source: str, destination: str) -> None:
        end = (source, self.port)
        with inside(namespace), socket.create_connection((destination, HTTP_PORT), TIMEOUT, end) as sock:
            sock.sendall(b"GET /drip HTTP/1.0\r\n\r\n")
            problem = self._follow(sock)
        self.attempt = Attempt("tcp", *end, destination, HTTP_PORT, problem)

    def _follow(self, sock: socket.socket) -> str:
        """Read until told to stop; return what was wrong with it."""
        stream = sock.makefile("rb")
        try:
            while (line := stream.readline()) not in {b"\r\n", b""}:
                if line.startswith(b"HTTP/") and b" 200 " not in line:
                    return line.decode(errors="replace").strip()
            while not self._over.is_set():
                piece = stream.read(len(DRIP))
                if piece != DRIP:
                    return f"broken after {self.received} bytes"
                self.received += len(piece)
        except OSError as error:
            return f"broken after {self.received} bytes: {error}"
        return ""
