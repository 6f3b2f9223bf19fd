"""Schedulers under real traffic: each connection goes where the oracle says, and comes back through that firewall.

Real servers have different weights, which edits give them on both directors. Connections are held open while others
are opened, so that the schedulers by load have a load to look at.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.layout import WWW_ADDRESS
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http
from lasthop.policy.schedulers import SCHEDULERS
from tests.lab.conversations import Held
from tests.lab.settings import SHORT_TIMEOUTS, add_to_files, edit, wait_empty
from tests.oracles import dh, fo, lc, mh, nq, ovf, pair_hash, rr, sed, sh, wlc
from tests.oracles.locality import Locality
from tests.oracles.wrr import WeightedRoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lasthop.lab.topology import Topology

SECOND = WWW_ADDRESS + 1
CONNECTIONS = 80
FROM_INSIDE = 24
WEIGHTS = [4, 2, 1, 1]
FIREWALLS = ("fw1", "fw2", "fw3", "fw4")
BY_WEIGHT, EVEN = (40, 20, 10, 10), (20, 20, 20, 20)
#: Scheduler -> how many of the connections each firewall gets, where that is told by the weights alone.
SHARES = {
    "rr": EVEN,
    "wrr": BY_WEIGHT,
    "lc": EVEN,
    "wlc": BY_WEIGHT,
    "sed": BY_WEIGHT,
    "nq": BY_WEIGHT,
    "fo": (80, 0, 0, 0),
    # Each one more than its weight, and then nobody any more: see WEIGHTS_OF.
    "ovf": (41, 21, 11, 7),
}
#: Of others than `WEIGHTS`: ovf takes no more connections than the sum.
WEIGHTS_OF = {"ovf": [40, 20, 10, 9]}

EXACT = [
    *((scheduler, ()) for scheduler in SCHEDULERS if scheduler != "twos"),
    ("sh", ("sh-port",)),
    ("mh", ("mh-port",)),
    ("mh", ("mh-fallback", "mh-port")),
]

pytestmark = pytest.mark.parametrize(
    "lab", [Blueprint(clients=16, balancing=Balancing(connections=20_000))], indirect=True, scope="module"
)


class Opened(NamedTuple):
    """A connection that is to be scheduled."""

    client: str
    port: int
    active: list[int]
    """The active connections of each firewall at that time."""

    def loads(self, weights: list[int]) -> list[tuple[int, int, int]]:
        return [(weight, active, 0) for weight, active in zip(weights, self.active, strict=True)]


def destination_of(scheduler: str) -> IPv4Address:
    """What lblc learnt of a destination lblcr would find: it has one of its own."""
    return SECOND if scheduler == "lblcr" else WWW_ADDRESS


def by_name(name: str | None) -> int | None:
    return None if name is None else FIREWALLS.index(name)


def in_turn() -> Callable[[Opened], int | None]:
    last: list[int | None] = [None]

    def choose(_: Opened) -> int | None:
        last[0] = rr.choose(WEIGHTS, last[0])
        return last[0]

    return choose


def by_oracle(scheduler: str, flags: set[str], weights: list[int]) -> Callable[[Opened], int | None]:
    """A function from a new connection to the index of its firewall, as the oracle of `scheduler` has it."""
    named = list(zip(FIREWALLS, weights, strict=True))
    www = str(destination_of(scheduler))
    turns = WeightedRoundRobin(weights)
    locality = Locality(sets=scheduler == "lblcr")
    port = "sh-port" in flags
    oracles: dict[str, Callable[[Opened], int | None]] = {
        "rr": in_turn(),
        "wrr": lambda _: turns.choose(),
        "lc": lambda new: lc.choose(new.loads(weights)),
        "wlc": lambda new: wlc.choose(new.loads(weights)),
        "sed": lambda new: sed.choose(new.loads(weights)),
        "nq": lambda new: nq.choose(new.loads(weights)),
        "ovf": lambda new: ovf.choose(new.loads(weights)),
        "fo": lambda _: fo.choose(weights),
        "sh": lambda new: sh.choose(weights, int(IPv4Address(new.client)), new.port * port),
        "dh": lambda _: dh.choose(weights, int(WWW_ADDRESS)),
        "lblc": lambda new: locality.choose(new.loads(weights), www),
        "lblcr": lambda new: locality.choose(new.loads(weights), www),
        "mh": lambda new: by_name(mh.chosen(named, set(), (new.client, new.port), (www, 80), flags)),
        "rendezvous": lambda new: by_name(pair_hash.chosen([(*each, True) for each in named], new.client, www)),
    }
    return oracles[scheduler]


@pytest.fixture(autouse=True, scope="module")
def forgetful(lab: Topology) -> Iterator[None]:
    """A test begins soon with an empty table, and says nothing about the connections of another."""
    add_to_files(lab, SHORT_TIMEOUTS)
    lab.run("www", "ip", "address", "add", f"{SECOND}/24", "dev", "eth0")
    yield
    assert [director.client.status()["unexpected"] for director in lab.directors.values()] == [{}, {}]


def schedule(lab: Topology, scheduler: str, flags: set[str]) -> None:
    """Give the services towards the firewalls a scheduler, and the firewalls their weights."""
    wait_empty(lab)
    weights = WEIGHTS_OF.get(scheduler, WEIGHTS)
    weigh = [
        {"kind": "weigh", "server": name, "weight": weight, "service": "FWM 1"}
        for name, weight in zip(FIREWALLS, weights, strict=True)
    ]
    edit(
        lab,
        {"kind": "edit_service", "service": "FWM 1", "scheduler": scheduler, "scheduler_flags": sorted(flags)},
        *weigh,
    )


def opened(lab: Topology, scheduler: str, flags: set[str]) -> tuple[list[str], list[str]]:
    """Open connections through the sandwich; the firewall of each, and what the oracle says."""
    choose = by_oracle(scheduler, flags, WEIGHTS_OF.get(scheduler, WEIGHTS)) if scheduler != "twos" else None
    clients = [str(client) for client in lab.layout.clients]
    pairs = [(client, destination_of(scheduler)) for client in lab.layout.clients]
    with Held(lab.namespace("client"), pairs) as held:
        active = [0] * len(FIREWALLS)
        expected = []
        for number in range(CONNECTIONS):
            (port,) = held.open()
            if choose is not None:
                index = choose(Opened(clients[number % len(clients)], port, active))
                assert index is not None
                active[index] += 1
                expected.append(FIREWALLS[index])
        attempts = held.asked()
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    return [judged.firewall_of[attempt.key] for attempt in attempts], expected


def test_every_scheduler_is_tried_here() -> None:
    tried = {scheduler for scheduler, _ in EXACT} | {"twos"}
    assert tried == set(SCHEDULERS)


@pytest.mark.parametrize(("scheduler", "flags"), EXACT, ids=["+".join((name, *flags)) for name, flags in EXACT])
def test_each_connection_crosses_the_firewall_that_the_oracle_chose(
    lab: Topology, scheduler: str, flags: tuple[str, ...]
) -> None:
    schedule(lab, scheduler, set(flags))
    got, expected = opened(lab, scheduler, set(flags))
    if scheduler in {"rr", "wrr"}:
        # Where in its cycle it is, only the director knows.
        assert Counter(got) == Counter(expected)
    else:
        assert got == expected
    if scheduler in SHARES:
        shared = Counter(got)
        assert tuple(shared[name] for name in FIREWALLS) == SHARES[scheduler]
    from_inside = open_http(lab.namespace("www"), lab.layout.inwards, FROM_INSIDE)
    judged = symmetry.judge(lab, from_inside)
    assert judged.holds, judged.asymmetric[:5]


def test_of_two_that_are_drawn_the_one_with_less_load_is_taken(lab: Topology) -> None:
    schedule(lab, "twos", set())
    got, _ = opened(lab, "twos", set())
    shared = Counter(got)
    assert all(shared[name] for name in FIREWALLS), shared
    assert shared["fw1"] > shared["fw2"] > max(shared["fw3"], shared["fw4"]), shared


@pytest.mark.parametrize("scheduler", ["mh", "rendezvous"])
def test_two_directors_choose_the_same_firewall_for_a_pair_of_hosts(lab: Topology, scheduler: str) -> None:
    schedule(lab, scheduler, set())
    attempts = open_http(lab.namespace("client"), lab.layout.outwards, len(lab.layout.clients))
    attempts += open_http(lab.namespace("www"), lab.layout.inwards, len(lab.layout.clients))
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    firewalls: dict[frozenset[str], set[str]] = {}
    for (_, source, _, destination, _), name in judged.firewall_of.items():
        firewalls.setdefault(frozenset((source, destination)), set()).add(name)
    assert len(firewalls) == len(lab.layout.clients)
    assert all(len(names) == 1 for names in firewalls.values()), firewalls
    assert len(set.union(*firewalls.values())) > 1
