"""Odd lives of TCP connections: each keeps its firewall for as long as that remembers it.

More of them: simultaneous open and every state in tests/packet/test_tcp_states.py, reused ports in test_reuse.py,
strict directors in test_lvs_settings.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.model.director import Settings
from tests.oracles import pair_hash
from tests.packet.frames import CLIENT, WWW, reply, tcp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, timeouts, two_box
from tests.packet.rig import dropped, forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)
HOUR = 3600


def established(rig: Rig) -> None:
    rig.send("outside", tcp(), ROUTER)
    rig.send("firewalls", reply(tcp()), FW[0])
    rig.send("outside", tcp("A"), ROUTER)


def by_rendezvous() -> tuple[str, str]:
    return "firewalls", FW[int(pair_hash.chosen([(f"fw{i}", 1, True) for i in range(4)], CLIENT, WWW)[2:])]


def test_half_closed_for_an_hour_while_data_flows_one_way(rig: Rig) -> None:
    """The client has said FIN; the server goes on sending, and the client acknowledging, every minute."""
    rig.publish(two_box())
    established(rig)
    rig.send("outside", tcp("FA"), ROUTER)
    assert rig.only_connection().state == "CLOSE_WAIT"
    for _ in range(HOUR // 59):
        rig.age(59)
        assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", reply(tcp(), "FA"), FW[0]) == forwarded("RESPONSE", BACK)


def test_a_half_close_that_is_silent_for_too_long_is_taken_up_where_both_directors_find_it(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    established(rig)
    rig.send("outside", tcp("FA"), ROUTER)
    rig.age(61)
    outcome, _ = rig.send_on("outside", tcp("A"), ROUTER)
    assert outcome == forwarded("MIDSTREAM", by_rendezvous(), EVENT_EXPIRED=1)


def test_data_after_a_rst_still_goes_to_the_firewall_that_saw_it(rig: Rig) -> None:
    rig.publish(two_box())
    established(rig)
    rig.send("outside", tcp("R"), ROUTER)
    assert rig.only_connection().state == "CLOSE"
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)
    rig.age(9)
    assert rig.send("outside", tcp("PA"), ROUTER) == forwarded("REQUEST", FW0)


def test_a_syn_with_data_opens_like_any(rig: Rig) -> None:
    """TCP Fast Open, RFC 7413."""
    rig.publish(two_box())
    assert rig.send("outside", tcp() / b"GET / HTTP/1.0\r\n\r\n", ROUTER) == forwarded("OPENING", FW0)
    assert rig.only_connection().state == "SYN_RECV"
    assert rig.send("firewalls", reply(tcp()) / b"HTTP/1.0 200", FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert "ASSURED" in rig.only_connection().flags


def test_keepalives_alone_keep_a_connection(rig: Rig) -> None:
    """An acknowledgement of a byte before, just before the connection would be forgotten, and the answer to it."""
    rig.publish(two_box(timeouts=timeouts({"ESTABLISHED": 60})))
    established(rig)
    for _ in range(12):
        rig.age(59)
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
        assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA"])
def test_the_middle_of_an_unknown_connection_takes_the_rendezvous_choice_in_either_direction(
    rig: Rig, flags: str
) -> None:
    """The same for a request that LB1 sees and for the response that LB2 sees: nobody's table decides."""
    rig.publish(two_box(firewalls(), "fo"))
    assert rig.send("outside", tcp(flags), ROUTER) == forwarded("MIDSTREAM", by_rendezvous())
    rig.forget()
    response = tcp(flags, source=WWW, sport=80, destination=CLIENT, dport=40000)
    assert rig.send("outside", response, ROUTER) == forwarded("MIDSTREAM", by_rendezvous())


def test_one_direction_alone_is_followed_by_lvs_table_for_it_until_a_response_is_seen(rig: Rig) -> None:
    """Requests here, responses elsewhere: a FIN then is half of the end, not the other side's."""
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("outside", tcp("A"), ROUTER)
    assert rig.only_connection().state == "ESTABLISHED"
    rig.send("outside", tcp("FA"), ROUTER)
    assert rig.only_connection().state == "FIN_WAIT"
    rig.forget()
    established(rig)
    rig.send("outside", tcp("FA"), ROUTER)
    assert rig.only_connection().state == "CLOSE_WAIT", "with both directions the other table holds"


def test_the_table_of_both_directions_holds_from_the_first_response_on(rig: Rig) -> None:
    """The connection that went by requests alone goes on by both, without anybody saying so."""
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("outside", tcp("A"), ROUTER)
    assert (rig.only_connection().state, "REPLIED" in rig.only_connection().flags) == ("ESTABLISHED", False)
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)
    assert "REPLIED" in rig.only_connection().flags
    rig.send("outside", tcp("FA"), ROUTER)
    assert rig.only_connection().state == "CLOSE_WAIT"
    rig.send("firewalls", reply(tcp(), "FA"), FW[0])
    assert rig.only_connection().state == "TIME_WAIT"


def test_requests_alone_may_be_half_closed_for_an_hour(rig: Rig) -> None:
    """Whether the server said FIN too nobody here can see: its acknowledgements keep coming, and keep the entry."""
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("outside", tcp("A"), ROUTER)
    rig.send("outside", tcp("FA"), ROUTER)
    for _ in range(HOUR // 110):
        rig.age(110)
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.only_connection().state == "FIN_WAIT"


def test_a_simultaneous_open_is_established_and_keeps_its_originator(rig: Rig) -> None:
    """RFC 9293 section 3.5: SYN and SYN cross, then SYN-ACK and SYN-ACK."""
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("firewalls", reply(tcp(), "S"), FW[0])
    assert rig.send("outside", tcp("SA"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", reply(tcp(), "SA"), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    connection = rig.only_connection()
    assert (connection.state, connection.source, connection.forward_hop) == ("ESTABLISHED", (CLIENT, 40000), FW0)


@pytest.mark.parametrize("first", ["originator", "responder"])
def test_a_rst_of_either_side_leaves_the_entry_for_what_is_on_its_way(rig: Rig, first: str) -> None:
    rig.publish(two_box())
    established(rig)
    if first == "originator":
        rig.send("outside", tcp("RA"), ROUTER)
    else:
        rig.send("firewalls", reply(tcp(), "R"), FW[0])
    assert rig.only_connection().state == "CLOSE"
    for _ in range(3):
        assert rig.send("outside", tcp("PA"), ROUTER) == forwarded("REQUEST", FW0)
        assert rig.send("firewalls", reply(tcp(), "PA"), FW[0]) == forwarded("RESPONSE", BACK)


def test_a_forged_rst_during_the_handshake_changes_no_state(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    rig.send("outside", tcp("R"), STRANGER)
    assert rig.only_connection().last_hop == BACK
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA"])
def test_strict_directors_drop_the_middle_in_either_direction_and_learn_nothing(rig: Rig, flags: str) -> None:
    rig.publish(two_box(settings=Settings(sloppy_tcp=False)))
    assert rig.send("outside", tcp(flags), STRANGER) == dropped("MIDSTREAM")
    assert rig.send("firewalls", reply(tcp(), flags), FW[0]) == dropped("MIDSTREAM")
    assert (rig.connections(), rig.hop_id(("outside", STRANGER))) == ([], 0)


def test_a_syn_with_data_and_its_repetition_without_are_one_connection(rig: Rig) -> None:
    """A server that knows no Fast Open acknowledges the SYN alone, and the data come again."""
    rig.publish(two_box(firewalls(), "rr"))
    rig.send("outside", tcp() / b"GET /", ROUTER)
    assert rig.send("outside", tcp(), ROUTER) == forwarded("REQUEST", FW0)
    rig.send("firewalls", reply(tcp()), FW[0])
    assert rig.send("outside", tcp("PA") / b"GET /", ROUTER) == forwarded("REQUEST", FW0)
    assert rig.only_connection().state == "ESTABLISHED"


def test_the_middle_of_a_connection_that_is_taken_up_is_one_from_then_on(rig: Rig) -> None:
    """Whoever is seen first is its originator, and both directions find the entry."""
    rig.publish(two_box(firewalls(), "fo"))
    rig.send("outside", tcp("PA"), ROUTER)
    taken = by_rendezvous()
    assert rig.send("firewalls", reply(tcp(), "A"), taken[1]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", taken)
    assert (rig.only_connection().state, "ASSURED" in rig.only_connection().flags) == ("ESTABLISHED", True)
