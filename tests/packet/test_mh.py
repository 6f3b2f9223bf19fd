"""mh: by the unordered address pair over a table of names, the same on two directors; against its oracle."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from lasthop.policy.schedulers import mh as product
from tests.oracles import mh
from tests.packet.frames import WWW, reply, tcp
from tests.packet.plans import FW, ROUTER, core_firewalls, firewalls, leg, plan, rule, service, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

CLIENTS = [f"198.51.{i % 7}.{i % 250 + 1}" for i in range(300)]


@pytest.mark.parametrize("weights", [[1], [1, 1, 1, 1], [1, 2, 3], [10, 20, 30, 5]])
def test_the_table_is_the_oracles(weights: list[int]) -> None:
    names = tuple(f"fw{i}" for i in range(len(weights)))
    expected = mh.table(tuple(zip(names, weights, strict=True)))
    assert [names[place] for place in product.table(names, tuple(weights))] == list(expected)


def test_slots_are_shared_by_weight_however_large() -> None:
    for weights in ((1, 2, 3), (65535, 65535, 32768), (65535, 1)):
        filled = product.table(tuple("abc"[: len(weights)]), weights)
        for place, weight in enumerate(weights):
            assert abs(filled.count(place) - 1021 * weight / sum(weights)) < 1


def test_few_slots_move_when_a_real_server_goes() -> None:
    names = tuple(f"fw{i}" for i in range(8))
    before, after = product.table(names, (1,) * 8), product.table(names[:-1], (1,) * 7)
    stayed = [(was, now) for was, now in zip(before, after, strict=True) if was != 7]
    assert sum(was != now for was, now in stayed) < len(stayed) * 0.25


@pytest.mark.parametrize("flags", [(), ("mh-port",), ("mh-fallback",), ("mh-port", "mh-fallback")])
@pytest.mark.parametrize("full", [set(), {"fw1"}, {"fw0", "fw3"}], ids=["none full", "one full", "two full"])
def test_a_new_connection_goes_where_the_oracle_says(rig: Rig, flags: tuple[str, ...], full: set[str]) -> None:
    servers = firewalls(weights=[1, 2, 3, 1])
    rig.publish(two_box(servers, "mh", scheduler_flags=flags))
    ids = rig.publisher.server_ids()
    for name in full:
        rig.publisher.server_loads["overloaded"][ids["FWM 1", name]] = 1
    rng = random.Random(7)
    weighed = [(server.name, server.weight) for server in servers]
    for client in CLIENTS[:60]:
        port = rng.randrange(1, 65536)
        wanted = mh.chosen(weighed, full, (client, port), (WWW, 80), set(flags))
        outcome = rig.send("outside", tcp(source=client, sport=port), ROUTER)
        if wanted is None:
            assert outcome.counted == {"DROP_EMPTY": 1}
        else:
            assert outcome == forwarded("OPENING", ("firewalls", FW[int(wanted[2:])]))


def test_two_directors_choose_the_same_firewall_from_either_side(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "mh", scheduler_flags=("mh-port",)))
    outer = [rig.send("outside", tcp(source=client), ROUTER).hop for client in CLIENTS[:40]]
    rig.reset()
    rig.publish(
        plan(
            (leg("inside"), leg("servers")),
            (rule(1, leg="servers"),),
            (service(1, core_firewalls(), "mh", scheduler_flags=("mh-port",)),),
        )
    )
    inner = [rig.send("servers", reply(tcp(source=client), "S"), "02:00:00:00:aa:02").hop for client in CLIENTS[:40]]
    assert [hop[1][-2:] for hop in outer if hop] == [hop[1][-2:] for hop in inner if hop]
