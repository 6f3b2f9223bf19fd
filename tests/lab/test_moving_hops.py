"""Routers that move to another MAC address, send from one and listen at another, or are two on one network.

Of a conversation a datagram of the client opens it; what the server then says goes by the last hop alone.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.director_files import Balancing
from lasthop.lab.layout import CLIENTS, SERVERS, WWW_ADDRESS
from lasthop.lab.namespace import inside
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 20
#: Of UDP, which the lab's firewalls let pass.
PORT = 53
BLUEPRINT = Blueprint(firewalls=2, clients=2, balancing=Balancing(connections=20_000))
#: How soon the kernel doubts a neighbour it does not hear, and asks.
SOON = {
    "base_reachable_time_ms": 1000,
    "interval_probe_time_ms": 500,
    "delay_first_probe_time": 1,
    "retrans_time_ms": 100,
}
MOVED, VIRTUAL = "02:00:c0:00:02:99", "00:00:5e:00:01:0a"


class Monologue:
    """A client that asks once and listens, and a server that talks when told to."""

    def __init__(self, lab: Topology) -> None:
        with inside(lab.namespace("www")):
            self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._server.bind((str(WWW_ADDRESS), PORT))
        with inside(lab.namespace("client")):
            self._client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._client.bind((str(CLIENTS[11]), 0))
        self._client.connect((str(WWW_ADDRESS), PORT))
        for end in (self._server, self._client):
            end.settimeout(1)
        self.ask()

    def ask(self) -> None:
        """The client's next datagram."""
        self._client.send(b"question")
        _, self._asker = self._server.recvfrom(100)

    def heard(self) -> bool:
        """Whether what the server says now arrives."""
        self._server.sendto(b"answer", self._asker)
        try:
            return self._client.recv(100) == b"answer"
        except TimeoutError:
            return False

    def close(self) -> None:
        self._server.close()
        self._client.close()


@contextmanager
def monologue(lab: Topology) -> Iterator[Monologue]:
    talk = Monologue(lab)
    try:
        yield talk
    finally:
        talk.close()


def counted(lab: Topology, name: str) -> int:
    return next(int(row["value"]) for row in lab.directors["lb1"].client.counters() if row["name"] == name)


def hops_at(lab: Topology, mac: str) -> list[dict[str, object]]:
    return [hop for hop in lab.directors["lb1"].client.hops() if hop["mac"] == mac]


def last_hop(lab: Topology) -> str:
    """MAC address of the last hop of the one connection to the port."""
    rows = lab.directors["lb1"].client.connections()
    (row,) = [row for row in rows if row["destination_port"] == PORT]
    return str(row["last_hop"]["mac"])


def rewrite(lab: Topology, **legs: str) -> None:
    """Put lines into the tables of legs of the outer director's file, and apply it."""
    director = lab.directors["lb1"]
    text = director.file.read_text()
    for leg, lines in legs.items():
        text = text.replace(f'name = "{leg}"\n', f'name = "{leg}"\n{lines}\n', 1)
    director.client.apply(str(director.file), text)


@pytest.fixture
def lab() -> Iterator[Topology]:
    """A topology of its own for each test: routers do not come back from where they moved."""
    with Topology(BLUEPRINT) as built:
        built.serve()
        yield built


def test_a_gratuitous_arp_of_the_router_moves_its_connections_before_any_request(lab: Topology) -> None:
    with monologue(lab) as talk:
        assert talk.heard()
        lab.run("ro", "sysctl", "-qw", "net.ipv4.conf.outside.arp_notify=1")
        lab.run("ro", "ip", "link", "set", "outside", "address", MOVED)
        assert wait_until(lambda: hops_at(lab, MOVED), timeout=PATIENCE_S)
        assert talk.heard(), "the first response after the move"
        assert (last_hop(lab), counted(lab, "event_last_hop_moved")) == (MOVED, 0)
        assert hops_at(lab, MOVED)[0]["moved"] == 1


def test_without_a_gratuitous_arp_the_first_request_moves_its_connection(lab: Topology) -> None:
    with monologue(lab) as talk:
        assert talk.heard()
        lab.run("ro", "ip", "link", "set", "outside", "address", MOVED)
        talk.ask()
        assert talk.heard(), "the first response after the request"
        assert last_hop(lab) == MOVED


def test_with_neither_the_responses_are_lost_until_the_kernel_asks_for_the_router_again() -> None:
    """A minute by default, sooner here; a request would have told at once."""
    with Topology(BLUEPRINT, start_directors=False) as lab:
        lab.serve()
        for name, value in SOON.items():
            lab.run("lb1", "sysctl", "-qw", f"net.ipv4.neigh.outside.{name}={value}")
        lab.start_directors()
        with monologue(lab) as talk:
            assert talk.heard()
            lab.run("ro", "ip", "link", "set", "outside", "address", MOVED)
            assert wait_until(talk.heard, timeout=PATIENCE_S)
            assert (last_hop(lab), counted(lab, "event_last_hop_moved")) == (MOVED, 0)


def test_a_router_that_sends_from_its_physical_mac_is_answered_at_its_virtual_one(lab: Topology) -> None:
    """As HSRP and VRRP routers do: the address that hosts send to is at another MAC than frames come from."""
    physical = lab.layout.port("ro", "outside").mac
    # As those protocols do, the new interface says by a gratuitous ARP where its address is; no other answers for it.
    lab.run("ro", "sysctl", "-qw", "net.ipv4.conf.default.arp_notify=1", "net.ipv4.conf.all.arp_ignore=1")
    for command in (
        "address flush dev outside",
        "address add 192.0.2.3/24 dev outside",
        f"link add vrrp link outside address {VIRTUAL} type macvlan mode bridge",
        "address add 192.0.2.1/24 dev vrrp",
        "link set vrrp up",
        f"route replace {SERVERS} via 192.0.2.2 dev outside src 192.0.2.3",
    ):
        lab.run("ro", "ip", *command.split())
    rewrite(lab, outside='reply_to = "neighbour"\ngateway = "192.0.2.1"')
    assert wait_until(lambda: hops_at(lab, VIRTUAL), timeout=PATIENCE_S)
    with monologue(lab) as talk:
        assert talk.heard()
        assert last_hop(lab) == VIRTUAL
        talk.ask()
        assert last_hop(lab) == VIRTUAL, "a request from the physical address moves nothing"
        assert counted(lab, "event_last_hop_moved") == 0
    assert all(each.completed for each in open_http(lab.namespace("client"), lab.layout.outwards, 20))
    assert not [hop for hop in hops_at(lab, physical) if hop["connections"]]


def test_a_strict_leg_gives_unknown_senders_no_connection_and_they_are_served_all_the_same(lab: Topology) -> None:
    rewrite(lab, outside="strict = true")
    with monologue(lab) as talk:
        assert talk.heard()
        # The router asks for the director by ARP before it sends: nobody is to be known by that.
        router = lab.layout.port("ro", "outside").mac
        lab.run("lb1", *f"ip neigh replace 192.0.2.1 lladdr {router} nud permanent dev outside".split())
        lab.run("ro", "ip", "link", "set", "outside", "address", MOVED)
        talk.ask()
        assert last_hop(lab) != MOVED
        assert counted(lab, "event_hop_move_denied") == 1


def test_of_two_routers_on_one_leg_each_gets_the_responses_to_what_it_sent(lab: Topology) -> None:
    """Whatever the routes say: the second router's clients are behind it and nowhere else."""
    second = "02:00:c0:00:02:03"
    behind = CLIENTS[12]
    for command in (
        f"link add second link outside address {second} type macvlan mode bridge",
        "address add 192.0.2.3/24 dev second",
        "link set second up",
        f"route add {SERVERS} via 192.0.2.2 dev second table 12",
        f"rule add from {behind} lookup 12",
    ):
        lab.run("ro", "ip", *command.split())
    attempts = open_http(lab.namespace("client"), lab.layout.outwards, 20)
    assert [each.problem for each in attempts if not each.completed] == []
    rows = lab.directors["lb1"].client.connections()
    macs = {(row["source"], row["last_hop"]["mac"]) for row in rows if row["protocol"] == "tcp"}
    assert macs == {(str(CLIENTS[11]), lab.layout.port("ro", "outside").mac), (str(behind), second)}
