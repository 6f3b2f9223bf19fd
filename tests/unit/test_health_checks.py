"""Each kind of health check against a server that does, or does not do, what it should, on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from lasthop.health import dns as dns_check
from lasthop.health import http, script, tcp, udp
from lasthop.health.ping import Pings
from lasthop.health.probe import Asked
from lasthop.model.health import Check, HealthCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOPBACKS = ["127.0.0.1", "::1"]


def asked(check: Check, address: str = "127.0.0.1", port: int = 0, **how: Any) -> Asked:
    made = HealthCheck(check, **({"timeout": 2.0, "interval": 2.0} | how))
    return Asked("FWM 1", "fw1", ip_address("10.0.1.11"), ip_address(address), port, made)


def said(probe: Any, what: Asked) -> str:
    """What the check finds; a check that does not end is a failure of the test."""

    async def once() -> str:
        async with asyncio.timeout(20):
            found: str = await probe(what)
            return found

    return asyncio.run(once())


@contextmanager
def closed_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    """A port of which nobody listens, and nobody can begin to."""
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class Page(BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    def do_GET(self) -> None:
        status, body = (200, b"all is well") if self.path == "/ready?deep=1" else (503, b"not today")
        if self.path == "/host":
            status, body = 200, self.headers["Host"].encode()
        if self.path == "/endless":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@pytest.fixture
def page() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """A UDP server that answers one datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def work() -> None:
            data, sender = server.recvfrom(2048)
            server.sendto(answer(data), sender)

        thread = threading.Thread(target=work)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("address", LOOPBACKS)
def test_tcp_is_answered_by_whoever_takes_the_connection(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        assert said(tcp.probe, asked(Check.TCP, address, server.getsockname()[1])) == ""


def test_a_port_that_nobody_listens_on_is_refused_in_words() -> None:
    with closed_port() as port:
        for probe, check in ((tcp.probe, Check.TCP), (http.probe, Check.HTTP)):
            assert "refused" in said(probe, asked(check, port=port)).lower()


def test_http_wants_the_status_and_the_body_that_are_configured(page: int) -> None:
    def http_said(**how: Any) -> str:
        return said(http.probe, asked(Check.HTTP, port=page, **how))

    assert http_said(path="/ready?deep=1") == ""
    assert http_said(path="/ready?deep=1", body="well$") == ""
    assert http_said(path="/ready?deep=1", body="broken") == "the body does not match 'broken'"
    assert http_said(path="/other") == "HTTP status 503"
    assert http_said(path="/other", status=((200, 299), (503, 503)), body="not") == ""
    assert http_said(path="/endless").startswith("no HTTP answer: ")


def test_http_names_the_host_it_was_told_else_the_address(page: int) -> None:
    assert said(http.probe, asked(Check.HTTP, port=page, path="/host", host="www.example.com", body="^www.e")) == ""
    assert said(http.probe, asked(Check.HTTP, port=page, path="/host", body=r"^127\.0\.0\.1$")) == ""


def test_https_to_a_server_without_tls_is_a_problem_in_words(page: int) -> None:
    assert said(http.probe, asked(Check.HTTPS, port=page)).startswith("TLS: ")


def test_udp_needs_the_expected_answer_or_at_least_no_icmp_error() -> None:
    with answering(lambda data: b"I am " + data) as port:
        assert said(udp.probe, asked(Check.UDP, port=port, send="well", expect="^I am well$")) == ""
    with answering(lambda _: b"no") as port:
        assert (
            said(udp.probe, asked(Check.UDP, port=port, send="x", expect="yes"))
            == "the answer 'no' does not match 'yes'"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert said(udp.probe, asked(Check.UDP, port=silent.getsockname()[1], timeout=0.2)) == ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    assert "refused" in said(udp.probe, asked(Check.UDP, port=port)).lower()


def dns_answer(rcode: dns.rcode.Rcode, *, other: bool = False) -> Callable[[bytes], bytes]:
    def answer(data: bytes) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(data))
        response.set_rcode(rcode)
        if other:
            response.id ^= 1
        return response.to_wire()

    return answer


def test_dns_takes_every_answer_but_a_failure_of_the_server() -> None:
    def dns_said(answer: Callable[[bytes], bytes]) -> str:
        with answering(answer) as port:
            return said(dns_check.probe, asked(Check.DNS, port=port, name="www.example.com", record="A"))

    assert dns_said(dns_answer(dns.rcode.NOERROR)) == ""
    assert dns_said(dns_answer(dns.rcode.NXDOMAIN)) == ""
    assert dns_said(dns_answer(dns.rcode.SERVFAIL)) == "the server says SERVFAIL"
    assert dns_said(dns_answer(dns.rcode.NOERROR, other=True)) == "the answer is to another question"
    assert dns_said(lambda _: b"?").startswith("no DNS answer: ")


def test_a_script_answers_by_its_exit_status_and_is_told_whom_to_ask() -> None:
    def script_said(*command: str) -> str:
        return said(script.probe, asked(Check.SCRIPT, command=command))

    assert script_said("true") == ""
    assert script_said("false") == "exit status 1"
    assert script_said("sh", "-c", "echo it is $LASTHOP_REAL_SERVER at $LASTHOP_ADDRESS; exit 3") == (
        "exit status 3: it is fw1 at 10.0.1.11"
    )
    weighed = asked(Check.SCRIPT, command=("sh", "-c", "exit 22"), weight_by_status=True)
    assert asyncio.run(script.probe(weighed)) == 20
    assert script_said("sh", "-c", "exit 22") == "exit status 22"
    assert script_said("/no/such/program").startswith("can't run /no/such/program: No such file")


def test_a_script_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = f"import os, time; f = os.open({str(fifo)!r}, os.O_WRONLY); os.fork(); os.write(f, b'x'); time.sleep(60)"
    what = asked(Check.SCRIPT, command=(sys.executable, "-c", program))
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def read() -> bytes:
        assert select.select([reading], [], [], 10)[0], "nobody writes, nobody ends"
        return os.read(reading, 1)

    async def cut_short() -> None:
        task = asyncio.create_task(script.probe(what))
        for _ in range(2):
            assert await asyncio.to_thread(read) == b"x"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut_short())
    assert read() == b"", "nobody is left who could write"
    os.close(reading)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: raw sockets")
@pytest.mark.parametrize("address", LOOPBACKS)
def test_ping_is_answered_and_many_at_once_are_told_apart(address: str) -> None:
    async def many() -> list[str]:
        pings = Pings()
        try:
            async with asyncio.timeout(20):
                return await asyncio.gather(*(pings.probe(asked(Check.PING, address)) for _ in range(200)))
        finally:
            pings.close()

    assert asyncio.run(many()) == [""] * 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: raw sockets")
def test_a_ping_without_an_answer_is_followed_by_one_that_is_told_apart_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is on the way may have taken the first for something else, and keep to that while its like comes."""
    sent: list[bytes] = []

    class Wire:
        answers = True

        def sendto(self, message: bytes, _: object) -> None:
            sent.append(message[4:6])
            if self.answers:
                pings._waiting[message[8:]].set_result(None)

    async def several(count: int) -> None:
        for _ in range(count):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await pings.probe(asked(Check.PING))

    pings, wire = Pings(), Wire()
    monkeypatch.setattr(pings, "_socket", lambda _: wire)
    asyncio.run(several(4))
    assert len(set(sent)) == 1
    sent.clear()
    wire.answers = False
    asyncio.run(several(4))
    assert len(set(sent)) > 1


def test_ping_to_nowhere_says_why() -> None:
    async def once() -> str:
        pings = Pings()
        try:
            return await pings.probe(replace(asked(Check.PING), address=ip_address("255.255.255.255")))
        finally:
            pings.close()

    assert asyncio.run(once()) in {"Permission denied", "Network is unreachable"}
