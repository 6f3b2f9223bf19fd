"""Two CPUs at once with the same packets: one entry per connection, one real server for it, counters exact."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.dataplane import abi
from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, firewalls, mac_of, two_box

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.packet.rig import Rig

CONNECTIONS = 20_000
CPUS = sorted(os.sched_getaffinity(0))[:2]
needs_two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
Frame = tuple[str, bytes]


def ethernet(leg: str, source: str) -> bytes:
    return bytes.fromhex((mac_of(leg) + source).replace(":", "")) + b"\x08\x00"


def framed(leg: str, source: str, packet: Any) -> Callable[[int], bytes]:
    """The same packet with the client's port exchanged: a whole packet is too dear to make 20,000 times."""
    plain = ethernet(leg, source) + bytes(packet)
    offset = 34 if packet.sport == 40000 else 36
    return lambda port: plain[:offset] + port.to_bytes(2, "big") + plain[offset + 2 :]


def on_both_cpus(rig: Rig, ours: Sequence[Frame], theirs: Sequence[Frame]) -> tuple[list[bytes], list[bytes]]:
    """Send both lists at once, each from its own CPU; the frames afterwards."""
    start = threading.Barrier(2)
    results: list[list[bytes]] = [[], []]
    home = os.sched_getaffinity(0)

    def work(which: int, frames: Sequence[Frame]) -> None:
        os.sched_setaffinity(0, {CPUS[which]})
        start.wait(30)
        results[which].extend(rig.run(leg, frame)[1] for leg, frame in frames)

    threads = [threading.Thread(target=work, args=(i, frames)) for i, frames in enumerate((ours, theirs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.sched_setaffinity(0, home)
    return results[0], results[1]


@pytest.fixture
def crowd(large: Rig, entry: str) -> Rig:
    """The large data plane, empty, with four firewalls in turn."""
    large.reset()
    large.entry = entry
    large.publish(two_box(firewalls(), "rr"))
    return large


def loads(rig: Rig) -> tuple[int, int]:
    each = [rig.load_of(f"fw{i}") for i in range(4)]
    return sum(load[0] for load in each), sum(load[1] for load in each)


def keys_and_values(rig: Rig) -> tuple[Any, Any]:
    values = rig.entries[rig.live()]
    return values["key"], values


def client_ports(keys: Any) -> list[int]:
    """CLIENT is the lower address."""
    return [int(port.byteswap()) for port in keys["low_port"]]


@needs_two_cpus
def test_same_syns_on_two_cpus_make_one_entry_each_on_one_real_server(crowd: Rig) -> None:
    make = framed("outside", ROUTER, tcp())
    syns = [("outside", make(port)) for port in range(1, CONNECTIONS + 1)]
    ours, theirs = on_both_cpus(crowd, syns, syns)
    keys, values = keys_and_values(crowd)
    assert sorted(client_ports(keys)) == list(range(1, CONNECTIONS + 1))
    assert loads(crowd) == (CONNECTIONS, 0)
    forward = dict(zip(client_ports(keys), values["forward_hop"].tolist(), strict=True))
    hops = {mac: crowd.hop_id(("firewalls", mac)) for mac in FW[:4]}
    strayed = [
        port
        for port in forward
        if {hops[frames[port - 1][:6].hex(":")] for frames in (ours, theirs)} != {forward[port]}
    ]
    assert not strayed, "a SYN and its copy went to two firewalls"


@needs_two_cpus
def test_conversations_whose_sides_are_on_two_cpus_end_with_exact_counters(crowd: Rig) -> None:
    opening, answer = framed("outside", ROUTER, tcp()), framed("firewalls", FW[0], reply(tcp()))
    ports = range(1, CONNECTIONS // 4 + 1)
    crowd.publish(two_box(firewalls(1)))
    for port in ports:
        crowd.run("outside", opening(port))
    acks = {flags: framed("outside", ROUTER, tcp(flags)) for flags in ("A", "FA")}
    fins = framed("firewalls", FW[0], reply(tcp(), "FA"))
    requests = [("outside", acks[flags](port)) for port in ports for flags in ("A", "FA", "A")]
    responses = [("firewalls", make(port)) for port in ports for make in (answer, fins)]
    on_both_cpus(crowd, requests, responses)
    _, values = keys_and_values(crowd)
    assert len(values) == len(ports)
    active = int((abi.enum("state")["STATE_ESTABLISHED"] == values["word"] & 0xFF).sum())
    active += int(
        sum(
            (abi.enum("state")[f"STATE_{name}"] == values["word"] & 0xFF).sum()
            for name in ("SYN_SENT", "SYN_RECV", "SYNACK")
        )
    )
    load = crowd.load_of("fw0")
    assert load == (active, len(ports) - active, 0)
    assert values["packets"].sum(axis=0).tolist() == [4 * len(ports), 2 * len(ports)]
    assert crowd.sweep(after_s=1e6)["expired"] == len(ports)
    assert crowd.load_of("fw0") == (0, 0, 0)


@needs_two_cpus
def test_persistent_client_on_two_cpus_has_one_template_with_exact_children(crowd: Rig) -> None:
    crowd.publish(two_box(firewalls(), "rr", persistence_s=3600.0))
    make = framed("outside", ROUTER, tcp())
    odd, even = ([("outside", make(port)) for port in range(first, CONNECTIONS // 4, 2)] for first in (1, 2))
    on_both_cpus(crowd, odd, even)
    keys, values = keys_and_values(crowd)
    (template,) = crowd.templates().values()
    assert len(set(values["server"].tolist())) == 1
    assert crowd.children(template[0]) == len(keys) == len(odd) + len(even)
    assert sum(crowd.load_of(f"fw{i}")[2] for i in range(4)) == 1
    crowd.sweep(after_s=1e6)
    assert crowd.sweep(after_s=1e6)["templates"] == 0
    assert [crowd.load_of(f"fw{i}") for i in range(4)] == [(0, 0, 0)] * 4
