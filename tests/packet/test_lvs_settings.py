"""What LVS has as sysctls: expire_quiescent_template, expire_nodest_conn, conn_reuse_mode, sloppy_tcp."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.model.director import Settings
from tests.packet.frames import error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig


def settled(servers: Any = None, scheduler: str = "rr", *, ours: dict[str, Any] | None = None, **settings: Any) -> Plan:
    return two_box(servers or firewalls(), scheduler, settings=Settings(**settings), **(ours or {}))


@pytest.mark.parametrize("expires", [True, False])
def test_a_client_bound_to_weight_0_moves_only_if_quiescent_templates_expire(rig: Rig, expires: bool) -> None:
    ours = {"persistence_s": 60.0, "expire_quiescent_template": expires}
    rig.publish(settled(ours=ours))
    assert rig.send("outside", tcp(), ROUTER).hop == ("firewalls", FW[0])
    quiet = firewalls(weights=[0, 1, 1, 1])
    rig.publish(settled(quiet, ours=ours))
    assert rig.send("outside", tcp(), ROUTER).hop == ("firewalls", FW[0]), "its connection stays"
    moved = rig.send("outside", tcp(sport=2), ROUTER).hop != ("firewalls", FW[0])
    assert moved == expires
    assert rig.load_of("fw0")[2] == (0 if expires else 1)


@pytest.mark.parametrize("expires", [True, False])
@pytest.mark.parametrize("packet", [tcp("A"), udp()], ids=["tcp", "udp"])
def test_a_connection_of_a_removed_real_server_ends_only_if_asked(rig: Rig, packet: Any, expires: bool) -> None:
    rig.publish(settled(expire_nodest_conn=expires))
    opening = tcp() if packet.proto == 6 else udp()
    assert rig.send("outside", opening, ROUTER).hop == ("firewalls", FW[0])
    rig.publish(settled(firewalls()[1:], expire_nodest_conn=expires))
    if not expires:
        assert rig.send("outside", packet, ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))
        return
    outcome = rig.send_over("outside", packet, ROUTER)
    assert outcome.counted["EVENT_SERVER_GONE"] == 1
    assert outcome.hop != ("firewalls", FW[0])
    assert rig.send("outside", packet, ROUTER).hop == outcome.hop
    assert rig.load_of("fw0") == (0, 0, 0) if ("FWM 1", "fw0") in rig.publisher.server_ids() else True


@pytest.mark.parametrize("state", ["TIME_WAIT", "CLOSE", "FIN_WAIT", "ESTABLISHED"])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_what_a_syn_begins_anew_depends_on_the_mode(rig: Rig, mode: int, state: str) -> None:
    rig.publish(settled(conn_reuse_mode=mode))
    rig.send("outside", tcp(), ROUTER)
    rig.set_state(rig.only_connection(), state, "REPLIED")
    anew = {0: set(), 1: {"TIME_WAIT", "CLOSE"}, 2: {"TIME_WAIT", "CLOSE", "FIN_WAIT"}}[mode]
    if state in anew:
        assert rig.send_over("outside", tcp(), ROUTER).counted["EVENT_REUSED"] == 1
    else:
        assert rig.send("outside", tcp(), ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA", "R"])
def test_strict_tcp_drops_what_opens_no_connection_and_belongs_to_none(rig: Rig, flags: str) -> None:
    rig.publish(settled(sloppy_tcp=False))
    assert rig.send("outside", tcp(flags), ROUTER).counted == {"DROP_MIDSTREAM": 1}
    assert rig.send("outside", udp(), ROUTER).verdict == "forwarded"
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("outside", tcp(flags), ROUTER) == forwarded("REQUEST", ("firewalls", FW[1]))


def test_strict_tcp_lets_an_icmp_error_pass(rig: Rig) -> None:
    rig.publish(settled(sloppy_tcp=False))
    quoted = error(reply(tcp(sport=7)), "198.51.100.1")
    assert rig.send("outside", quoted, ROUTER).verdict == "forwarded"


def test_settings_change_without_touching_connections(rig: Rig) -> None:
    rig.publish(settled())
    rig.send("outside", tcp(), ROUTER)
    for settings in ({"sloppy_tcp": False}, {"conn_reuse_mode": 2}, {"expire_nodest_conn": True}):
        rig.publish(replace(settled(), settings=Settings(**settings)))
        assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", ("firewalls", FW[0]))
