"""Which real server: each scheduler against its oracle, rendezvous for whatever opens nothing."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.policy.schedulers import SCHEDULERS
from tests.oracles import dh, fo, lc, nq, ovf, pair_hash, rr, sed, sh, twos, wlc
from tests.oracles.wrr import WeightedRoundRobin
from tests.packet.frames import CLIENT, WWW, echo, reply, sctp, tcp, udp, with_flags
from tests.packet.plans import FW, ROUTER, firewalls, leg, plan, rule, server, service, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.policy.plan import Plan
    from tests.packet.rig import Outcome, Rig


def server_of(outcome: Outcome) -> int:
    """The index of the firewall a frame went to."""
    assert outcome.hop is not None
    return FW.index(outcome.hop[1])


def loads(rig: Rig, count: int) -> list[tuple[int, int]]:
    return [rig.load_of(f"fw{i}")[:2] for i in range(count)]


BY_LOAD = {"wlc": wlc, "lc": lc, "sed": sed, "nq": nq, "ovf": ovf}


@pytest.mark.parametrize("weights", [[1], [1, 1, 1, 1], [1, 2, 3], [0, 5, 0, 1], [100, 1, 7, 65535]])
@pytest.mark.parametrize("scheduler", BY_LOAD)
def test_schedulers_by_load_choose_as_their_oracles_while_connections_come_and_go(
    rig: Rig, scheduler: str, weights: list[int]
) -> None:
    """The oracle keeps its own books: a SYN counts active, a FIN makes it inactive, what expired counts no more."""
    rig.publish(two_box(firewalls(weights=weights), scheduler))
    rng = random.Random(len(weights))
    books = [[0, 0] for _ in weights]
    opened: dict[int, int] = {}
    closed: set[int] = set()
    for port in range(1, 151):
        chosen = BY_LOAD[scheduler].choose([(w, book[0], book[1]) for w, book in zip(weights, books, strict=True)])
        outcome = rig.send("outside", tcp(sport=port), ROUTER)
        if chosen is None:
            assert outcome.counted == {"DROP_EMPTY": 1}
            continue
        assert server_of(outcome) == chosen, port
        opened[port] = server_of(outcome)
        books[opened[port]][0] += 1
        if rng.random() < 0.4:
            closing = rng.choice(sorted(opened))
            rig.send("outside", tcp("R" if closing in closed else "FA", sport=closing), ROUTER)
            if closing not in closed:
                books[opened[closing]][0] -= 1
                books[opened[closing]][1] += 1
            closed.add(closing)
        assert loads(rig, len(weights)) == [tuple(book) for book in books]
    assert rig.sweep(after_s=1e6)["expired"] == len(opened)
    assert loads(rig, len(weights)) == [(0, 0)] * len(weights)


def test_wlc_gives_ties_to_the_first_in_the_list(rig: Rig) -> None:
    rig.publish(two_box(firewalls(weights=[2, 1, 2])))
    chosen = [server_of(rig.send("outside", tcp(sport=port), ROUTER)) for port in range(1, 6)]
    assert chosen == [0, 1, 2, 0, 2]


def test_wlc_counts_a_datagram_conversation_as_inactive(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2)))
    assert server_of(rig.send("outside", tcp(), ROUTER)) == 0
    chosen = [server_of(rig.send("outside", udp(sport=port), ROUTER)) for port in range(300)]
    assert chosen == [1] * 256 + [0, 1] * 22
    assert loads(rig, 2) == [(1, 22), (0, 278)]


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [1, 0, 5], [0, 0, 9, 1]])
def test_rr_chooses_in_turn_as_the_oracle(rig: Rig, weights: list[int]) -> None:
    rig.publish(two_box(firewalls(weights=weights), "rr"))
    last = None
    for port in range(1, 12):
        last = rr.choose(weights, last)
        assert server_of(rig.send("outside", tcp(sport=port), ROUTER)) == last
        assert server_of(rig.send("outside", tcp("A", sport=port), ROUTER)) == last, "no turn for a known connection"


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [4, 3, 2], [0, 6, 4, 2], [5, 0, 1]])
def test_wrr_chooses_in_turn_as_the_oracle(rig: Rig, weights: list[int]) -> None:
    rig.publish(two_box(firewalls(weights=weights), "wrr"))
    oracle = WeightedRoundRobin(weights)
    for port in range(1, 30):
        assert server_of(rig.send("outside", tcp(sport=port), ROUTER)) == oracle.choose()


@pytest.mark.parametrize("weights", [[1], [1, 3, 3, 2], [0, 1]])
def test_fo_takes_one_until_it_cannot_be_used(rig: Rig, weights: list[int]) -> None:
    servers = firewalls(weights=weights)
    best = fo.choose(weights)
    assert best is not None
    rig.publish(two_box(servers, "fo"))
    assert {server_of(rig.send("outside", tcp(sport=port), ROUTER)) for port in range(1, 9)} == {best}
    rest = tuple(replace(each, usable=index != best) for index, each in enumerate(servers))
    rig.publish(two_box(rest, "fo"))
    following = fo.choose([weight if index != best else 0 for index, weight in enumerate(weights)])
    outcome = rig.send("outside", tcp(sport=100), ROUTER)
    assert outcome.counted == {"DROP_EMPTY": 1} if following is None else server_of(outcome) == following


@pytest.mark.parametrize("loads", [[(1, 0, 0)], [(1, 3, 0), (2, 0, 0), (0, 0, 0), (5, 4, 9)], [(9, 1, 1), (1, 0, 200)]])
def test_twos_shares_as_the_oracle_says(rig: Rig, loads: list[tuple[int, int, int]]) -> None:
    rig.publish(two_box(firewalls(weights=[weight for weight, _, _ in loads]), "twos"))
    ids = rig.publisher.server_ids()

    def chosen() -> int:
        for index, (_, active, inactive) in enumerate(loads):
            load = rig.publisher.server_loads[ids["FWM 1", f"fw{index}"] :][:1]
            load["active"], load["inactive"] = active, inactive
        outcome = rig.send("outside", tcp(), ROUTER)
        rig.forget()
        rig.table["unassured"] = rig.table["live"] = 0
        rig.service_loads["unassured"] = 0
        assert outcome.counted == {"FORWARDED_OPENING": 1}
        return server_of(outcome)

    draws = 2000
    counted = Counter(chosen() for _ in range(draws))
    for index, share in enumerate(twos.shares(loads)):
        # Six standard deviations of a binomial; exactly none, or all, where that is the share.
        spread = 6 * math.sqrt(draws * share * (1 - share))
        assert abs(counted[index] - draws * share) <= spread, (index, share)


def address(text: str) -> int:
    return int(IPv4Address(text))


@pytest.mark.parametrize("flags", [(), ("sh-port",), ("sh-fallback",), ("sh-port", "sh-fallback")])
@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [3, 0, 2, 1], [0, 0, 300], [0, 0]])
def test_sh_chooses_by_source_as_the_oracle(rig: Rig, weights: list[int], flags: tuple[str, ...]) -> None:
    rig.publish(two_box(firewalls(weights=weights), "sh", scheduler_flags=flags))
    rng = random.Random(len(flags))
    for _ in range(60):
        source, sport = f"198.51.{rng.randrange(256)}.{rng.randrange(1, 255)}", rng.randrange(1024, 65536)
        port = sport if "sh-port" in flags else 0
        wanted = sh.choose(weights, address(source), port, fallback="sh-fallback" in flags)
        outcome = rig.send("outside", tcp(source=source, sport=sport), ROUTER)
        assert outcome.counted == {"DROP_EMPTY": 1} if wanted is None else server_of(outcome) == wanted


def test_sh_port_takes_the_port_of_sctp_as_well(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "sh", scheduler_flags=("sh-port",)))
    for sport in range(1, 20):
        wanted = sh.choose([1, 1, 1, 1], address(CLIENT), sport)
        assert server_of(rig.send("outside", sctp(sport=sport), ROUTER)) == wanted


def test_sh_port_takes_an_echo_request_by_its_address_alone(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "sh", scheduler_flags=("sh-port",)))
    wanted = sh.choose([1, 1, 1, 1], address(CLIENT))
    assert {server_of(rig.send("outside", echo(identifier=i), ROUTER)) for i in range(1, 20)} == {wanted}


@pytest.mark.parametrize("weights", [[1], [1, 7, 1], [3, 0, 2, 1]])
def test_dh_chooses_by_destination_as_the_oracle(rig: Rig, weights: list[int]) -> None:
    rig.publish(two_box(firewalls(weights=weights), "dh"))
    rng = random.Random(7)
    for sport in range(1, 60):
        destination = f"203.0.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        wanted = dh.choose(weights, address(destination))
        outcome = rig.send("outside", tcp(destination=destination, sport=sport), ROUTER)
        assert outcome.counted == {"DROP_EMPTY": 1} if wanted is None else server_of(outcome) == wanted


def test_rendezvous_schedules_new_connections_as_it_places_what_opens_nothing(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rendezvous"))
    for i in range(40):
        source = f"198.51.100.{i + 1}"
        wanted = pair_hash.chosen([(f"fw{n}", 1, True) for n in range(4)], source, WWW)
        outcome = rig.send("outside", tcp(source=source), ROUTER)
        assert outcome == forwarded("OPENING", ("firewalls", FW[int(wanted[2:])]))
        rig.forget()
        assert server_of(rig.send("outside", tcp("A", source), ROUTER)) == int(wanted[2:])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_unusable_real_server_is_never_scheduled_nor_chosen_by_rendezvous(rig: Rig, scheduler: str) -> None:
    servers = firewalls(weights=[5, 5, 5, 5])
    rig.publish(two_box((servers[0], replace(servers[1], usable=False), *servers[2:]), scheduler))
    chosen = {server_of(rig.send("outside", tcp(sport=port), ROUTER)) for port in range(1, 19)}
    middles = [tcp("A", f"198.51.102.{i}") for i in range(40)]
    assert {server_of(rig.send("outside", packet, ROUTER)) for packet in middles} == {0, 2, 3}
    assert chosen <= {0, 2, 3}
    idle = {"fo", "rendezvous", "twos", "sh", "dh", "mh", "lblc", "lblcr"}
    assert scheduler in idle or len(chosen) == 3, "only these may leave some idle"


@pytest.mark.parametrize("scheduler", ["wlc", "rr"])
def test_turn_and_loads_outlive_a_publication(rig: Rig, scheduler: str) -> None:
    rig.publish(two_box(firewalls(3), scheduler))
    assert server_of(rig.send("outside", tcp(sport=1), ROUTER)) == 0
    rig.publish(two_box(firewalls(3), scheduler, persistence_s=None, persistence_prefix=24))
    assert server_of(rig.send("outside", tcp(sport=2), ROUTER)) == 1
    assert [rig.load_of(f"fw{i}") for i in range(3)] == [(1, 0, 0), (1, 0, 0), (0, 0, 0)]


# --- rendezvous -----------------------------------------------------------------------------------------------------

MIDDLES: dict[str, Callable[..., Any]] = {
    "ack": lambda **ends: tcp("A", **ends),
    "push": lambda **ends: tcp("PA", **ends),
    "syn ack": lambda **ends: tcp("SA", **ends),
    "fin": lambda **ends: tcp("FA", **ends),
    "syn fin": lambda **ends: tcp("SF", **ends),
    "rst": lambda **ends: tcp("R", **ends),
    "no flag": lambda **ends: tcp("", **ends),
    "echo reply": lambda **ends: echo(kind=0, **ends),
}


@pytest.mark.parametrize("kind", MIDDLES)
@pytest.mark.parametrize("scheduler", ["wlc", "rr"])
def test_packet_in_the_middle_takes_the_rendezvous_choice_in_either_direction(
    rig: Rig, scheduler: str, kind: str
) -> None:
    rig.publish(two_box(firewalls(), scheduler, rules=(rule(1, leg="outside"),)))
    for i in range(20):
        ends = {"source": f"198.51.100.{i + 1}", "destination": f"203.0.113.{7 * i % 250 + 1}"}
        chosen = FW[int(pair_hash.chosen([(f"fw{n}", 1, True) for n in range(4)], *ends.values())[2:])]
        back = {"source": ends["destination"], "destination": ends["source"]}
        outcome = rig.send("outside", MIDDLES[kind](**ends), ROUTER)
        assert outcome.hop == ("firewalls", chosen)
        rig.forget()
        assert rig.send("outside", MIDDLES[kind](**back), ROUTER).hop == ("firewalls", chosen)


def test_packet_in_the_middle_is_remembered_like_any_other(rig: Rig) -> None:
    rig.publish(two_box())
    middle = tcp("A")
    first = rig.send("outside", middle, ROUTER)
    assert first.hop is not None
    assert first == forwarded("MIDSTREAM", first.hop)
    assert rig.only_connection().state == "ESTABLISHED"
    assert rig.send("firewalls", reply(middle, "A"), first.hop[1]) == forwarded("RESPONSE", ("outside", ROUTER))
    assert sum(rig.load_of(f"fw{i}")[0] for i in range(4)) == 1


def test_packet_in_the_middle_takes_no_turn(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    rig.send("outside", tcp("A", sport=9), ROUTER)
    assert [server_of(rig.send("outside", tcp(sport=port), ROUTER)) for port in range(1, 4)] == [0, 1, 2]


def other_side() -> Plan:
    """The far director: other addresses, other MACs, another order, the same names."""
    boxes = [server(f"fw{i}", "inside", f"02:00:00:00:f7:{9 - i:02x}") for i in (2, 0, 3, 1)]
    return plan((leg("inside"), leg("servers")), (rule(3, leg="servers"),), (service(3, boxes, "rr"),))


def test_two_directors_that_know_the_boxes_by_name_choose_alike(rig: Rig) -> None:
    rng = random.Random(5)
    pairs = [(f"198.51.{rng.randrange(256)}.{rng.randrange(1, 255)}", f"203.0.113.{i + 1}") for i in range(100)]
    rig.publish(two_box())
    here = [rig.send("outside", tcp("A", one, 1, two, 80), ROUTER).hop for one, two in pairs]
    rig.reset()
    rig.publish(other_side())
    there = [rig.send("servers", tcp("A", two, 80, one, 1), ROUTER).hop for one, two in pairs]
    assert [FW.index(hop[1]) for hop in here if hop] == [9 - int(hop[1][-2:]) for hop in there if hop]
    assert len({hop for hop in here if hop}) == 4


def test_real_servers_of_weight_0_are_chosen_by_rendezvous_only_where_no_other_is(rig: Rig) -> None:
    rig.publish(two_box(firewalls(weights=[0, 1, 0])))
    assert server_of(rig.send("outside", tcp("A"), ROUTER)) == 1
    rig.reset()
    rig.publish(two_box(firewalls(weights=[0, 0, 0])))
    wanted = pair_hash.chosen([(f"fw{i}", 0, True) for i in range(3)], CLIENT, WWW)
    assert f"fw{server_of(rig.send('outside', with_flags(tcp(), 'A'), ROUTER))}" == wanted
