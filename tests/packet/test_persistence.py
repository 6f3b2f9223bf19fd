"""Persistence templates as LVS has them for a mark: same client, same real server, until its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.packet.entries import NS
from tests.packet.frames import CLIENT, OTHER_CLIENT, THIRD_CLIENT, WWW, echo, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, timeouts, two_box

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

#: Templates live 20 s, connections 10 s.
QUICK = dict.fromkeys(("SYN_RECV", "ESTABLISHED", "TIME_WAIT", "CLOSE", "UDP", "ICMP"), 10.0)


def sticking(servers: Any = None, prefix: int = 32, **changes: Any) -> Plan:
    """rr, so that whatever is not persistent moves on."""
    fixed: dict[str, Any] = {"persistence_s": 20.0, "persistence_prefix": prefix, "timeouts": timeouts(QUICK)}
    return two_box(servers or firewalls(), "rr", **(fixed | changes))


def chosen(rig: Rig, packet: Any) -> int:
    outcome = rig.send("outside", packet, ROUTER)
    assert outcome.hop is not None
    return FW.index(outcome.hop[1])


def persistent(rig: Rig, count: int = 4) -> list[int]:
    return [rig.load_of(f"fw{i}")[2] for i in range(count)]


def only_template(rig: Rig) -> Any:
    (template,) = rig.templates().values()
    return template[0]


def test_client_keeps_its_real_server_across_ports_protocols_and_destinations(rig: Rig) -> None:
    rig.publish(sticking())
    packets = [tcp(), tcp(sport=2), tcp(dport=443), udp(), echo(), tcp(destination="203.0.113.99")]
    assert [chosen(rig, packet) for packet in packets] == [0] * len(packets)
    assert chosen(rig, tcp(source=OTHER_CLIENT)) == 1
    assert chosen(rig, udp(source=CLIENT, sport=9)) == 0
    assert persistent(rig) == [1, 1, 0, 0]


def test_clients_of_one_netmask_are_one_client(rig: Rig) -> None:
    rig.publish(sticking(prefix=24))
    assert chosen(rig, tcp(source=CLIENT)) == 0
    assert chosen(rig, tcp(source=OTHER_CLIENT)) == 0
    assert chosen(rig, tcp(source="198.51.100.255")) == 0
    assert chosen(rig, tcp(source=THIRD_CLIENT)) == 1
    assert persistent(rig) == [1, 1, 0, 0]


@pytest.mark.parametrize("prefix", [0, 1, 31])
def test_netmask_may_have_any_length(rig: Rig, prefix: int) -> None:
    rig.publish(sticking(prefix=prefix))
    assert chosen(rig, tcp(source="198.51.100.10")) == 0
    assert chosen(rig, tcp(source="198.51.100.11")) == 0
    assert chosen(rig, tcp(source="8.0.0.1")) == (0 if prefix == 0 else 1)


def test_client_is_the_originator_whichever_address_is_lower(rig: Rig) -> None:
    rig.publish(sticking())
    assert [chosen(rig, tcp(source=WWW, sport=port, destination=CLIENT)) for port in (1, 2)] == [0, 0]
    assert chosen(rig, tcp(source=CLIENT)) == 1


def test_template_expires_after_its_time_when_no_connection_is_left(rig: Rig) -> None:
    rig.publish(sticking())
    assert chosen(rig, tcp()) == 0
    rig.age(11)
    assert rig.sweep()["templates"] == 1
    assert (persistent(rig), len(rig.connections())) == ([1, 0, 0, 0], 0)
    rig.age(10)
    assert rig.sweep()["templates"] == 0
    assert (persistent(rig), rig.templates()) == ([0, 0, 0, 0], {})
    assert chosen(rig, tcp()) == 1


def test_expired_template_is_bound_anew_by_the_next_connection(rig: Rig) -> None:
    rig.publish(sticking())
    chosen(rig, tcp())
    rig.age(11)
    rig.sweep()
    rig.age(10)
    assert chosen(rig, tcp()) == 1
    assert (persistent(rig), rig.children(only_template(rig))) == ([0, 1, 0, 0], 1)


def test_template_lives_while_a_connection_of_it_lives(rig: Rig) -> None:
    rig.publish(sticking())
    chosen(rig, udp())
    for _ in range(5):
        rig.age(9)
        rig.send("outside", udp(), ROUTER)
        assert rig.sweep()["templates"] == 1
    assert chosen(rig, udp(sport=2)) == 0
    assert rig.children(only_template(rig)) == 2


def test_time_is_restarted_by_new_connections_and_not_by_packets(rig: Rig) -> None:
    rig.publish(sticking())
    chosen(rig, tcp())
    first = int(only_template(rig)["expires_ns"])
    rig.send("outside", tcp("A"), ROUTER)
    assert int(only_template(rig)["expires_ns"]) == first
    rig.age(5)
    chosen(rig, tcp(sport=2))
    assert 0 <= int(only_template(rig)["expires_ns"]) - first < 5 * NS, "20 s from now, not from the first connection"
    rig.age(16)
    rig.sweep()
    assert not rig.connections()
    assert chosen(rig, tcp(sport=3)) == 0, "16 s after the second connection, 21 s after the first"


def test_children_are_counted_exactly_whoever_ends_a_connection(rig: Rig) -> None:
    rig.publish(sticking())
    for port in range(1, 6):
        chosen(rig, tcp(sport=port))
    assert rig.children(only_template(rig)) == 5
    rig.send("outside", tcp("FA", sport=1), ROUTER)
    rig.send_over("outside", tcp(sport=1), ROUTER)
    assert rig.children(only_template(rig)) == 5, "one was over and reopened"
    rig.age(11)
    rig.send_over("outside", tcp(sport=2), ROUTER)
    assert rig.children(only_template(rig)) == 5, "one had expired and was opened anew"
    rig.sweep()
    assert rig.children(only_template(rig)) == 1
    assert [rig.load_of("fw0"), len(rig.connections())] == [(1, 0, 1), 1]


def test_packet_in_the_middle_is_no_child(rig: Rig) -> None:
    rig.publish(sticking())
    chosen(rig, tcp("A"))
    assert rig.templates() == {}
    chosen(rig, tcp(sport=2))
    chosen(rig, tcp("A", sport=3))
    assert rig.children(only_template(rig)) == 1


def test_real_server_of_weight_0_keeps_its_persistent_clients(rig: Rig) -> None:
    rig.publish(sticking())
    assert chosen(rig, tcp()) == 0
    rig.publish(sticking(firewalls(weights=[0, 1, 1, 1])))
    assert chosen(rig, tcp(sport=2)) == 0
    assert chosen(rig, tcp(source=OTHER_CLIENT)) != 0


def test_client_of_a_real_server_that_is_unusable_now_is_bound_anew(rig: Rig) -> None:
    rig.publish(sticking())
    assert chosen(rig, tcp()) == 0
    first, *others = firewalls()
    gone = (firewalls(1, usable=False)[0], *others)
    rig.publish(sticking(gone))
    bound = chosen(rig, tcp(sport=2))
    assert bound != 0
    assert [chosen(rig, tcp(sport=port)) for port in (3, 4)] == [bound, bound]
    assert persistent(rig) == [int(i == bound) for i in range(4)]
    assert chosen(rig, tcp("A")) == 0, "the connection that is there goes on"
    rig.publish(sticking((first, *others)))
    assert chosen(rig, tcp(sport=5)) == bound, "it does not go back"
    assert rig.sweep(after_s=100)["templates"] == 0
    assert [rig.load_of(f"fw{i}") for i in range(4)] == [(0, 0, 0)] * 4


def test_unusable_service_binds_nobody(rig: Rig) -> None:
    rig.publish(sticking(firewalls(2, usable=False)))
    assert rig.send("outside", tcp(), ROUTER).counted == {"DROP_EMPTY": 1}
    assert rig.templates() == {}
    assert persistent(rig, 2) == [0, 0]


def test_template_is_of_one_service_alone(rig: Rig) -> None:
    rig.publish(sticking())
    chosen(rig, tcp())
    back = rig.send("firewalls", tcp(source=CLIENT, sport=5), FW[1])
    assert back.hop == ("outside", ROUTER)
    assert [rig.load_of("fw0")[2], rig.load_of("router", "FWM 2")[2], len(rig.templates())] == [1, 0, 1]


def test_changed_netmask_leaves_no_child_behind(rig: Rig) -> None:
    rig.publish(sticking(prefix=32))
    chosen(rig, tcp())
    rig.publish(sticking(prefix=24))
    chosen(rig, tcp(sport=2))
    assert len(rig.templates()) == 2
    assert rig.sweep(after_s=100)["expired"] == 2
    assert rig.sweep(after_s=100)["templates"] == 0
    assert persistent(rig) == [0, 0, 0, 0]
