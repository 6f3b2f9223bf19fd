"""The inner director starts with an empty table while connections live: what finds its firewall again, and what not.

The firewalls accept a response only where its request crossed. When the client speaks first, its request brings the
firewall along; when the server does, the director has the rendezvous choice and nothing else. Whether that is the
firewall of the connection depends on who chose it: the outer director's rendezvous, or a scheduler that knows loads.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import firewall, symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.layout import WWW_ADDRESS
from lasthop.lab.namespace import inside
from lasthop.lab.topology import Blueprint
from tests.lab.conversations import Held
from tests.lab.settings import edit
from tests.oracles import pair_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology

CLIENTS = 24
PORT = 8080
PATIENCE_S = 1.0

pytestmark = pytest.mark.parametrize(
    "lab", [Blueprint(clients=CLIENTS, balancing=Balancing(connections=20_000))], indirect=True, scope="module"
)


class Audience:
    """Clients with a TCP connection each, which listen, and a server that talks to all of them when told to."""

    def __init__(self, lab: Topology) -> None:
        with inside(lab.namespace("www")):
            self._listening = socket.create_server((str(WWW_ADDRESS), PORT), backlog=CLIENTS)
        self._clients: dict[str, socket.socket] = {}
        self._speaking: list[socket.socket] = []
        for client in map(str, lab.layout.clients):
            with inside(lab.namespace("client")):
                self._clients[client] = socket.create_connection((str(WWW_ADDRESS), PORT), PATIENCE_S, (client, 0))
            self._speaking.append(self._listening.accept()[0])
        self._said = 0

    def heard(self) -> set[str]:
        """Say something to all; the clients that hear it."""
        self._said += 1
        for sock in self._speaking:
            sock.sendall(bytes([self._said]))
        return {client for client, sock in self._clients.items() if self._hears(sock)}

    def firewalls(self, lab: Topology) -> dict[str, str]:
        """The firewall that each client's connection crosses."""
        ends = {sock.getsockname() for sock in self._clients.values()}
        return {
            entry.key[1]: name
            for name in lab.layout.firewalls
            for entry in firewall.tracked(lab.namespace(name))
            if (entry.key[1], entry.key[2]) in ends
        }

    def _hears(self, sock: socket.socket) -> bool:
        try:
            return sock.recv(1) == bytes([self._said])
        except TimeoutError:
            return False

    def close(self) -> None:
        for sock in (self._listening, *self._speaking, *self._clients.values()):
            sock.close()


@contextmanager
def audience(lab: Topology) -> Iterator[Audience]:
    made = Audience(lab)
    try:
        yield made
    finally:
        made.close()


def schedule(lab: Topology, scheduler: str) -> None:
    edit(lab, {"kind": "edit_service", "service": "FWM 1", "scheduler": scheduler, "scheduler_flags": []})


def lose_table(lab: Topology) -> None:
    """As after a crash of the machine: the inner director is there again, and knows nobody."""
    director = lab.directors["lb2"]
    before = director.client.count_connections()
    director.end()
    director.detach()
    director.start()
    director.wait_ready()
    # What ends of connections that are over send again meanwhile is taken up anew.
    assert director.client.count_connections() < before / 2


def by_rendezvous(lab: Topology, client: str) -> str:
    return pair_hash.chosen([(name, 1, True) for name in lab.layout.firewalls], client, str(WWW_ADDRESS))


def test_with_rendezvous_every_response_finds_its_firewall_though_the_table_is_lost(lab: Topology) -> None:
    schedule(lab, "rendezvous")
    with audience(lab) as all_of_them:
        assert len(all_of_them.heard()) == CLIENTS
        assert len(set(all_of_them.firewalls(lab).values())) > 1
        lose_table(lab)
        assert len(all_of_them.heard()) == CLIENTS


def test_with_wlc_those_responses_find_it_whose_firewall_rendezvous_names(lab: Topology) -> None:
    """Of four firewalls about a quarter; the others are the price of an inner director that lost its table."""
    schedule(lab, "wlc")
    with audience(lab) as all_of_them:
        assert len(all_of_them.heard()) == CLIENTS
        crossed = all_of_them.firewalls(lab)
        lose_table(lab)
        kept = all_of_them.heard()
    assert kept == {client for client, name in crossed.items() if name == by_rendezvous(lab, client)}
    assert len(kept) < CLIENTS


@pytest.mark.parametrize("scheduler", ["rendezvous", "wlc", "rr"])
def test_where_the_client_speaks_first_every_connection_is_kept_whoever_scheduled_it(
    lab: Topology, scheduler: str
) -> None:
    schedule(lab, scheduler)
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        held.open(2 * CLIENTS)
        lose_table(lab)
        attempts = held.asked()
    assert [attempt.problem for attempt in attempts if not attempt.completed] == []
    assert not symmetry.judge(lab, attempts).asymmetric
