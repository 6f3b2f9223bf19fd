"""LVS-DR: services by address, real servers that answer clients past the director."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.namespace import run_inside
from lasthop.lab.traffic import Drip, curl, echo_udp, open_http
from lasthop.lab.waiting import wait_until
from tests.lab.conversations import Held, UdpConversation
from tests.lab.direct_routing import (
    CLIENT_ADDRESSES,
    PATIENCE_S,
    SERVERS,
    SERVICE,
    DirectRouting,
    built,
    past_the_director,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.api.client import Client
    from lasthop.lab.topology import Topology

PAIRS = [(client, SERVICE) for client in CLIENT_ADDRESSES]
ADDRESSES = [str(address) for address in SERVERS.values()]
TCP, UDP = f"{SERVICE}:80", f"{SERVICE}:7"
SETUP = [
    f"-A -t {TCP} -s rr",
    *(f"-a -t {TCP} -r {address}:80 -g" for address in ADDRESSES),
    f"-A -u {UDP} -s rr",
    *(f"-a -u {UDP} -r {address}:7 -g" for address in ADDRESSES),
]


@pytest.fixture(scope="module", params=[LegModes.TC, LegModes.XDP])
def lab(request: pytest.FixtureRequest) -> Iterator[Topology]:
    blueprint = DirectRouting(balancing=Balancing(request.param, connections=20_000))
    with built(blueprint) as made:
        for line in SETUP:
            ipvsadm(made, line)
        made.directors["lb"].wait_ready()
        yield made


def ipvsadm(lab: Topology, line: str) -> str:
    command = [sys.executable, "-m", "lasthop", "--director", lab.directors["lb"].name, "ipvsadm", *line.split()]
    return run_inside(lab.namespace("lb"), command)


def servers_of(client: Client, ports: list[int]) -> list[str]:
    """The real server of each connection, by the client's port; it is called as it was typed: by its address."""
    known = {each["source_port"]: each["real_server"] for each in client.connections()}
    return [known[port] for port in ports]


def test_clients_are_answered_by_the_real_servers_past_the_director(lab: Topology) -> None:
    with past_the_director(lab) as taken:
        attempts = open_http(lab.namespace("client"), PAIRS, 60)
        attempts += echo_udp(lab.namespace("client"), PAIRS, 30)
    assert [f"{attempt}: {attempt.problem}" for attempt in attempts if not attempt.completed] == []
    for label, count in (("TCP", 60), ("UDP", 30)):
        shared = Counter(
            servers_of(
                lab.directors["lb"].client,
                [attempt.source_port for attempt in attempts if attempt.protocol.upper() == label],
            )
        )
        assert set(shared.values()) == {count // 3}, shared
    forwarded = [frame for frame in taken.frames if not frame.towards_director]
    assert len(forwarded) > 200
    assert str(SERVICE) not in sources(taken.frames), "no response passes the director"
    assert lab.directors["lb"].client.status()["unexpected"] == {}


def test_what_was_typed_is_listed_with_the_ports_of_the_services(lab: Topology) -> None:
    assert ipvsadm(lab, "-S -n").splitlines() == [
        f"-A -t {TCP} -s rr",
        *(f"-a -t {TCP} -r {address}:80 -g -w 1" for address in ADDRESSES),
        f"-A -u {UDP} -s rr",
        *(f"-a -u {UDP} -r {address}:7 -g -w 1" for address in ADDRESSES),
    ]


def state_of(lab: Topology, end: str) -> str:
    """The state of the connection that a client's address and port opened, as ipvsadm shows it."""
    (found,) = (words for line in ipvsadm(lab, "-Lnc").splitlines() if end in (words := line.split()))
    return found[2]


def test_a_connection_is_established_and_then_in_fin_wait_by_its_requests_alone(lab: Topology) -> None:
    client = lab.directors["lb"].client
    with Held(lab.namespace("client"), PAIRS) as held:
        (port,) = held.open()
        end = f"{CLIENT_ADDRESSES[0]}:{port}"
        assert state_of(lab, end) == "ESTABLISHED"
        assert active(client) == 1
        (attempt,) = held.asked()
    assert attempt.completed, attempt.problem
    assert wait_until(lambda: state_of(lab, end) == "FIN_WAIT", timeout=PATIENCE_S), state_of(lab, end)
    assert active(client) == 0
    (connection,) = [each for each in client.connections() if each["source_port"] == port]
    assert connection["packets"]["request"] >= 4
    assert connection["packets"]["response"] == 0


def active(client: Client) -> int:
    """Active connections to the web servers."""
    (told,) = (each for each in client.services() if each["service"] == f"TCP {TCP}")
    return int(told["active"])


def test_a_real_server_of_weight_0_keeps_its_transfer_while_new_ones_go_elsewhere(lab: Topology) -> None:
    client = lab.directors["lb"].client
    with Drip(lab.namespace("client"), PAIRS[0]) as drip:
        assert wait_until(lambda: drip.received > 0, timeout=PATIENCE_S)
        (address,) = servers_of(client, [drip.port])
        ipvsadm(lab, f"-e -t {TCP} -r {address}:80 -g -w 0")
        attempts = open_http(lab.namespace("client"), PAIRS, 20)
        before = drip.received
        assert wait_until(lambda: drip.received > before + 10_000, timeout=PATIENCE_S), "the transfer goes on"
        assert servers_of(client, [drip.port]) == [address]
        others = servers_of(client, [attempt.source_port for attempt in attempts])
        ipvsadm(lab, f"-e -t {TCP} -r {address}:80 -g -w 1")
    assert [attempt.problem for attempt in attempts] == [""] * 20
    # Who has no weight gives its turns to the next.
    assert set(others) == set(ADDRESSES) - {address}
    assert drip.attempt is not None
    assert drip.attempt.completed, drip.attempt.problem


def test_curl_works_and_a_udp_conversation_stays_with_its_real_server(lab: Topology) -> None:
    client = lab.directors["lb"].client
    assert [attempt.problem for attempt in curl(lab.namespace("client"), PAIRS[0], 4)] == [""] * 4
    with UdpConversation(lab.namespace("client"), PAIRS[1]) as talk:
        assert [talk.answered() for _ in range(5)] == [True] * 5
        (connection,) = [each for each in client.connections() if each["source_port"] == talk.port]
    assert (connection["protocol"], connection["packets"]) == ("udp", {"request": 5, "response": 0})


def test_a_director_that_has_the_address_itself_forwards_all_the_same(lab: Topology) -> None:
    lab.run("lb", "ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
    try:
        attempts = open_http(lab.namespace("client"), PAIRS, 12)
        assert [attempt.problem for attempt in attempts] == [""] * 12
        shared = servers_of(lab.directors["lb"].client, [attempt.source_port for attempt in attempts])
        assert Counter(shared) == dict.fromkeys(ADDRESSES, 4)
    finally:
        lab.run("lb", "ip", "address", "delete", f"{SERVICE}/32", "dev", "lo")
