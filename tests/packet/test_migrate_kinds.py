"""While the table is being resized, connections of every kind are found in either table, by all that asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import GRE

from lasthop.dataplane import abi
from lasthop.dataplane.kernel import now_ns
from lasthop.dataplane.libbpf import run_syscall
from lasthop.dataplane.loader import Role
from lasthop.model.service import Related
from tests.packet.conftest import CONNECTIONS
from tests.packet.frames import CLIENT, WWW, echo, error, reply, sctp, tcp, udp
from tests.packet.frames6 import WWW6, back, echo6, error6, fragments6, sctp6, tcp6, udp6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, two_box
from tests.packet.rig import Rig, forwarded

if TYPE_CHECKING:
    from collections.abc import Iterator

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)


def bare(number: int, payload: Any, *, answer: bool = False) -> Any:
    source, destination = (WWW, CLIENT) if answer else (CLIENT, WWW)
    return IP(src=source, dst=destination, proto=number) / payload


TUNNEL = bytes(GRE(key_present=1, key=70000, proto=0x800)) + bytes(8)
#: What opens, what answers, and an error about the opening.
KINDS = {
    "tcp": (tcp(), reply(tcp())),
    "udp": (udp(), reply(udp())),
    "sctp": (sctp(), reply(sctp())),
    "echo": (echo(), reply(echo())),
    "gre": (bare(47, TUNNEL), bare(47, TUNNEL, answer=True)),
    "esp": (bare(50, bytes(20)), bare(50, bytes(20), answer=True)),
    "ipv6 tcp": (tcp6(), back(tcp6())),
    "ipv6 udp": (udp6(), back(udp6())),
    "ipv6 sctp": (sctp6(), back(sctp6())),
    "ipv6 echo": (echo6(), back(echo6())),
}


@pytest.fixture(scope="module")
def resizing(namespace: None) -> Iterator[Rig]:
    """Programs that look in both tables and insert in the next one."""
    rig = Rig(CONNECTIONS, Role.NEXT, CONNECTIONS)
    yield rig
    rig.close()


@pytest.fixture
def both(resizing: Rig, entry: str) -> Rig:
    resizing.reset()
    resizing.entry = entry
    resizing.publish(two_box(firewalls(), "rr", related=Related.ADDRESS_PAIR))
    return resizing


def put_back(rig: Rig) -> None:
    """All connections are in the main table, as before the resize; both tables have a key at the same place."""
    types = abi.types()
    for main, following, dtype in (("entries", "next_entries", "connection"), ("tags", "next_tags", "bucket")):
        old, new = (rig.maps[name].view(types.struct(dtype)) for name in (main, following))
        old[:] = new
        new[:] = np.zeros(1, types.struct(dtype))


def move(rig: Rig) -> int:
    """Run lh_move over all slots; how many were moved."""
    moved = np.zeros(1, abi.types().struct("slice"))
    moved["now_ns"], moved["count"] = now_ns(), len(rig.entries)
    assert run_syscall(rig.loaded.programs["lh_move"], moved) == 0
    return int(moved["connections"][0])


@pytest.mark.parametrize(("opening", "answer"), KINDS.values(), ids=KINDS)
def test_packets_and_errors_of_every_kind_find_their_connection_before_and_after_it_moves(
    both: Rig, opening: Any, answer: Any
) -> None:
    assert both.send("outside", opening, ROUTER) == forwarded("OPENING", FW0)
    put_back(both)
    about = error6(opening, WWW6) if opening.version == 6 else error(opening, WWW)
    for _ in range(2):
        assert both.send("outside", opening, ROUTER) == forwarded("REQUEST", FW0)
        assert both.send("firewalls", answer, FW[0]) == forwarded("RESPONSE", BACK)
        assert both.send("firewalls", about, FW[3]) == forwarded("RELATED", BACK)
        move(both)


def test_later_fragments_find_their_connection_in_either_table(both: Rig) -> None:
    first, second, third = fragments6(udp6() / bytes(2500), 1000, 7)
    assert both.send("outside", first, ROUTER) == forwarded("OPENING", FW0)
    put_back(both)
    assert both.send("outside", second, ROUTER) == forwarded("FRAGMENT", FW0)
    assert move(both) == 1
    assert both.send("outside", third, ROUTER) == forwarded("FRAGMENT", FW0)


def test_related_connections_are_found_in_either_table(both: Rig) -> None:
    both.send("outside", tcp(), ROUTER)
    put_back(both)
    assert both.send("outside", udp(), ROUTER) == forwarded("OPENING", FW0, EVENT_RELATED=1)
    assert move(both) == 1
    assert both.send("outside", echo(), ROUTER) == forwarded("OPENING", FW0, EVENT_RELATED=1)


def test_the_last_hop_is_followed_in_either_table(both: Rig) -> None:
    both.send("outside", tcp6(), ROUTER)
    put_back(both)
    moved = both.send("outside", tcp6("A"), STRANGER)
    assert moved == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1, EVENT_HOP_LEARNED=1)
    assert move(both) == 1
    assert both.send("firewalls", back(tcp6()), FW[0]) == forwarded("RESPONSE", ("outside", STRANGER))
    assert both.send("outside", tcp6("A"), ROUTER) == forwarded("REQUEST", FW0, EVENT_LAST_HOP_MOVED=1)
