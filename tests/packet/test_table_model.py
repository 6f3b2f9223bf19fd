"""Random lives of a tiny table, packet by packet beside the plain model: full buckets, replacement, quotas."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasthop.dataplane.kernel import now_ns
from lasthop.model.director import State
from tests.oracles import placement
from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, firewalls, timeouts, two_box
from tests.packet.rig import Rig
from tests.packet.table_model import WAYS, TableModel

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = 40
KEYS = 200
NS = 1_000_000_000
#: Time-outs of assured and other connections, and from when on an assured one may give way. Ages are steps of these.
ASSURED_S, OTHER_S, IDLE_S = 20.9, 10.9, 6.9
AGES = (1.0, 4.0, 7.0, 11.0)
SECRET = bytes(range(100, 116))
Step = tuple[str, float]


@pytest.fixture(scope="module")
def tiny(namespace: None) -> Iterator[Rig]:
    """A data plane with four buckets."""
    rig = Rig(TINY)
    yield rig
    rig.close()


class World:
    """The tiny table and its model, side by side."""

    def __init__(self, rig: Rig, entry: str, quota: int) -> None:
        self.rig = rig
        rig.reset()
        rig.entry = entry
        rig.table["secret"] = np.frombuffer(SECRET, "u8")
        seconds = {state.name: OTHER_S for state in State} | {"ESTABLISHED": ASSURED_S}
        rig.publish(two_box(firewalls(1), timeouts=timeouts(seconds)))
        rig.publisher.rulesets["replace_idle_ns"] = int(IDLE_S * NS)
        # The quotas are the programs' own; other unassured connections leave so many to these.
        self.others = TINY * 3 // 8 - quota
        rig.service_loads["unassured"][rig.publisher.services.id_of("FWM 1")] = self.others
        self.buckets = len(rig.entries) // WAYS
        self.model = TableModel({}, {}, self.buckets, quota, (ASSURED_S, OTHER_S), IDLE_S)
        self.keys: dict[int, bytes] = {}

    def key(self, port: int) -> bytes:
        if port not in self.keys:
            v4 = bytes(10) + b"\xff\xff"
            ports = port.to_bytes(2, "big") + (80).to_bytes(2, "big")
            zone = int(self.rig.publisher.zones.id_of("edge")).to_bytes(2, "little")
            key = v4 + bytes([198, 51, 100, 10]) + v4 + bytes([203, 0, 113, 80]) + ports + zone + bytes([6, 0])
            self.keys[port] = key
            self.model.choices[key] = placement.choices(SECRET, key, self.buckets)
            self.model.preferred_way[key] = placement.preferred_way(SECRET, key)
        return self.keys[port]

    def take(self, step: Step) -> None:
        what, value = step
        if what == "age":
            self.model.now += value
        elif what == "sweep":
            self.rig.sweep()
            self.model.sweep()
        else:
            getattr(self, what)(int(value))
        self.set_clock()

    def set_clock(self) -> None:
        """Let every entry be as old as the model's, however long a step took: equally old ones are exactly so."""
        entries, now = self.model.entries.values(), now_ns()
        slots = [entry.bucket * WAYS + entry.way for entry in entries]
        self.rig.entries["last_seen_ns"][slots] = [now - int((self.model.now - entry.seen) * NS) for entry in entries]

    def open(self, port: int) -> None:
        outcome, _ = self.rig.send_on("outside", tcp(sport=port), ROUTER)
        counted = {name for name in outcome.counted if name not in ("EVENT_EXPIRED", "EVENT_CROWDED")}
        expected = self.model.open(self.key(port))
        assert (
            counted
            == {
                "known": {"FORWARDED_REQUEST"},
                "new": {"FORWARDED_OPENING"},
                "expired": {"FORWARDED_OPENING"},
                "replaced": {"FORWARDED_OPENING", "EVENT_REPLACED"},
                "quota": {"FORWARDED_UNTRACKED", "EVENT_QUOTA"},
                "full": {"FORWARDED_UNTRACKED", "EVENT_TABLE_FULL"},
            }[expected]
        )

    def settle(self, port: int) -> None:
        if self.model.settle(self.key(port)):
            self.rig.send("firewalls", reply(tcp(sport=port)), FW[0])
            self.rig.send("outside", tcp("A", sport=port), ROUTER)

    def compare(self) -> None:
        rig, model = self.rig, self.model
        live = rig.live()
        found = {
            rig.entries["key"][slot].tobytes(): (slot // WAYS, slot % WAYS, bool(word & 8 << 8), bool(word & 64 << 8))
            for slot, word in zip(live.tolist(), rig.entries["word"][live].tolist(), strict=True)
        }
        assert found == {key: (e.bucket, e.way, e.assured, not e.near) for key, e in model.entries.items()}
        assert int(rig.table["overflowed"][0]) == model.overflowed
        assert int(rig.table["unassured"][0]) == model.unassured
        assert int(rig.table["live"][0]) == len(model.entries)
        assert int(rig.service_loads["unassured"].sum()) == model.unassured + self.others
        assert sum(rig.load_of("fw0")[:2]) == len(model.entries)
        tags = rig.maps["tags"].view(np.dtype((np.uint32, (WAYS,))))
        assert np.flatnonzero(tags.reshape(-1)).tolist() == live.tolist(), "no way is leaked, none without its tag"

    def walk(self, steps: list[Step], every: int = 1) -> None:
        """Take the steps and compare."""
        for number, step in enumerate(steps):
            self.take(step)
            if number % every == 0:
                self.compare()


def random_steps(rng: random.Random, count: int, settled: float) -> list[Step]:
    steps: list[Step] = []
    for _ in range(count):
        port = float(rng.randrange(1, KEYS))
        drawn = rng.random()
        if drawn < 0.04:
            steps.append(("age", rng.choice(AGES)))
        elif drawn < 0.05:
            steps.append(("sweep", 0))
        elif drawn < 0.05 + settled:
            steps += [("open", port), ("settle", port)]
        else:
            steps.append(("open", port))
    return steps


@pytest.mark.parametrize("quota", [4, TINY * 3 // 8])
@pytest.mark.parametrize("settled", [0.3, 0.9])
def test_random_lives_of_a_tiny_table_go_as_the_model_says(tiny: Rig, entry: str, quota: int, settled: float) -> None:
    rng = random.Random(f"{entry} {quota} {settled}")
    for _ in range(3):
        World(tiny, entry, quota).walk(random_steps(rng, 250, settled), every=5)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(1, 60).map(float)),
        st.tuples(st.just("settle"), st.integers(1, 60).map(float)),
        st.tuples(st.just("age"), st.sampled_from(AGES)),
        st.just(("sweep", 0.0)),
    ),
    max_size=40,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crowd=st.integers(0, 64), steps=STEPS)
def test_short_lives_that_shrink_go_as_the_model_says(tiny: Rig, entry: str, crowd: int, steps: list[Step]) -> None:
    world = World(tiny, entry, TINY * 3 // 8)
    before: list[Step] = [(what, 1000.0 + i) for i in range(crowd) for what in ("open", "settle")]
    world.walk(before, every=1000)
    world.compare()
    world.walk(steps)


def test_active_connections_never_give_way(tiny: Rig, entry: str) -> None:
    world = World(tiny, entry, TINY * 3 // 8)
    world.walk([(what, 1.0 + i) for i in range(150) for what in ("open", "settle")], every=10)
    kept = set(world.model.entries)
    assert len(kept) > TINY
    for port in range(500, 600):
        world.open(port)
    assert kept <= set(world.model.entries)
    world.compare()
