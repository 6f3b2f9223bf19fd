"""Some two hundred edits of every kind on both directors while connections come and go: nobody notices."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import Continuous, Drip, open_http
from lasthop.lab.waiting import wait_until
from lasthop.policy.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.api.client import Client
    from lasthop.lab.topology import Topology

PATIENCE_S = 15
ROUNDS = 7
SERVICE = "FWM 1"
STAYS = "fw1"
"""This one always takes connections."""
#: With dh, and with sh and mh without their flags, what hashes to a real server of weight 0 is dropped: as LVS has it.
CHOSEN = [(name, [f"{name}-fallback"] if name in {"sh", "mh"} else []) for name in SCHEDULERS if name != "dh"]

pytestmark = pytest.mark.parametrize(
    "lab",
    [
        pytest.param(Blueprint(balancing=Balancing(modes, connections=50_000), offloads=False), id=modes)
        for modes in (LegModes.TC, LegModes.XDP)
    ],
    indirect=True,
    scope="module",
)


class Operator:
    """Thinks of edits that leave connections a way; the same names on every director."""

    def __init__(self, lab: Topology, rng: random.Random) -> None:
        self._rng = rng
        self.schedulers = rng.sample(CHOSEN, len(CHOSEN))
        self._addresses = {
            place.name: {name: str(address) for name, address in place.sides[0].firewalls}
            for place in lab.layout.directors
        }
        self._clients = {place.name: lab.directors[place.name].client for place in lab.layout.directors}
        self.others = [name for name in lab.layout.firewalls if name != STAYS]
        self.made = 0

    def round(self) -> None:
        """Make edits of every kind, and take most of them back."""
        name = self._rng.choice(self.others)
        for step in (self._weigh, self._reschedule, self._limit, self._remove):
            step(name)
        for step in (self._mark, self._reschedule, self._drain, self._time_out):
            step(name)

    def _make(self, *edits: dict[str, Any]) -> None:
        """The same on both; an edit with "of" gets that firewall's address on each side in its place."""
        for box, client in self._clients.items():
            mine = [
                {key: value for key, value in each.items() if key != "of"}
                | ({"address": self._addresses[box][each["of"]]} if "of" in each else {})
                for each in edits
            ]
            client.edit(mine)
            self.made += len(mine)

    def _weigh(self, name: str) -> None:
        self._make({"kind": "weigh", "server": name, "weight": self._rng.choice([0, 1, 3, 10])})
        self._make({"kind": "weigh", "server": STAYS, "weight": self._rng.choice([1, 2, 5]), "service": SERVICE})

    def _reschedule(self, _: str) -> None:
        scheduler, flags = self.schedulers.pop()
        self._make(
            {
                "kind": "edit_service",
                "service": SERVICE,
                "scheduler": scheduler,
                "scheduler_flags": flags,
                "persistence_s": self._rng.choice([None, None, 60]),
            }
        )

    def _limit(self, name: str) -> None:
        self._make(
            {"kind": "edit_server", "service": SERVICE, "of": name, "weight": 2, "upper_threshold": 5},
            {"kind": "edit_server", "service": SERVICE, "of": name, "weight": 1},
        )

    def _remove(self, name: str) -> None:
        self._make({"kind": "delete_server", "service": SERVICE, "of": name})
        self._make({"kind": "add_server", "service": SERVICE, "of": name, "name": name, "weight": 2})

    def _mark(self, name: str) -> None:
        rule = {"mark": 77, "protocol": "tcp", "destination_port": "8080"}
        self._make(
            {"kind": "add_service", "service": "FWM 77"},
            {"kind": "add_server", "service": "FWM 77", "of": name, "name": name},
            {"kind": "add_mark", **rule},
        )
        self._make({"kind": "delete_mark", **rule}, {"kind": "delete_service", "service": "FWM 77"})

    def _drain(self, name: str) -> None:
        self._make({"kind": "drain", "server": name, "service": SERVICE})
        self._make({"kind": "enable", "server": name, "service": SERVICE})

    def _time_out(self, _: str) -> None:
        self._make({"kind": "set_timeouts", "tcp": self._rng.choice([900, 7200]), "udp": 0})


@pytest.fixture
def operator(lab: Topology) -> Iterator[Operator]:
    """One who leaves both directors with the files they began with."""
    yield Operator(lab, random.Random(20))
    for director in lab.directors.values():
        director.client.apply(str(director.file), director.file.read_text())


def moved(client: Client) -> dict[str, int]:
    """Counters that should stay zero and did not."""
    return {name: int(value) for name, value in client.status()["unexpected"].items()}


def test_two_hundred_edits_of_every_kind_are_made_while_nobody_notices(lab: Topology, operator: Operator) -> None:
    client, www = lab.namespace("client"), lab.namespace("www")
    with (
        Drip(client, lab.layout.outwards[0]) as drip,
        Continuous(client, lab.layout.outwards) as out,
        Continuous(www, lab.layout.inwards) as back,
    ):
        for _ in range(ROUNDS):
            seen = len(out.attempts), len(back.attempts), drip.received
            operator.round()

            def goes_on(seen: tuple[int, int, int] = seen) -> bool:
                now = len(out.attempts), len(back.attempts), drip.received
                return all(after > before + 5 for after, before in zip(now, seen, strict=True))

            assert wait_until(goes_on, timeout=PATIENCE_S)
    assert operator.made >= 200
    assert operator.schedulers == [], "each was tried"
    assert drip.attempt is not None
    attempts = [*out.attempts, *back.attempts, drip.attempt]
    failed = [f"{attempt}: {attempt.problem}" for attempt in attempts if not attempt.completed]
    assert not failed, (failed[:5], len(failed), len(attempts))
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    assert set(judged.firewall_of.values()) == set(lab.layout.firewalls)
    assert [moved(director.client) for director in lab.directors.values()] == [{}, {}]


def test_a_director_killed_after_edits_goes_on_with_them_while_nobody_notices(
    lab: Topology, operator: Operator
) -> None:
    client, pairs = lab.namespace("client"), lab.layout.outwards
    with Drip(client, pairs[0]) as drip, Continuous(client, pairs) as load:
        operator.round()
        for director in lab.directors.values():
            director.client.edit([{"kind": "weigh", "server": STAYS, "weight": 7, "service": SERVICE}])
            before = director.client.dump()
            director.end(signal.SIGKILL)
            director.start()
            director.wait_ready()
            assert director.client.dump() == before
            opened, received = len(load.attempts), drip.received

            def goes_on(opened: int = opened, received: int = received) -> bool:
                return len(load.attempts) > opened + 20 and drip.received > received

            assert wait_until(goes_on, timeout=PATIENCE_S)
    assert drip.attempt is not None
    judged = symmetry.judge(lab, [*load.attempts, drip.attempt])
    assert judged.holds, judged.asymmetric[:5]
    assert [moved(director.client) for director in lab.directors.values()] == [{}, {}]


def test_a_service_is_taken_away_and_given_back_while_its_open_connection_goes_on(lab: Topology) -> None:
    """Without it, and so without any rule for what is new, new connections are not ours, and that alone."""
    lb1 = lab.directors["lb1"].client
    client, pairs = lab.namespace("client"), lab.layout.outwards
    with Drip(client, pairs[0]) as drip:
        assert wait_until(lambda: drip.received > 0, timeout=PATIENCE_S)
        lb1.edit([{"kind": "delete_service", "service": SERVICE}])
        before = drip.received
        (refused,) = open_http(client, pairs, 1, timeout=0.3)
        assert not refused.completed
        assert wait_until(lambda: drip.received > before, timeout=PATIENCE_S), "the transfer goes on"
        director = lab.directors["lb1"]
        director.client.apply(str(director.file), director.file.read_text())
        attempts = open_http(client, pairs, 8)
    assert drip.attempt is not None
    judged = symmetry.judge(lab, [*attempts, drip.attempt])
    assert judged.holds, judged.asymmetric[:5]
    assert moved(lb1) == {}
