"""Moving connections to the next table while packets of them pass: each is found at every moment, and counted once."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.kernel import now_ns
from lasthop.dataplane.libbpf import run_syscall
from lasthop.dataplane.loader import Role
from tests.packet.conftest import CONNECTIONS
from tests.packet.crowds import ACK, ANSWER, SYN, establish, request
from tests.packet.frames import tcp
from tests.packet.plans import ROUTER, firewalls, two_box
from tests.packet.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD = 600
SLICE = 16
WAYS = 16
#: What a move may not change. Counters of packets that meet it are another test's.
KEPT = ("forward_hop", "last_hop", "service", "server", "created_ns", "persistence_prefix")


class Moving:
    """Programs that know both tables and insert in the next one, with connections in the main one."""

    def __init__(self) -> None:
        self.rig = Rig(CONNECTIONS, Role.NEXT, CONNECTIONS)
        types = abi.types()
        maps = self.rig.maps
        self.entries = {name: maps[name].view(types.struct("connection")) for name in ("entries", "next_entries")}
        self.tags = {name: maps[name].view(types.struct("bucket"))["tag"] for name in ("tags", "next_tags")}

    def begin(self) -> None:
        """Establish connections; they are inserted in the next table, which then takes the place of the main one."""
        self.rig.reset()
        self.rig.entry = "tc"
        self.rig.publish(two_box(firewalls(1)))
        for number in range(HELD):
            establish(self.rig, number)
        # Both are of one size, so that a key has its places in the one where it has them in the other.
        self.entries["entries"][:] = self.entries["next_entries"]
        self.tags["tags"][:] = self.tags["next_tags"]
        self.entries["next_entries"]["word"] &= np.uint64(0xFFFFFFFF << 32)
        self.tags["next_tags"][:] = 0
        self.rig._counted()

    def live(self, name: str) -> Any:
        flag = np.uint64(abi.enum("connection_flag")["CONNECTION_LIVE"] << 8)
        return self.entries[name][self.entries[name]["word"] & flag != 0]

    def move(self, first: int = 0, count: int | None = None) -> Any:
        """Run lh_move; its ``struct slice``."""
        moved = np.zeros(1, abi.types().struct("slice"))
        moved["now_ns"], moved["first"] = now_ns(), first
        moved["count"] = len(self.entries["entries"]) if count is None else count
        assert run_syscall(self.rig.loaded.programs["lh_move"], moved) == 0
        return moved[0]

    def nothing_is_leaked(self) -> None:
        for tags, entries in (("tags", "entries"), ("next_tags", "next_entries")):
            flag = np.uint64(abi.enum("connection_flag")["CONNECTION_LIVE"] << 8)
            live = np.flatnonzero(self.entries[entries]["word"] & flag)
            assert np.flatnonzero(self.tags[tags].reshape(-1)).tolist() == live.tolist(), entries
        assert (int(self.rig.table["unassured"][0]), int(self.rig.table["overflowed"][0])) == (0, 0)
        assert int(self.rig.table["live"][0]) == sum(len(self.live(name)) for name in self.entries)


@pytest.fixture(scope="module")
def loaded_twice(namespace: None) -> Iterator[Moving]:
    moving = Moving()
    yield moving
    moving.rig.close()


@pytest.fixture
def moving(loaded_twice: Moving) -> Moving:
    """A main table with connections, and an empty next one."""
    loaded_twice.begin()
    return loaded_twice


def by_key(entries: Any) -> dict[bytes, Any]:
    return {entry["key"].tobytes(): entry for entry in entries}


def test_all_that_is_known_of_a_connection_moves_with_it(moving: Moving) -> None:
    before = by_key(moving.live("entries").copy())
    totals = moving.move()
    after = by_key(moving.live("next_entries"))
    assert (totals["connections"], totals["left"], totals["refused"]) == (HELD, 0, 0)
    assert not len(moving.live("entries"))
    assert before.keys() == after.keys()
    for key, was in before.items():
        for name in (*KEPT, "last_seen_ns"):
            assert after[key][name] == was[name], name
        assert (after[key]["packets"].tolist(), after[key]["bytes"].tolist()) == (
            was["packets"].tolist(),
            was["bytes"].tolist(),
        )
        assert int(after[key]["word"]) & 0xFFFFFFFF == int(was["word"]) & 0xFFFFFFFF, "flags and state"
    assert moving.rig.load_of("fw0") == (HELD, 0, 0)
    moving.nothing_is_leaked()


def test_packets_between_the_slices_find_their_connection_wherever_it_is(moving: Moving) -> None:
    rng = random.Random(3)
    sent = 0
    for first in range(0, len(moving.entries["entries"]), SLICE):
        moving.move(first, SLICE)
        for _ in range(20):
            number = rng.randrange(HELD)
            moving.rig.run("outside", ACK(number))
            moving.rig.run("firewalls", ANSWER(number))
            sent += 1
    assert moving.rig._counted() == {"FORWARDED_REQUEST": sent, "FORWARDED_RESPONSE": sent}
    assert moving.live("next_entries")["packets"].sum(axis=0).tolist() == [2 * HELD + sent, HELD + sent]
    moving.nothing_is_leaked()


def test_new_connections_go_to_the_next_table_and_known_ones_are_not_made_again(moving: Moving) -> None:
    for number in range(HELD + 10):
        moving.rig.run("outside", SYN(number))
    assert moving.rig._counted() == {"FORWARDED_REQUEST": HELD, "FORWARDED_OPENING": 10}
    assert (len(moving.live("entries")), len(moving.live("next_entries"))) == (HELD, 10)


def test_packets_on_another_cpu_lose_nothing_while_their_connections_move(moving: Moving) -> None:
    stop = threading.Event()
    sent = [0, 0]
    finished: list[int] = []
    fin = request(tcp("FA"), ROUTER)

    def traffic() -> None:
        rng = random.Random(5)
        while not stop.is_set():
            number = rng.randrange(HELD)
            if number not in finished and rng.random() < 0.05:
                moving.rig.run("outside", fin(number))
                finished.append(number)
            else:
                moving.rig.run("outside", ACK(number))
            moving.rig.run("firewalls", ANSWER(number))
            sent[0] += 1
            sent[1] += 1

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        for first in range(0, len(moving.entries["entries"]), SLICE // 4):
            moving.move(first, SLICE // 4)
        left = 1
        while left:
            left = int(moving.move()["left"])
    finally:
        stop.set()
        sender.join()
    counted = moving.rig._counted()
    assert (counted.pop("FORWARDED_REQUEST"), counted.pop("FORWARDED_RESPONSE")) == (sent[0], sent[1])
    assert counted == {}, "nothing was scheduled again, dropped or taken for a stranger"
    live = moving.live("next_entries")
    assert len({key.tobytes() for key in live["key"]}) == len(live) == HELD
    states = live["word"] & np.uint64(0xFF)
    waiting = int((states == abi.enum("state")["STATE_CLOSE_WAIT"]).sum())
    assert waiting == len(set(finished)), "a state that changed during the move was not lost"
    assert moving.rig.load_of("fw0") == (HELD - waiting, waiting, 0)
    moving.nothing_is_leaked()


def test_expired_connections_stay_behind(moving: Moving) -> None:
    moving.rig.publisher.rulesets["timeout_ns"] = 1
    while now_ns() - int(moving.entries["entries"]["last_seen_ns"].max()) <= 1:
        pass
    totals = moving.move()
    assert (totals["connections"], totals["expired"]) == (0, HELD)
    assert moving.rig.load_of("fw0") == (0, 0, 0)
    moving.nothing_is_leaked()


def test_connections_that_find_no_room_stay_where_they_are(moving: Moving) -> None:
    full = moving.entries["next_entries"]
    moving.tags["next_tags"][:] = 1
    full["word"] = np.uint64(abi.enum("connection_flag")["CONNECTION_PENDING"] << 8)
    totals = moving.move()
    assert (totals["connections"], totals["refused"]) == (0, HELD)
    moving.rig.run("outside", ACK(1))
    assert moving.rig._counted() == {"FORWARDED_REQUEST": 1}
    moving.tags["next_tags"][:] = 0
    full["word"] = 0
    assert moving.move()["connections"] == HELD
    moving.nothing_is_leaked()
