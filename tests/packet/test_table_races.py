"""Two CPUs at once in one table: one entry a key, no packet at a successor's hop, counters exact afterwards."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.drawer import Drawer, Packets
from lasthop.dataplane import abi
from lasthop.dataplane.kernel import now_ns
from lasthop.dataplane.sweeping import Sweep
from tests.packet.crowds import ACK, SYN, response
from tests.packet.frames import reply, tcp
from tests.packet.plans import (
    FW,
    INTERFACES,
    ROUTER,
    firewalls,
    leg,
    mac_of,
    network,
    plan,
    rule,
    server,
    service,
    two_box,
)
from tests.packet.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CPUS = sorted(os.sched_getaffinity(0))[:2]
pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs")
SAME_KEYS = 20_000
PATIENCE_S = 20
TINY = 40
CLIENTS = 4
"""Each with a firewall of its own."""
PORTS = 40
PACKETS = 30_000
TCP_SYN = 0x02
WAYS = 16


def on_both(work: Callable[[int], object]) -> None:
    """Call `work` with 0 and 1 at once, each on a CPU of its own; its failure is the test's."""
    start = threading.Barrier(2)
    failures: list[BaseException] = []

    def run(which: int) -> None:
        os.sched_setaffinity(0, {CPUS[which]})
        start.wait(30)
        try:
            work(which)
        except BaseException as error:  # noqa: BLE001 -- handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def tags_belong_to_connections(rig: Rig) -> None:
    """When traffic rests, a way has a tag if, and only if, a connection is in it."""
    tags = rig.maps["tags"].view(np.dtype((np.uint32, (WAYS,)))).reshape(-1)
    assert np.flatnonzero(tags).tolist() == rig.live().tolist()


def counters_are_exact(rig: Rig, labels: list[str]) -> None:
    live = rig.entries[rig.live()]
    flags = abi.enum("connection_flag")
    unassured = live["word"] >> np.uint64(8) & np.uint64(flags["CONNECTION_ASSURED"]) == 0
    overflowed = live["word"] >> np.uint64(8) & np.uint64(flags["CONNECTION_OVERFLOW"]) != 0
    assert int(rig.table["unassured"][0]) == np.count_nonzero(unassured)
    assert int(rig.table["live"][0]) == len(live)
    assert int(rig.table["overflowed"][0]) == np.count_nonzero(overflowed)
    for label in labels:
        id_ = rig.publisher.services.id_of(label)
        assert int(rig.service_loads["unassured"][id_]) == np.count_nonzero(unassured[live["service"] == id_])
    loads = rig.publisher.server_loads
    assert int(loads["active"].sum()) + int(loads["inactive"].sum()) == len(live)


@pytest.fixture
def crowd(large: Rig, entry: str) -> Rig:
    """The large data plane, empty, with four firewalls in turn."""
    large.reset()
    large.entry = entry
    large.publish(two_box(firewalls(), "rr"))
    return large


def test_same_keys_inserted_at_once_leave_one_entry_each(crowd: Rig) -> None:
    macs = bytes.fromhex((mac_of("outside") + ROUTER).replace(":", ""))
    syns = Packets(INTERFACES["outside"], macs, TCP_SYN)
    program = crowd.loaded.programs[f"lh_{crowd.entry}"]
    contended = 0
    with closing(Drawer()) as first, closing(Drawer()) as second:
        deadline = time.monotonic() + PATIENCE_S
        while not contended and time.monotonic() < deadline:
            crowd.forget()
            for counters in (
                crowd.table["unassured"],
                crowd.table["live"],
                crowd.service_loads["unassured"],
                crowd.publisher.server_loads,
            ):
                counters[:] = 0
            crowd._counted()
            on_both(
                lambda which: (
                    (first, second)[which].run(
                        crowd.entry, program, syns, SAME_KEYS, first=0, count=SAME_KEYS, in_order=True
                    )
                    and None
                )
            )
            counted = crowd._counted()
            live = crowd.entries[crowd.live()]
            assert len({key.tobytes() for key in live["key"]}) == len(live) == SAME_KEYS
            assert counted["FORWARDED_OPENING"] == SAME_KEYS
            assert counted["FORWARDED_REQUEST"] == SAME_KEYS - counted.get("DROP_CONTENDED", 0)
            assert live["packets"][:, 0].sum() == 2 * SAME_KEYS - counted.get("DROP_CONTENDED", 0)
            tags_belong_to_connections(crowd)
            counters_are_exact(crowd, ["FWM 1"])
            contended += counted.get("EVENT_CONTENDED", 0)
    if not contended:
        pytest.skip("the two CPUs never inserted one key at the same moment")


@pytest.fixture(scope="module")
def tiny(namespace: None) -> Iterator[Rig]:
    """A data plane with four buckets."""
    rig = Rig(TINY)
    yield rig
    rig.close()


def own_firewalls() -> Any:
    """Client i goes over firewall i: whoever goes elsewhere was sent by another connection's entry."""
    services = [service(1 + i, (firewalls()[i],)) for i in range(CLIENTS)]
    rules = [rule(1 + i, leg="outside", source=network(f"10.0.0.{1 + i}/32")) for i in range(CLIENTS)]
    back = service(9, (server("router", "outside", ROUTER),))
    return plan((leg("outside"), leg("firewalls")), (*rules, rule(9, leg="firewalls")), (*services, back))


@pytest.mark.parametrize("sweeping", [False, True])
def test_slots_that_change_hands_all_the_time_send_no_packet_astray(tiny: Rig, entry: str, sweeping: bool) -> None:
    tiny.reset()
    tiny.entry = "tc"
    tiny.publish(own_firewalls())
    answers = [response(reply(tcp(), "A"), FW[i]) for i in range(CLIENTS)]
    sweep = Sweep(tiny.loaded, tiny.hops, tiny.publisher)
    firewall = [bytes.fromhex(mac.replace(":", "")) for mac in FW]
    router = bytes.fromhex(ROUTER.replace(":", ""))
    timeouts = tiny.publisher.rulesets["timeout_ns"]
    timeouts[:] = 20_000_000

    def work(which: int) -> None:
        rng = random.Random(f"{which} {entry}")
        for i in range(PACKETS):
            who = rng.randrange(CLIENTS)
            number = who * 60_000 + rng.randrange(PORTS)
            if rng.random() < 0.3:
                verdict, after = tiny.run("firewalls", answers[who](number))
                expected = router
            else:
                verdict, after = tiny.run("outside", (SYN, ACK)[rng.random() < 0.5](number))
                expected = firewall[who]
            assert verdict == "forwarded", number
            assert after[:6] == expected, (number, after[:6].hex(":"))
            if sweeping and which and i % 50 == 0:
                sweep.whole(now_ns(), TINY, both=False)

    on_both(work)
    counted = tiny._counted()
    assert ("EVENT_EXPIRED" if sweeping else "EVENT_REPLACED") in counted, "slots changed hands"
    assert "DROP_CONTENDED" not in counted
    tags_belong_to_connections(tiny)
    counters_are_exact(tiny, [f"FWM {1 + i}" for i in range(CLIENTS)])
